//! One busy stream, and streams that come and go, by how many are open and idle, each with a read
//! pending.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use std::time::Duration;

use facade_benches::curves::Panel;
use facade_engine::{
    Bytes, Callback, DriverChoice, Engine, Error, Handle, IoOperation, Local, Result, Stream,
};

use super::{curve, engine, nanoseconds, settle};

pub(super) fn panel(rounds: usize) -> Result<Panel> {
    // A stream and its peer are two descriptors, of which a process has 20,000 here.
    let sizes = [1, 10, 100, 1_000, 9_000];
    let mut curves = Vec::new();
    for (driver, name) in [(DriverChoice::Mio, "mio"), (DriverChoice::IoUring, "io_uring")] {
        let title = format!("round trip of one busy stream, {name}");
        curves.push(curve(title, &sizes, rounds, |open| {
            let (engine, _others) = with_idle(driver, open)?;
            round_trips(&engine)
        })?);
        let title = format!("attach, wait for a line, close, {name}");
        curves.push(curve(title, &sizes, rounds, |open| {
            let (engine, _others) = with_idle(driver, open)?;
            attach_and_close(&engine, open)
        })?);
    }
    Ok(Panel { title: "CPU in ns, by streams open on the engine".into(), curves })
}

/// An engine with so many streams, each waiting for a line, and their peers.
fn with_idle(driver: DriverChoice, count: usize) -> Result<(Engine, Vec<UnixStream>)> {
    let engine = engine(driver)?;
    let mut peers = Vec::new();
    for _ in 0..count {
        let (peer, stream) = attached(&engine)?;
        engine.read_line(&stream, Callback::ignore());
        peers.push(peer);
    }
    // That each can be written is told once, by some hundred events a turn.
    for _ in 0..count / 100 + 10 {
        engine.run_once(Some(Duration::ZERO))?;
    }
    Ok((engine, peers))
}

fn attached(engine: &Engine) -> Result<(UnixStream, Stream)> {
    let (peer, ours) = pair()?;
    Ok((peer, engine.attach_exclusive(ours)?))
}

fn pair() -> Result<(UnixStream, UnixStream)> {
    UnixStream::pair().map_err(|cause| failed(IoOperation::Connect, cause))
}

fn round_trips(engine: &Engine) -> Result<f64> {
    const COUNT: usize = 2_000;
    let (mut peer, stream) = attached(engine)?;
    let answered = Arc::new(AtomicUsize::new(0));
    echo(engine, stream, answered.clone());
    let took = nanoseconds(|| {
        let mut answer = [0; 7];
        for number in 1..=COUNT {
            peer.write_all(b"hello\n").map_err(|cause| failed(IoOperation::Write, cause))?;
            while answered.load(Relaxed) < number {
                engine.run_once(None)?;
            }
            peer.read_exact(&mut answer).map_err(|cause| failed(IoOperation::Read, cause))?;
        }
        Ok(())
    })?;
    Ok(took / COUNT as f64)
}

fn echo(engine: &Handle, stream: Stream, answered: Arc<AtomicUsize>) {
    let again = stream.clone();
    let answer = move |engine: &Local, line: Bytes| {
        engine.write_line(&again, line, Callback::ignore());
        answered.fetch_add(1, Relaxed);
        echo(engine, again, answered);
    };
    engine.read_line(&stream, Callback::new(answer, |_, _| {}));
}

fn attach_and_close(engine: &Engine, open: usize) -> Result<f64> {
    const COUNT: usize = 200;
    let pairs: Vec<_> = (0..COUNT).map(|_| pair()).collect::<Result<_>>()?;
    let mut peers = Vec::new();
    let took = nanoseconds(|| {
        for (peer, ours) in pairs {
            peers.push(peer);
            let stream = engine.attach_exclusive(ours)?;
            engine.read_line(&stream, Callback::ignore());
            engine.run_once(Some(Duration::ZERO))?;
            engine.close(&stream, Callback::ignore());
            settle(engine, open)?;
        }
        Ok(())
    })?;
    Ok(took / COUNT as f64)
}

fn failed(operation: IoOperation, cause: io::Error) -> Error {
    Error::Io { operation, cause: cause.into() }
}
