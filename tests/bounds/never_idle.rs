//! A server and its clients on one engine, which always has something to do. What is resident after
//! the first operations is all that it ever needs.
//!
//! `FACADE_OPERATIONS` says how many operations a run takes, `FACADE_KINDS` which kinds, by comma.

use std::{
    any::Any,
    env,
    io::{Write, stderr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use facade_engine::{Bytes, Callback, Engine, Handle, Listener, Stream};
use facade_tests::{alone::alone, memory::resident, outcome::Outcome, turns::turn_until};
use socket2::SockRef;

use super::driver;

/// How many operations a run takes unless the environment says otherwise.
const OPERATIONS: u64 = 120_000;
/// After so many, memory is what it will be...
const WARM: u64 = 100_000;
/// ...give or take this.
const SLACK: usize = 2 << 20;
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn promise_14_a_server_that_is_never_idle_is_bounded_in_memory() {
    alone(module_path!(), "promise_14_a_server_that_is_never_idle_is_bounded_in_memory", || {
        let chosen = env::var("FACADE_KINDS");
        let is_chosen = |kind: &&&Kind| match &chosen {
            Ok(chosen) => chosen.split(',').any(|name| name == kind.name),
            Err(_) => true,
        };
        let (waiting, others): (Vec<_>, Vec<_>) =
            KINDS.iter().partition(|kind| kind.name == "waiting connects");
        run(others.iter().filter(is_chosen).copied(), true);
        // On a simulated host a full backlog is every listener's, so nothing else connects here.
        run(KINDS[..1].iter().chain(waiting).filter(|kind| is_chosen(&kind)), true);
    });
}

#[test]
fn promise_14_each_kind_of_operation_by_itself_is_bounded_in_memory() {
    alone(
        module_path!(),
        "promise_14_each_kind_of_operation_by_itself_is_bounded_in_memory",
        || {
            KINDS.iter().for_each(|kind| run([kind], false));
        },
    );
}

/// Runs these kinds side by side, to the end of the load.
fn run<'a>(kinds: impl IntoIterator<Item = &'a Kind>, busy: bool) {
    let engine = driver::engine();
    let load = Load::new();
    let mut names = Vec::new();
    let mut kept = Vec::new();
    for kind in kinds {
        names.push(kind.name);
        kept.push((kind.begin)(&engine, &load));
    }
    if busy {
        keep_busy(&engine, load.clone());
    }
    engine.run().unwrap();
    load.check(&names.join(", "));
}

/// Never lets the engine be idle, so that nothing can be put off until it is.
fn keep_busy(engine: &Handle, load: Load) {
    engine.post(move |local| match load.goes_on() {
        true => keep_busy(local, load),
        false => local.stop(),
    });
}

/// What the callbacks of a run share.
#[derive(Clone)]
struct Load(Arc<Count>);

struct Count {
    wanted: u64,
    done: AtomicU64,
    /// What was resident after the warm-up, and each time as much had been done again.
    resident: Mutex<Vec<usize>>,
}

impl Load {
    fn new() -> Self {
        let wanted = env::var("FACADE_OPERATIONS").map_or(OPERATIONS, |n| n.parse().unwrap());
        let resident = Mutex::new(Vec::with_capacity(4096));
        Self(Arc::new(Count { wanted, done: AtomicU64::new(0), resident }))
    }

    /// Counts so many operations.
    fn count(&self, operations: u64) {
        let before = self.0.done.fetch_add(operations, Relaxed);
        if before / WARM != (before + operations) / WARM {
            self.0.resident.lock().unwrap().push(resident());
        }
    }

    fn goes_on(&self) -> bool {
        self.0.done.load(Relaxed) < self.0.wanted
    }

    /// Fails if memory has grown since the warm-up.
    fn check(&self, names: &str) {
        let resident = self.0.resident.lock().unwrap();
        let (warm, most) = (resident[0], *resident.iter().max().unwrap());
        let grown = most.saturating_sub(warm) >> 10;
        let (warm, done) = (warm >> 10, self.0.done.load(Relaxed));
        let told = format!("{names}: {warm} KiB after {WARM} operations, +{grown} KiB of {done}\n");
        // Not by a macro, whose output the harness keeps to itself.
        stderr().write_all(told.as_bytes()).unwrap();
        assert!(grown <= SLACK >> 10, "{told}{resident:?}");
    }
}

/// Something that is done again and again.
struct Kind {
    name: &'static str,
    /// Begins it. What is returned lives as long as the run.
    begin: fn(&Engine, &Load) -> Box<dyn Any>,
}

const KINDS: &[Kind] = &[
    Kind { name: "lines", begin: lines },
    Kind { name: "slow reader", begin: slow_reader },
    Kind { name: "timers", begin: timers },
    Kind { name: "timed reads", begin: timed_reads },
    Kind { name: "accepts", begin: accepts },
    Kind { name: "work", begin: work },
    Kind { name: "claims", begin: claims },
    #[cfg(unix)]
    Kind { name: "waiting connects", begin: waiting_connects },
];

/// Does something in each turn as long as the run goes on.
fn each_turn(engine: &Handle, load: Load, mut f: impl FnMut(&Handle) + Send + 'static) {
    if !load.goes_on() {
        return engine.stop();
    }
    f(engine);
    let next = Callback::new(|engine, ()| each_turn(engine, load, f), |_, error| panic!("{error}"));
    engine.sleep(Duration::ZERO, next);
}

/// A connection, both of whose ends are the engine's.
fn connection(engine: &Engine) -> (Stream, Stream) {
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let (accepted, connected) = (Outcome::new(), Outcome::new());
    engine.accept(&listener, accepted.callback());
    engine.connect(listener.local_addr().unwrap(), connected.callback());
    turn_until(engine, || accepted.is_there() && connected.is_there());
    (accepted.value(), connected.value())
}

// Lines

fn lines(engine: &Engine, load: &Load) -> Box<dyn Any> {
    for _ in 0..8 {
        let (server, client) = connection(engine);
        answer(engine, server);
        for _ in 0..16 {
            ask(engine, load.clone(), client.clone());
        }
    }
    Box::new(())
}

fn answer(engine: &Handle, stream: Stream) {
    let again = stream.clone();
    let read = Callback::new(
        move |engine, line: Bytes| {
            let stream = again.clone();
            let written = Callback::new(|engine, _| answer(engine, stream), |_, _| ());
            engine.write_line(&again, line, written);
        },
        |_, _| (),
    );
    engine.read_line(&stream, read.timeout(HOUR));
}

fn ask(engine: &Handle, load: Load, stream: Stream) {
    if !load.goes_on() {
        return engine.stop();
    }
    load.count(4);
    let heard = stream.clone();
    engine.write_line(&stream, "a line that is neither long nor short", Callback::ignore());
    let again = Callback::new(|engine, _| ask(engine, load, heard), |_, _| ());
    engine.read_line(&stream, again.timeout(HOUR));
}

// Writes behind a slow reader

fn slow_reader(engine: &Engine, load: &Load) -> Box<dyn Any> {
    const IN_HAND: usize = 200;
    let (writer, reader) = connection(engine);
    // So that the system takes what is written in part. A simulated socket has no such option.
    let _ = SockRef::from(&writer).set_send_buffer_size(256 << 10);
    for _ in 0..IN_HAND {
        keep_writing(engine, load.clone(), writer.clone());
    }
    each_turn(engine, load.clone(), move |engine| {
        engine.read_exact(&reader, 40_300, Callback::ignore());
    });
    Box::new(())
}

fn keep_writing(engine: &Handle, load: Load, stream: Stream) {
    const FRAME: &[u8] = &[b'.'; 1000];
    if !load.goes_on() {
        return engine.stop();
    }
    let again = stream.clone();
    let next = Callback::new(
        move |engine, _| {
            load.count(1);
            keep_writing(engine, load, again);
        },
        |_, _| (),
    );
    // A copy, as a program's own buffers are.
    engine.write(&stream, Bytes::copy_from_slice(FRAME), next);
}

// Deadlines

fn timers(engine: &Engine, load: &Load) -> Box<dyn Any> {
    let counted = load.clone();
    each_turn(engine, load.clone(), move |engine| {
        for _ in 0..256 {
            engine.sleep(HOUR, Callback::ignore()).cancel();
        }
        counted.count(256);
    });
    Box::new(())
}

fn timed_reads(engine: &Engine, load: &Load) -> Box<dyn Any> {
    let (ours, theirs) = connection(engine);
    let counted = load.clone();
    each_turn(engine, load.clone(), move |engine| {
        for _ in 0..64 {
            engine.read_line(&ours, Callback::ignore().timeout(HOUR)).cancel();
        }
        counted.count(64);
    });
    Box::new(theirs)
}

// Connections

#[cfg(unix)]
fn waiting_connects(engine: &Engine, load: &Load) -> Box<dyn Any> {
    /// So many wait at a time where nobody accepts.
    const WAITING: usize = 16;
    let (full, path) = driver::bind_full_unix();
    let counted = load.clone();
    let mut waiting = Vec::new();
    let connect =
        |engine: &Handle, path: &std::path::Path| engine.connect(path, Callback::ignore());
    each_turn(engine, load.clone(), move |engine| {
        waiting.push(connect(engine, &path));
        if waiting.len() > WAITING {
            waiting.remove(0).cancel();
        }
        counted.count(1);
    });
    Box::new(full)
}

fn accepts(engine: &Engine, load: &Load) -> Box<dyn Any> {
    let listener = engine.listen("127.0.0.1:0").unwrap();
    for _ in 0..4 {
        connect_and_accept(engine, load.clone(), listener.clone());
    }
    Box::new(())
}

fn connect_and_accept(engine: &Handle, load: Load, listener: Listener) {
    if !load.goes_on() {
        return engine.stop();
    }
    load.count(2);
    engine.connect(listener.local_addr().unwrap(), Callback::ignore());
    let again = listener.clone();
    let next = Callback::new(
        |engine, stream| {
            // Reset, so that no port stays in use for a minute.
            engine.abort(&stream);
            connect_and_accept(engine, load, again);
        },
        |_, error| panic!("{error}"),
    );
    engine.accept(&listener, next);
}

// The rest

fn work(engine: &Engine, load: &Load) -> Box<dyn Any> {
    let counted = load.clone();
    each_turn(engine, load.clone(), move |engine| {
        engine.submit_work(|| vec![0_u8; 1000], Callback::ignore());
        counted.count(1);
    });
    Box::new(())
}

fn claims(engine: &Engine, load: &Load) -> Box<dyn Any> {
    let (ours, theirs) = connection(engine);
    let counted = load.clone();
    each_turn(engine, load.clone(), move |engine| {
        for _ in 0..16 {
            engine.write_line(&theirs, "a line that is given back", Callback::ignore());
            engine.read_line(&ours, Callback::claim(|_, claim| drop(claim)));
            engine.read_line(&ours, Callback::ignore());
        }
        counted.count(48);
    });
    Box::new(())
}
