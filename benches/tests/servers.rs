//! Each server that takes part in the comparison gives the right answers, before anybody says how
//! fast. They run as they do there, as processes. With the feature `peers` these are all of them.
//!
//! Bounded numbers of rounds, no statement about time.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use facade_benches::load::{self, Config, Gate, Hold, Length, LineEnd, Mode};
use facade_benches::process::{Server, raise_file_limit};
use facade_benches::servers::{self, Services};
use facade_benches::several::SEVERAL;
use facade_benches::wrk;

#[test]
fn messages_come_back() {
    each_server(Services::Echo, |config| {
        for (connections, size) in [(1, 1), (64, 64), (300, 64), (64, 16 * 1024), (3, 1 << 20)] {
            let config = Config { connections, size, ..config.clone() };
            assert_eq!(load::run(&config).unwrap().operations, 5 * connections as u64);
        }
    });
}

#[test]
fn lines_come_back_with_crlf() {
    each_server(Services::Lines, |config| {
        for (connections, size, burst) in [(1, 2, 1), (64, 64, 16), (4, 64, 3000), (4, 5000, 3)] {
            let config = Config { mode: Mode::Burst, connections, size, burst, ..config.clone() };
            let lines = 5 * (connections * burst) as u64;
            assert_eq!(load::run(&config).unwrap().operations, lines);
        }
    });
}

#[test]
fn connections_come_and_go() {
    each_server(Services::Lines, |config| {
        let config = Config { mode: Mode::Churn, connections: 10, ..config.clone() };
        assert_eq!(load::run(&config).unwrap().operations, 50);
    });
}

#[test]
fn idle_connections_live() {
    each_server(Services::Echo, |config| {
        let config =
            Config { mode: Mode::Idle, connections: 100, reply_end: LineEnd::Lf, ..config.clone() };
        assert!(load::run(&config).unwrap().resident.is_some());
    });
}

#[test]
fn quiet_connections_are_answered_beside_a_flood() {
    each_server(Services::Lines, |config| {
        let config = Config { mode: Mode::Mix, connections: 10, burst: 1000, ..config.clone() };
        let length = Length::Rounds(2);
        assert!(load::run(&Config { length, ..config }).unwrap().latency.is_some());
    });
}

#[test]
fn a_client_that_does_not_read_loses_nothing() {
    each_server(Services::Echo, |config| {
        let report = load::run(&Config { mode: Mode::Slow, ..config.clone() }).unwrap();
        assert!(report.taken.unwrap() > 0);
    });
}

#[test]
fn proxies_pass_everything_on() {
    raise_file_limit().unwrap();
    let bound = Duration::from_secs(10);
    let start = |arguments: &[&str]| {
        let command = [env!("CARGO_BIN_EXE_versus"), "serve", "--listen", "127.0.0.1:0"];
        let command = command.iter().chain(arguments).map(|&word| word.to_owned());
        Server::start(&command.collect::<Vec<_>>(), bound).unwrap()
    };
    let echo = start(&["--server", "epoll"]);
    for (name, _) in servers::proxies() {
        eprintln!("{name}");
        let proxy = start(&["--server", name, "--target", &echo.address().to_string()]);
        for (connections, size) in [(1, 1), (64, 64), (3, 1 << 20)] {
            let config = Config::new(proxy.address());
            let length = Length::Rounds(5);
            let config = Config { connections, size, length, stall: bound, ..config };
            assert_eq!(load::run(&config).unwrap().operations, 5 * connections as u64);
        }
    }
}

#[test]
fn servers_of_http_say_hello() {
    let bound = Duration::from_secs(10);
    for (name, _) in servers::http() {
        eprintln!("{name}");
        let program = env!("CARGO_BIN_EXE_versus");
        let command = [program, "serve", "--http", "--server", name, "--listen", "127.0.0.1:0"];
        let server = Server::start(&command.map(str::to_owned), bound).unwrap();
        wrk::check(server.address(), servers::HELLO, bound).unwrap();
        wrk::check(server.address(), "goodbye\n", bound).unwrap_err();
    }
}

#[test]
fn several_threads_of_a_server_answer_generators_side_by_side() {
    let program = env!("CARGO_BIN_EXE_versus");
    let bound = Duration::from_secs(10);
    for (server, steer) in SEVERAL.iter().flat_map(|one| [(one, false), (one, one.steers)]) {
        let command = [program, "serve", "--server", server.name, "--listen", "127.0.0.1:0"];
        let steer = steer.then_some("--steer");
        let command = command.into_iter().chain(["--engines", "2"]).chain(steer);
        let command: Vec<_> = command.map(str::to_owned).collect();
        let server = Server::start(&command, bound).unwrap();
        let gate = Gate::new(2);
        let generators = [(); 2].map(|()| {
            let config = Config {
                connections: 50,
                length: Length::Rounds(5),
                stall: bound,
                gate: Some(Arc::clone(&gate)),
                ..Config::new(server.address())
            };
            thread::spawn(move || load::run(&config).unwrap().operations)
        });
        assert_eq!(generators.map(|one| one.join().unwrap()), [250, 250]);
    }
}

/// Runs `check` against every server that has the service: five messages on each connection.
fn each_server(service: Services, check: impl Fn(&Config)) {
    raise_file_limit().unwrap();
    for (name, mut command) in commands(service) {
        eprintln!("{name}");
        command.extend(["--listen".into(), "127.0.0.1:0".into()]);
        if service == Services::Lines {
            command.push("--lines".into());
        }
        let bound = Duration::from_secs(10);
        let server = Server::start(&command, bound).unwrap();
        check(&Config {
            length: Length::Rounds(5),
            hold: Hold::Time(Duration::from_millis(10)),
            stall: bound,
            server_pid: Some(server.pid()),
            ..Config::new(server.address())
        });
    }
}

fn commands(service: Services) -> Vec<(String, Vec<String>)> {
    let program = env!("CARGO_BIN_EXE_versus");
    let own = servers::all()
        .filter(|entry| entry.services == Services::Both || entry.services == service)
        .map(|entry| {
            let command = [program, "serve", "--server", entry.name].map(str::to_owned).to_vec();
            (entry.name.to_owned(), command)
        });
    own.chain(natives()).collect()
}

#[cfg(feature = "peers")]
fn natives() -> impl Iterator<Item = (String, Vec<String>)> {
    use facade_benches::peers::native::NATIVES;
    NATIVES.iter().filter_map(|native| match native.build() {
        Ok(program) => Some((native.name.into(), vec![program.to_string_lossy().into_owned()])),
        Err(error) => {
            eprintln!("SKIPPED {}: {error} (package {})", native.name, native.package);
            None
        }
    })
}

#[cfg(not(feature = "peers"))]
fn natives() -> impl Iterator<Item = (String, Vec<String>)> {
    std::iter::empty()
}
