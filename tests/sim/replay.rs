//! The same seed does the same; another one does not; and a failure says which it was.

use facade_engine::{
    Callback, Engine, Handle, Stream,
    sim::{self, Link, Machine, Network},
};
use facade_tests::{peers::numbered, starting};
use std::{
    env,
    io::{Write, stdout},
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    time::Duration,
};

use super::builder;

/// An exchange over a bad network, between two engines.
fn exchange(network: &Network) -> (u64, Duration) {
    let mut rng = network.rng();
    network.set_links(Link::bad(&mut rng));
    let (here, there) = (network.host("here"), network.host("there"));
    here.set_machine(Machine::bad(&mut rng));
    there.set_machine(Machine::bad(&mut rng));
    let (client, server) = (builder(&here).build().unwrap(), builder(&there).build().unwrap());
    let listener = server.listen(there.at(7)).unwrap();
    fn echo(engine: &Handle, stream: Stream) {
        let again = stream.clone();
        let next = move |engine: &facade_engine::Local, line| {
            let stream = again.clone();
            let next = Callback::new(move |engine, _| echo(engine, stream), |_, _| ());
            engine.write_line(&again, line, next);
        };
        let minute = Duration::from_secs(60);
        engine.read_line(&stream, Callback::new(next, |_, _| ()).timeout(minute));
    }
    let minute = Duration::from_secs(60);
    let accepted = Callback::new(|engine, stream| echo(engine, stream), |_, _| ()).timeout(minute);
    server.accept(&listener, accepted);
    let mut chain =
        client.chain().resolve("there", 7, Callback::ignore()).connect_resolved(Callback::ignore());
    for _ in 0..5 {
        chain = chain
            .write_line(numbered(30).escape_ascii().to_string(), Callback::ignore())
            .read_line(Callback::ignore());
    }
    chain.timeout(minute).submit();
    network.run(&[&client, &server]).unwrap();
    (network.fingerprint(), network.now())
}

#[test]
fn the_same_seed_does_the_same_and_others_do_not() {
    let mut all = Vec::new();
    for seed in 0..200 {
        let (first, again) = (Network::new(seed), Network::new(seed));
        // One of them in words, which must not matter.
        again.record();
        let (one, other) = (exchange(&first), exchange(&again));
        assert_eq!(one, other, "seed {seed}");
        assert!(!again.recorded().is_empty());
        all.push(one.0);
    }
    all.sort_unstable();
    all.dedup();
    // Some networks are so bad that nothing but the refusal ever happens.
    assert!(all.len() > 150, "{} of 200 differ", all.len());
}

#[test]
fn nothing_is_left_open_after_any_of_many_bad_networks() {
    sim::check(0..300, |network| {
        exchange(network);
        assert_eq!(network.host("here").descriptors(), 0);
        assert_eq!(network.host("there").descriptors(), 0);
    });
}

#[test]
fn a_failure_stops_at_its_seed_and_panics_with_its_own_words() {
    let tried = std::cell::RefCell::new(Vec::new());
    let failed = catch_unwind(AssertUnwindSafe(|| {
        sim::check(0..10, |network| {
            tried.borrow_mut().push(network.seed());
            let engine = Engine::builder().simulated(&network.host("here")).build().unwrap();
            engine.sleep(Duration::from_secs(1), Callback::ignore());
            engine.run().unwrap();
            assert!(network.seed() < 3, "as planned");
        });
    }));
    let panic = failed.unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "as planned");
    assert_eq!(*tried.borrow(), [0, 1, 2, 3, 3], "once more, in words");
}

#[test]
fn a_test_that_does_not_follow_from_its_seed_is_told_so() {
    let runs = std::cell::Cell::new(0);
    let failed = catch_unwind(AssertUnwindSafe(|| {
        sim::check([7], |network| {
            runs.set(runs.get() + 1);
            if runs.get() == 2 {
                network.host("here").listen(1).unwrap();
            }
            panic!("each time");
        });
    }));
    let panic = failed.unwrap_err();
    assert!(panic.downcast::<String>().unwrap().contains("not the only input"));
}

#[test]
fn the_environment_chooses_the_seed() {
    const NAME: &str = "replay::the_environment_chooses_the_seed";
    if env::var_os("FACADE_TEST_CHILD").is_some() {
        return sim::check(0..10, |network| {
            writeln!(stdout(), "\nran {}", network.seed()).unwrap();
        });
    }
    for (name, number, expected) in
        [("FACADE_SEED", "77", vec!["ran 77"]), ("FACADE_SEEDS", "2", vec!["ran 0", "ran 1"])]
    {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args([NAME, "--exact", "--nocapture"])
            .env("FACADE_TEST_CHILD", "1")
            .env(name, number);
        let output = starting::output(&mut command);
        let told = String::from_utf8(output.stdout).unwrap();
        let ran: Vec<_> = told.lines().filter(|line| line.starts_with("ran ")).collect();
        assert_eq!(ran, expected, "{told}");
    }
}
