//! How late a timer is while a read looks for a pattern that costs much in what a peer sends
//! without a pause. Beside that, the most CPU time of a turn: of how late the timer is, the rest is
//! what else the machine did.

use std::{
    error::Error,
    io::{self, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use facade_benches::hard::{HARD, noise};
use facade_engine::{Callback, DriverChoice, Engine, Handle, Local, Regex};
use rustix::time::{ClockId, clock_gettime};

/// How often it expires.
const EVERY: Duration = Duration::from_millis(5);

/// As much as a read by pattern may look at by default, without the byte at which it would fail.
const LEN: usize = (1 << 20) - 2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| pattern | driver | found not to match after, ms | timer late at most, ms | \
         most CPU of a turn, ms |"
    )?;
    writeln!(out, "|---|---|--:|--:|--:|")?;
    for (pattern, alphabet) in HARD {
        let text = noise(alphabet, LEN);
        for (driver, name) in [(DriverChoice::Mio, "mio"), (DriverChoice::IoUring, "io_uring")] {
            let engine = Engine::builder().driver(driver).build()?;
            let (took, late, turn) = flood(&engine, Regex::new(pattern)?, text.clone())?;
            let pattern = pattern.replace('|', r"\|");
            let (took, late, turn) = (ms(took), ms(late), ms(turn));
            writeln!(out, "| `{pattern}` | {name} | {took:.0} | {late:.1} | {turn:.1} |")?;
        }
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Sends `text` against a read. Returns how long it took, how late the timer was at most, and the
/// most CPU time of a turn.
fn flood(
    engine: &Engine,
    regex: Regex,
    text: Vec<u8>,
) -> Result<(Duration, Duration, Duration), Box<dyn Error>> {
    let (mut peer, ours) = UnixStream::pair()?;
    let stream = engine.attach(ours)?;
    let seen = Arc::new(Seen::default());
    let begun = now();
    let peer = thread::spawn(move || peer.write_all(&text));
    let over = Arc::clone(&seen);
    engine.read_until_regex(
        &stream,
        regex,
        Callback::from_fn(move |_, outcome| {
            assert!(outcome.is_err(), "the text has no match");
            over.is_over.store(true, Relaxed);
        }),
    );
    expire_again(engine, Arc::clone(&seen));
    let (mut before, mut most) = (thread_time(), Duration::ZERO);
    while engine.run_once(None)?.pending > 0 {
        let now = thread_time();
        most = most.max(now - std::mem::replace(&mut before, now));
    }
    peer.join().expect("it does not panic")?;
    Ok((begun.elapsed(), Duration::from_nanos(seen.late.load(Relaxed)), most))
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it does not run backwards")
}

#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    /// The most so far, in nanoseconds.
    late: AtomicU64,
}

fn expire_again(engine: &Handle, seen: Arc<Seen>) {
    let due = now() + EVERY;
    let expired = Callback::from_fn(move |local: &Local, _| {
        let late = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
        seen.late.fetch_max(late, Relaxed);
        if !seen.is_over.load(Relaxed) {
            expire_again(local, seen);
        }
    });
    engine.sleep(EVERY, expired);
}

#[expect(clippy::disallowed_methods, reason = "this is what measures")]
fn now() -> Instant {
    Instant::now()
}
