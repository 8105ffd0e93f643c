//! How many processes are started and waited for a second: one after the other by std, and so many at a
//! time by the engine and, with the feature `peers`, by tokio; and how long the call that starts one keeps
//! its thread.

use std::{
    error::Error,
    process::{Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use facade_benches::servers::Named;
use facade_engine::{Callback, Child, DriverChoice, Engine, Local};

use super::contest::{Case, Column, Contest, Rules, Sample, Value, chosen};
use super::options::Options;

/// How many a round has.
const COUNT: usize = 400;
/// How many are under way at a time, but with std.
const AT_A_TIME: usize = 8;

type Contestant = fn() -> Result<Round, Box<dyn Error>>;

const CONTESTANTS: &[(Named, Contestant)] = &[
    (("std", "std, one at a time"), of_std),
    (("callbacks-mio", "callbacks, mio"), || of_engine(DriverChoice::Mio)),
    (("callbacks-uring", "callbacks, io_uring"), || of_engine(DriverChoice::IoUring)),
    #[cfg(feature = "peers")]
    (("tokio", "tokio, one thread"), of_tokio),
];

pub(crate) fn names() -> Vec<&'static str> {
    CONTESTANTS.iter().map(|((name, _), _)| *name).collect()
}

struct Round {
    /// For all of them.
    took: Duration,
    /// What the calls that start them took of their thread, on the whole.
    calls: Duration,
}

pub(crate) fn measure(options: &Options) -> Contest {
    let about = format!(
        "`true`, {COUNT} times a round, {AT_A_TIME} at a time but with std. The call is how long \
         starting one keeps the thread that asks for it."
    );
    let rules = Rules { about, cases: vec![PROCESSES], rounds: options.rounds(7), unit: None };
    Contest::measure(rules, &chosen(CONTESTANTS, options), |contestant, _| {
        let Round { took, calls } = contestant()?;
        let count = COUNT as f64;
        let rate = Some(count / took.as_secs_f64());
        Ok(Sample { rate, cost: calls.as_secs_f64() * 1e6 / count })
    })
}

const PROCESSES: Case = Case {
    name: "processes",
    columns: &[
        Column { title: "processes a second", value: Value::Rate, digits: 0, ends: true },
        Column { title: "call, µs", value: Value::Cost, digits: 1, ends: false },
    ],
};

fn program() -> Command {
    Command::new("true")
}

fn of_std() -> Result<Round, Box<dyn Error>> {
    let (begun, mut calls) = (now(), Duration::ZERO);
    for _ in 0..COUNT {
        let called = now();
        let mut child = program().spawn()?;
        calls += called.elapsed();
        assert!(child.wait()?.success());
    }
    Ok(Round { took: begun.elapsed(), calls })
}

fn of_engine(driver: DriverChoice) -> Result<Round, Box<dyn Error>> {
    let engine = Engine::builder().driver(driver).build()?;
    let (begun, counts) = (now(), Arc::<Counts>::default());
    (0..AT_A_TIME).for_each(|_| next(&engine, &counts));
    engine.run()?;
    assert_eq!(counts.ended.load(Relaxed), COUNT);
    let calls = Duration::from_nanos(counts.calls.load(Relaxed) as u64);
    Ok(Round { took: begun.elapsed(), calls })
}

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// In nanoseconds.
    calls: AtomicUsize,
}

/// Starts one, waits for it, and goes on.
fn next(engine: &Local, counts: &Arc<Counts>) {
    if counts.begun.fetch_add(1, Relaxed) >= COUNT {
        return;
    }
    let to_wait = Arc::clone(counts);
    let started = move |engine: &Local, child: Child| {
        let ended = move |engine: &Local, status: ExitStatus| {
            assert!(status.success());
            to_wait.ended.fetch_add(1, Relaxed);
            next(engine, &to_wait);
        };
        engine.wait(&child, Callback::new(ended, |_, error| panic!("{error}")));
    };
    let called = now();
    engine.spawn(program(), Callback::new(started, |_, error| panic!("{error}")));
    let took = usize::try_from(called.elapsed().as_nanos()).unwrap_or(usize::MAX);
    counts.calls.fetch_add(took, Relaxed);
}

#[cfg(feature = "peers")]
fn of_tokio() -> Result<Round, Box<dyn Error>> {
    use std::{cell::Cell, rc::Rc};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (begun, counts) = (now(), Rc::new((Cell::new(0), Cell::new(Duration::ZERO))));
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let one = |counts: Rc<(Cell<usize>, Cell<Duration>)>| async move {
            while counts.0.replace(counts.0.get() + 1) < COUNT {
                let called = now();
                let mut child = tokio::process::Command::from(program()).spawn().unwrap();
                counts.1.set(counts.1.get() + called.elapsed());
                assert!(child.wait().await.unwrap().success());
            }
        };
        let all: Vec<_> =
            (0..AT_A_TIME).map(|_| tokio::task::spawn_local(one(Rc::clone(&counts)))).collect();
        for task in all {
            task.await.unwrap();
        }
    }));
    Ok(Round { took: begun.elapsed(), calls: counts.1.get() })
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}
