//! What a round trip of one line costs a program that has tokio: by tokio's own socket, by an engine
//! inside tokio (`run_in_tokio`), and by one on a thread of its own (`Background`), whose futures tokio
//! polls or that are spawned there. Beside them the engine alone. The server is the same for all, a thread
//! that answers by hand.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use facade_benches::servers::Named;
use facade_engine::{DriverChoice, Engine};
use facade_futures::{Background, Runtime, Stream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use super::contest::{Case, Column, Contest, Done, Rules, Sample, Value, chosen};
use super::options::Options;

type Outcome<T> = Result<T, Box<dyn Error>>;
/// Makes so many round trips, and returns what they took.
type Contestant = fn(SocketAddr, u32) -> Outcome<Duration>;

const MIO: DriverChoice = DriverChoice::Mio;
const IO_URING: DriverChoice = DriverChoice::IoUring;

const CONTESTANTS: [(Named, Contestant); 9] = [
    (("tokio", "tokio"), of_tokio),
    (("run-in-tokio-mio", "`run_in_tokio`, mio"), |at, count| inside(MIO, at, count)),
    (("run-in-tokio-uring", "`run_in_tokio`, io_uring"), |at, count| inside(IO_URING, at, count)),
    (("awaited-mio", "`Background`, awaited in tokio, mio"), |at, count| beside(MIO, at, count)),
    (("awaited-uring", "`Background`, awaited in tokio, io_uring"), |at, count| {
        beside(IO_URING, at, count)
    }),
    (("spawned-mio", "`Background`, spawned there, mio"), |at, count| spawned(MIO, at, count)),
    (("spawned-uring", "`Background`, spawned there, io_uring"), |at, count| {
        spawned(IO_URING, at, count)
    }),
    (("futures-mio", "`Runtime`, without tokio, mio"), |at, count| alone(MIO, at, count)),
    (("futures-uring", "`Runtime`, without tokio, io_uring"), |at, count| {
        alone(IO_URING, at, count)
    }),
];

pub(crate) fn names() -> Vec<&'static str> {
    CONTESTANTS.iter().map(|((name, _), _)| *name).collect()
}

pub(crate) fn measure(options: &Options) -> Done<Contest> {
    let server = serve()?;
    let count = options.count(4000);
    let rules = Rules {
        about: format!(
            "A client's round trip of one line, `write_line` and then `read_line` of a future, {count} \
             times a round against a thread that answers by hand; wall time."
        ),
        cases: vec![ROUND_TRIP],
        rounds: options.rounds(9),
        unit: None,
    };
    Ok(Contest::measure(rules, &chosen(&CONTESTANTS, options), |contestant, _| {
        // What it does wrong it does wrong at once.
        contestant(server, 10)?;
        let took = contestant(server, count)?;
        Ok(Sample { rate: None, cost: took.as_secs_f64() * 1e6 / f64::from(count) })
    }))
}

const ROUND_TRIP: Case = Case {
    name: "round trip",
    columns: &[
        Column { title: "µs a round trip", value: Value::Cost, digits: 1, ends: true },
        Column { title: "times {first}'s", value: Value::Ratio, digits: 2, ends: true },
    ],
};

/// Where a thread answers, for as long as this process lives.
fn serve() -> io::Result<SocketAddr> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    thread::spawn(move || server.incoming().flatten().try_for_each(answer));
    Ok(address)
}

/// Answers each line with itself.
fn answer(mut stream: std::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?);
    thread::spawn(move || {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            if stream.write_all(&line).is_err() {
                return;
            }
            line.clear();
        }
    });
    Ok(())
}

fn tokio_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn of_tokio(address: SocketAddr, count: u32) -> Outcome<Duration> {
    tokio_runtime()?.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = tokio::io::BufReader::new(stream);
        let (begun, mut line) = (now(), String::new());
        for _ in 0..count {
            stream.write_all(b"hello\r\n").await?;
            line.clear();
            stream.read_line(&mut line).await?;
            assert_eq!(line, "hello\r\n");
        }
        Ok(begun.elapsed())
    })
}

async fn round_trips(mut stream: Stream, count: u32) -> facade_futures::Result<Duration> {
    let begun = now();
    for _ in 0..count {
        stream.write_line("hello").await?;
        assert_eq!(stream.read_line().await?, "hello");
    }
    Ok(begun.elapsed())
}

fn inside(driver: DriverChoice, address: SocketAddr, count: u32) -> Outcome<Duration> {
    let runtime = Runtime::from(Engine::builder().driver(driver).build()?);
    let talk = async { round_trips(runtime.io().connect(address).await?, count).await };
    Ok(tokio_runtime()?.block_on(runtime.run_in_tokio(talk))??)
}

fn beside(driver: DriverChoice, address: SocketAddr, count: u32) -> Outcome<Duration> {
    let io = Background::new(Engine::builder().driver(driver))?;
    Ok(tokio_runtime()?.block_on(async { round_trips(io.connect(address).await?, count).await })?)
}

fn spawned(driver: DriverChoice, address: SocketAddr, count: u32) -> Outcome<Duration> {
    let background = Background::new(Engine::builder().driver(driver))?;
    let io = background.clone();
    let task =
        background.spawn(async move { round_trips(io.connect(address).await?, count).await });
    Ok(tokio_runtime()?.block_on(task)?)
}

fn alone(driver: DriverChoice, address: SocketAddr, count: u32) -> Outcome<Duration> {
    let runtime = Runtime::from(Engine::builder().driver(driver).build()?);
    let io = runtime.io().clone();
    Ok(runtime.block_on(async { round_trips(io.connect(address).await?, count).await })?)
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_answered() {
        let server = serve().unwrap();
        for ((name, _), contestant) in CONTESTANTS {
            contestant(server, 3).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
