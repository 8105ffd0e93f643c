//! The load generator against the yardsticks, and against servers that are wrong on purpose.
//!
//! Bounded numbers of rounds, no statement about time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, process};

use facade_benches::load::{self, Config, Error, Hold, Length, LineEnd, Mode};
use facade_benches::yardstick::{self, Options};

type Serve = fn(TcpListener, &Options) -> io::Result<()>;

const SERVERS: [(&str, Serve); 3] =
    [("mio", yardstick::mio), ("epoll", yardstick::epoll), ("uring", yardstick::uring)];

#[test]
fn messages_come_back_in_echo_mode() {
    for (connections, size) in [(1, 1), (1, 64), (64, 64), (300, 64), (8, 16 * 1024)] {
        each_server(false, |config| {
            let report = load::run(&Config { connections, size, ..config }).unwrap();
            assert_eq!(report.operations, 5 * connections as u64);
        });
    }
}

/// Larger than the socket buffers: sends come short on both sides.
#[test]
fn large_messages_come_back_in_echo_mode() {
    each_server(false, |config| {
        let size = 8 * 1024 * 1024;
        let report = load::run(&Config { connections: 3, size, ..config }).unwrap();
        assert_eq!(report.operations, 15);
    });
}

#[test]
fn lines_come_back_with_crlf() {
    for size in [2, 64, 100_000] {
        each_server(true, |config| {
            let config = Config { mode: Mode::Lines, connections: 8, size, ..config };
            assert_eq!(load::run(&config).unwrap().operations, 40);
        });
    }
}

#[test]
fn bursts_come_back_with_crlf() {
    for burst in [1, 16, 3000] {
        each_server(true, |config| {
            let config = Config { mode: Mode::Burst, connections: 8, burst, ..config };
            assert_eq!(load::run(&config).unwrap().operations, 40 * burst as u64);
        });
    }
}

#[test]
fn an_echo_service_returns_lines_with_lf() {
    each_server(false, |config| {
        let config = Config { mode: Mode::Burst, reply_end: LineEnd::Lf, ..config };
        assert_eq!(load::run(&config).unwrap().operations, 5 * 16);
    });
}

#[test]
fn connections_come_and_go_in_churn_mode() {
    each_server(true, |config| {
        let config = Config { mode: Mode::Churn, connections: 10, ..config };
        assert_eq!(load::run(&config).unwrap().operations, 50);
    });
}

#[test]
fn idle_connections_live_and_their_memory_is_told() {
    each_server(true, |config| {
        let config = Config {
            mode: Mode::Idle,
            connections: 100,
            hold: Hold::Time(Duration::from_millis(10)),
            server_pid: Some(process::id()),
            ..config
        };
        let report = load::run(&config).unwrap();
        assert_eq!(report.operations, 100);
        assert!(report.resident.is_some());
    });
}

#[test]
fn a_timed_run_ends() {
    each_server(false, |config| {
        let length = Length::Time(Duration::from_millis(20));
        let report = load::run(&Config { length, ..config }).unwrap();
        assert!(report.elapsed >= Duration::from_millis(20));
    });
}

#[test]
fn a_wrong_line_end_is_found() {
    each_server(true, |config| {
        let config = Config { mode: Mode::Lines, reply_end: LineEnd::Lf, size: 10, ..config };
        let error = load::run(&config).unwrap_err();
        assert!(matches!(error, Error::WrongByte { offset: 9, found: b'\r', .. }), "{error}");
    });
}

#[test]
fn one_wrong_byte_is_found() {
    let address = broken_server(|stream| {
        let mut message = [0; 64];
        for round in 0..4 {
            stream.read_exact(&mut message)?;
            message[40] ^= u8::from(round == 3);
            stream.write_all(&message)?;
        }
        Ok(())
    });
    let error = load::run(&rounds(address)).unwrap_err();
    assert!(matches!(error, Error::WrongByte { connection: 0, offset: 40, .. }), "{error}");
}

#[test]
fn one_byte_too_many_is_found() {
    let address = broken_server(|stream| {
        let mut message = [0; 65];
        stream.read_exact(&mut message[..64])?;
        stream.write_all(&message)
    });
    let error = load::run(&rounds(address)).unwrap_err();
    assert!(matches!(error, Error::Excess { connection: 0, count: 1 }), "{error}");
}

#[test]
fn an_early_end_is_found() {
    let address = broken_server(|stream| {
        let mut message = [0; 64];
        stream.read_exact(&mut message)?;
        stream.write_all(&message[..10])
    });
    let error = load::run(&rounds(address)).unwrap_err();
    assert!(matches!(error, Error::Ended { received: 10, expected: 64, .. }), "{error}");
}

#[test]
fn a_silent_server_is_given_up() {
    let address = broken_server(|stream| {
        let mut message = [0; 65];
        stream.read_exact(&mut message)
    });
    let config = Config { stall: Duration::from_millis(50), ..rounds(address) };
    let error = load::run(&config).unwrap_err();
    assert!(matches!(error, Error::Stalled { waiting: 1, .. }), "{error}");
}

#[test]
fn a_refused_connection_is_told() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = load::run(&rounds(address)).unwrap_err();
    let Error::Socket { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn contradictions_are_refused() {
    let config = rounds(SocketAddr::from(([127, 0, 0, 1], 9)));
    for config in [
        Config { connections: 0, ..config.clone() },
        Config { size: 0, ..config.clone() },
        Config { mode: Mode::Lines, size: 1, ..config.clone() },
        Config { mode: Mode::Burst, burst: 0, ..config.clone() },
        Config { stall: Duration::ZERO, ..config.clone() },
    ] {
        let error = load::run(&config).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error}");
    }
}

/// Runs `check` against both yardsticks, each in a thread of its own.
fn each_server(lines: bool, check: impl Fn(Config)) {
    for (name, serve) in SERVERS {
        eprintln!("yardstick {name}");
        let listener = yardstick::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let running = Running::start(serve, listener, lines);
        check(rounds(address));
        running.stop();
    }
}

/// A short run: five messages on each connection.
fn rounds(address: SocketAddr) -> Config {
    Config { length: Length::Rounds(5), ..Config::new(address) }
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Running {
    fn start(serve: Serve, listener: TcpListener, lines: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let options = Options { lines, stop: Some(stop.clone()) };
        Self { stop, thread: thread::spawn(move || serve(listener, &options)) }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap();
    }
}

/// Accepts one connection and treats it as told.
fn broken_server(
    treat: impl FnOnce(&mut TcpStream) -> io::Result<()> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.accept().and_then(|(mut stream, _)| treat(&mut stream)));
    address
}
