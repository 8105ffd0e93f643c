//! Each server that takes part in the comparison gives the right answers, before anybody says how
//! fast. They run as they do there, as processes. With the feature `peers` these are all of them.
//!
//! Bounded numbers of rounds, no statement about time.

use std::time::Duration;

use facade_benches::load::{self, Config, Hold, Length, LineEnd, Mode};
use facade_benches::process::{Server, raise_file_limit};
use facade_benches::servers::{self, Services};

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
