//! What a round trip of one line costs a program that has tokio: by tokio's own socket, by an engine
//! inside tokio (`run_in_tokio`), and by one on a thread of its own (`Background`), whose futures tokio
//! polls or that are spawned there. Beside them the engine alone. The server is the same for all, a thread
//! that answers by hand. In turns, so that what else the machine does is the same for all. Told a part of
//! a name it runs those only that have it, under strace(1) for one.

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use facade_engine::{DriverChoice, Engine};
use facade_futures::{Background, Runtime, Stream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

/// How many round trips a round has.
const COUNT: u32 = 4000;
const ROUNDS: usize = 9;
const DRIVERS: [(&str, DriverChoice); 2] =
    [("mio", DriverChoice::Mio), ("io_uring", DriverChoice::IoUring)];

type Outcome<T> = Result<T, Box<dyn Error>>;
type Contestant = (String, Box<dyn Fn(SocketAddr) -> Outcome<Duration>>);

fn main() -> Outcome<()> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    thread::spawn(move || server.incoming().flatten().try_for_each(answer));
    let mut contestants: Vec<Contestant> = vec![("tokio".into(), Box::new(of_tokio))];
    for (name, driver) in DRIVERS {
        let of = |run: fn(DriverChoice, SocketAddr) -> Outcome<Duration>| {
            Box::new(move |address| run(driver, address))
        };
        contestants.extend([
            (format!("run_in_tokio, {name}"), of(inside) as Box<_>),
            (format!("Background, awaited in tokio, {name}"), of(beside) as Box<_>),
            (format!("Background, spawned there, {name}"), of(spawned) as Box<_>),
            (format!("Runtime, without tokio, {name}"), of(alone) as Box<_>),
        ]);
    }
    if let Some(part) = env::args().nth(1) {
        contestants.retain(|(name, _)| name.contains(&part));
    }
    let mut rounds: Vec<Vec<f64>> = contestants.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((_, run), rounds) in contestants.iter().zip(&mut rounds) {
            rounds.push(run(address)?.as_secs_f64() * 1e6 / f64::from(COUNT));
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| | \u{b5}s a round trip, median (least to most) | times the first's, the same |"
    )?;
    writeln!(out, "|---|--:|--:|")?;
    let first = rounds.first().cloned().ok_or("nobody is called so")?;
    for ((name, _), times) in contestants.iter().zip(rounds) {
        let ratios = times.iter().zip(&first).map(|(ours, theirs)| ours / theirs).collect();
        let ([least, middle, most], [low, ratio, high]) = (spread(times), spread(ratios));
        writeln!(
            out,
            "| {name} | {middle:.1} ({least:.1} to {most:.1}) | {ratio:.2} ({low:.2} to {high:.2}) |"
        )?;
    }
    Ok(())
}

/// Least, median and most.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
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

fn of_tokio(address: SocketAddr) -> Outcome<Duration> {
    tokio_runtime()?.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = tokio::io::BufReader::new(stream);
        let (begun, mut line) = (now(), String::new());
        for _ in 0..COUNT {
            stream.write_all(b"hello\r\n").await?;
            line.clear();
            stream.read_line(&mut line).await?;
            assert_eq!(line, "hello\r\n");
        }
        Ok(begun.elapsed())
    })
}

async fn round_trips(mut stream: Stream) -> facade_futures::Result<Duration> {
    let begun = now();
    for _ in 0..COUNT {
        stream.write_line("hello").await?;
        assert_eq!(stream.read_line().await?, "hello");
    }
    Ok(begun.elapsed())
}

fn inside(driver: DriverChoice, address: SocketAddr) -> Outcome<Duration> {
    let runtime = Runtime::from(Engine::builder().driver(driver).build()?);
    let talk = async { round_trips(runtime.io().connect(address).await?).await };
    Ok(tokio_runtime()?.block_on(runtime.run_in_tokio(talk))??)
}

fn beside(driver: DriverChoice, address: SocketAddr) -> Outcome<Duration> {
    let io = Background::new(Engine::builder().driver(driver))?;
    Ok(tokio_runtime()?.block_on(async { round_trips(io.connect(address).await?).await })?)
}

fn spawned(driver: DriverChoice, address: SocketAddr) -> Outcome<Duration> {
    let background = Background::new(Engine::builder().driver(driver))?;
    let io = background.clone();
    let task = background.spawn(async move { round_trips(io.connect(address).await?).await });
    Ok(tokio_runtime()?.block_on(task)?)
}

fn alone(driver: DriverChoice, address: SocketAddr) -> Outcome<Duration> {
    let runtime = Runtime::from(Engine::builder().driver(driver).build()?);
    let io = runtime.io().clone();
    Ok(runtime.block_on(async { round_trips(io.connect(address).await?).await })?)
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}
