//! The figures of the table: three servers under the same load, and the engine by itself.

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use allocation_counter::AllocationInfo;
use bytes::Bytes;
use facade_engine::{Callback, Claim, Engine, Handle, Local, Stream};
use facade_examples::Result;
use facade_futures::Runtime;

use crate::service;

/// A server: it serves the listener's connections until something comes on the socket.
pub(crate) type Serve = fn(TcpListener, TcpStream) -> Result<()>;

/// What is told of one style.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) round_trips: f64,
    pub(crate) lines: f64,
    pub(crate) allocations: f64,
    pub(crate) engine: Option<Duration>,
}

/// How long one load lasts, and how often each server gets it.
const SPELL: Duration = Duration::from_millis(250);
const ROUNDS: usize = 5;

/// A line of the load, and what comes back.
const REQUEST: &[u8] = b"echo 0123456789012345678901234567890123456789012345678901234567\r\n";
const REPLY: usize = REQUEST.len() - "echo ".len();

/// Loads each server in turn, several times, and tells the median: what else the machine does then
/// hits all alike.
pub(crate) fn servers<const N: usize>(servers: [Serve; N]) -> Result<[Figures; N]> {
    let mut rounds = [(); N].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        for (serve, rounds) in servers.iter().zip(&mut rounds) {
            rounds.push(round(*serve)?);
        }
    }
    Ok(rounds.map(|rounds| Figures {
        round_trips: median(rounds.iter().map(|figures| figures.round_trips)),
        lines: median(rounds.iter().map(|figures| figures.lines)),
        allocations: median(rounds.iter().map(|figures| figures.allocations)),
        engine: None,
    }))
}

fn round(serve: Serve) -> Result<Figures> {
    let server = Server::start(serve)?;
    let (round_trips, lines) = (load(server.address, 16, 1)?, load(server.address, 4, 16)?);
    let allocations = server.stop()?.count_total;
    Ok(Figures {
        round_trips: round_trips.per_second(),
        lines: lines.per_second(),
        // Each line is read, and each reply is written.
        allocations: allocations as f64 / (2 * (round_trips.lines + lines.lines)) as f64,
        engine: None,
    })
}

/// A server on a thread of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: TcpStream,
    thread: thread::JoinHandle<(Result<()>, AllocationInfo)>,
}

impl Server {
    pub(crate) fn start(serve: Serve) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = facade_examples::pair()?;
        let thread = thread::Builder::new().name("server".into()).spawn(move || {
            let mut outcome = Ok(());
            let info = allocation_counter::measure(|| outcome = serve(listener, stopped));
            (outcome, info)
        })?;
        Ok(Self { address, stop, thread })
    }

    /// Ends the server, and tells how often its thread has allocated memory.
    pub(crate) fn stop(mut self) -> Result<AllocationInfo> {
        // A server that has failed hears nothing, and its error is told below.
        drop(self.stop.write_all(b"."));
        let (outcome, info) = self.thread.join().map_err(|_| "the server panicked")?;
        outcome.map(|()| info)
    }
}

struct Load {
    lines: u64,
    took: Duration,
}

impl Load {
    fn per_second(&self) -> f64 {
        self.lines as f64 / self.took.as_secs_f64()
    }
}

/// Sends each connection a burst of lines, then waits for all replies, again and again. Plain
/// blocking sockets, so that the client is the same for every server.
fn load(address: SocketAddr, connections: usize, burst: usize) -> Result<Load> {
    let request = REQUEST.repeat(burst);
    let mut reply = vec![0; REPLY * burst];
    let mut clients = Vec::new();
    for _ in 0..connections {
        let client = TcpStream::connect(address)?;
        client.set_nodelay(true)?;
        let mut client = BufReader::new(client);
        client.read_exact(&mut [0; service::READY.len()])?;
        clients.push(client);
    }
    let (start, mut lines) = (now(), 0);
    while start.elapsed() < SPELL {
        for client in &mut clients {
            client.get_mut().write_all(&request)?;
        }
        for client in &mut clients {
            client.read_exact(&mut reply)?;
            lines += burst as u64;
        }
    }
    Ok(Load { lines, took: start.elapsed() })
}

/// How many lines wait to be read, and how long they are: less than a stream is read ahead.
const WAITING: usize = 3000;
const WAITING_LINE: &[u8] = b"0123456789abcdef\r\n";

/// What a `read_line` costs by callbacks when the line is there already, so that the system is not
/// asked: submit, match, call back.
pub(crate) fn engine_by_callbacks() -> Result<Duration> {
    per_read(|| {
        let engine = Engine::new()?;
        let (stream, _peer) = waiting(&engine)?;
        let start = now();
        read(&engine, stream, WAITING);
        engine.run()?;
        Ok(start.elapsed())
    })
}

fn read(engine: &Handle, stream: Stream, left: usize) {
    if left > 0 {
        let again = stream.clone();
        let next = move |engine: &Local, _| read(engine, again, left - 1);
        engine.read_line(&stream, Callback::new(next, |_, error| panic!("{error}")));
    }
}

/// The same by futures: poll, match.
pub(crate) fn engine_by_futures() -> Result<Duration> {
    per_read(|| {
        let runtime = Runtime::new()?;
        let (stream, _peer) = waiting(runtime.engine())?;
        let mut stream = facade_futures::Stream::from(stream);
        runtime.block_on(async {
            let start = now();
            for _ in 0..WAITING {
                stream.read_line().await?;
            }
            Ok(start.elapsed())
        })
    })
}

/// A stream whose lines have all been received, and are unread.
fn waiting(engine: &Engine) -> Result<(Stream, TcpStream)> {
    let (mut peer, ours) = facade_examples::pair()?;
    let stream = engine.attach_exclusive(ours)?;
    peer.write_all(&WAITING_LINE.repeat(WAITING))?;
    // Waits for them all, and gives them back.
    let all = Callback::claim(|_, all: facade_engine::Result<Claim<Bytes>>| drop(all));
    engine.read_exact(&stream, WAITING_LINE.len() * WAITING, all);
    engine.run()?;
    Ok((stream, peer))
}

fn per_read(measure: impl Fn() -> Result<Duration>) -> Result<Duration> {
    let mut times = (0..30).map(|_| measure()).collect::<Result<Vec<_>>>()?;
    times.sort();
    Ok(times[times.len() / 2] / u32::try_from(WAITING)?)
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures = figures.collect::<Vec<_>>();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "this is where time is measured")]
fn now() -> Instant {
    Instant::now()
}
