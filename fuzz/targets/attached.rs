//! Whatever is attached: the engine takes it or refuses it with a typed error, never hangs, and
//! gives every descriptor back.
#![no_main]

use std::{
    fs,
    io::{Write, pipe},
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arbitrary::Arbitrary;
use facade_engine::{Callback, DriverChoice, Engine, File, Listener, Local, Result, Stream};
use libfuzzer_sys::fuzz_target;
use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    fs::{MemfdFlags, Mode, OFlags, memfd_create, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

#[derive(Debug, Arbitrary)]
struct Case {
    io_uring: bool,
    kinds: Vec<(Kind, Vec<Step>)>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Kind {
    Tcp,
    Unix,
    Datagram,
    TcpListener,
    UnixListener,
    PipeReader,
    PipeWriter,
    Memory,
    ReadOnly,
    WriteOnly,
    Folder,
    PathOnly,
    Null,
    Zero,
    Full,
    EventFd,
    Epoll,
    Terminal,
    Controlling,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    ReadLine,
    ReadChunk(u8),
    ReadAll,
    Write(u8),
    Flush,
    ShutdownWrite,
    Close,
    Abort,
    Detach,
    OtherWrites(u8),
    OtherEnds,
    Turn,
    ReadAt(u8),
    WriteAt(u8),
    Accept,
}

/// A descriptor, and the other end where it has one.
fn make(kind: Kind) -> (OwnedFd, Option<fs::File>) {
    fn both(ours: impl Into<OwnedFd>, other: impl Into<OwnedFd>) -> (OwnedFd, Option<fs::File>) {
        (ours.into(), Some(other.into().into()))
    }
    let file = |path: &str, flags| (open(path, flags, Mode::empty()).unwrap(), None);
    match kind {
        Kind::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, _) = listener.accept().unwrap();
            // Reset at its end, so that no port stays in use.
            rustix::net::sockopt::set_socket_linger(&other, Some(Duration::ZERO)).unwrap();
            both(ours, other)
        }
        Kind::Unix => UnixStream::pair().map(|(ours, other)| both(ours, other)).unwrap(),
        Kind::Datagram => UnixDatagram::pair().map(|(ours, other)| both(ours, other)).unwrap(),
        Kind::TcpListener => (TcpListener::bind("127.0.0.1:0").unwrap().into(), None),
        Kind::UnixListener => {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let number = COUNT.fetch_add(1, Relaxed);
            let name = format!("facade-fuzz-{}-{number}", std::process::id());
            let address = SocketAddr::from_abstract_name(name).unwrap();
            (UnixListener::bind_addr(&address).unwrap().into(), None)
        }
        Kind::PipeReader => pipe().map(|(reader, writer)| both(reader, writer)).unwrap(),
        Kind::PipeWriter => pipe().map(|(reader, writer)| both(writer, reader)).unwrap(),
        Kind::Memory => (memfd_create("fuzz", MemfdFlags::CLOEXEC).unwrap(), None),
        Kind::ReadOnly => file("/proc/self/status", OFlags::RDONLY),
        Kind::WriteOnly => {
            let file = tempfile();
            (file, None)
        }
        Kind::Folder => file("/", OFlags::RDONLY),
        Kind::PathOnly => file("/dev/null", OFlags::PATH),
        Kind::Null => file("/dev/null", OFlags::RDWR),
        Kind::Zero => file("/dev/zero", OFlags::RDWR),
        Kind::Full => file("/dev/full", OFlags::RDWR),
        Kind::EventFd => (eventfd(0, EventfdFlags::CLOEXEC).unwrap(), None),
        Kind::Epoll => (epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(), None),
        Kind::Terminal | Kind::Controlling => {
            let controlling = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&controlling).unwrap();
            unlockpt(&controlling).unwrap();
            let name = ptsname(&controlling, Vec::new()).unwrap();
            let terminal = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
            match kind {
                Kind::Terminal => both(terminal, controlling),
                _ => both(controlling, terminal),
            }
        }
    }
}

fn tempfile() -> OwnedFd {
    open("/tmp", OFlags::WRONLY | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR).unwrap()
}

/// Counts the callbacks that ran.
#[derive(Clone, Default)]
struct Heard {
    submitted: usize,
    heard: Arc<AtomicUsize>,
}

impl Heard {
    fn one<T: Send + 'static>(&mut self) -> Callback<T> {
        self.submitted += 1;
        let heard = Arc::clone(&self.heard);
        let count = move |_: &Local, outcome: Result<T>| {
            heard.fetch_add(1, Relaxed);
            if let Err(error) = outcome {
                assert!(!error.to_string().is_empty());
            }
        };
        Callback::from_fn(count)
    }
}

enum Attached {
    Stream(Stream),
    Listener(Listener),
    File(File),
}

fn attach(engine: &Engine, kind: Kind, steps: &[Step], fd: OwnedFd) -> Result<Attached> {
    let by_position = steps.iter().any(|step| matches!(step, Step::ReadAt(_) | Step::WriteAt(_)));
    Ok(match kind {
        _ if by_position => Attached::File(engine.attach_file(fd)?),
        Kind::TcpListener | Kind::UnixListener => Attached::Listener(engine.attach_listener(fd)?),
        _ => Attached::Stream(engine.attach(fd)?),
    })
}

fn play(
    engine: &Engine,
    attached: &Attached,
    step: Step,
    other: &mut Option<fs::File>,
    heard: &mut Heard,
) {
    match (step, attached) {
        (Step::OtherWrites(count), _) => {
            // Little enough that it never blocks.
            if let Some(other) = other {
                drop(other.write(&vec![b'\n'; usize::from(count % 64)]));
            }
        }
        (Step::OtherEnds, _) => *other = None,
        (Step::Turn, _) => drop(engine.run_once(Some(Duration::ZERO)).unwrap()),
        (Step::ReadLine, Attached::Stream(s)) => drop(engine.read_line(s, heard.one())),
        (Step::ReadChunk(size), Attached::Stream(s)) => {
            drop(engine.read_chunk(s, size.into(), heard.one()));
        }
        (Step::ReadAll, Attached::Stream(s)) => drop(engine.read_all(s, heard.one())),
        (Step::Write(count), Attached::Stream(s)) => {
            drop(engine.write(s, vec![b'w'; usize::from(count) * 64], heard.one()));
        }
        (Step::Flush, Attached::Stream(s)) => drop(engine.flush(s, heard.one())),
        (Step::ShutdownWrite, Attached::Stream(s)) => drop(engine.shutdown_write(s, heard.one())),
        (Step::Close, Attached::Stream(s)) => {
            let bounded = heard.one().timeout(Duration::from_millis(1));
            drop(engine.close(s, bounded));
        }
        (Step::Abort, Attached::Stream(s)) => engine.abort(s),
        (Step::Detach, Attached::Stream(s)) => drop(engine.detach(s, heard.one())),
        (Step::Accept, Attached::Listener(l)) => drop(engine.accept(l, heard.one())),
        (Step::ReadAt(at), Attached::File(f)) => {
            drop(engine.read_at(f, at.into(), 64, heard.one()));
        }
        (Step::WriteAt(at), Attached::File(f)) => {
            drop(engine.write_at(f, at.into(), "bytes", heard.one()));
        }
        _ => {}
    }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fuzz_target!(|case: Case| {
    let choice = if case.io_uring { DriverChoice::IoUring } else { DriverChoice::Mio };
    // What is opened once for the process.
    drop(Engine::builder().driver(choice).build().unwrap());
    let before = descriptors();
    let engine = Engine::builder().driver(choice).workers(1).build().unwrap();
    let mut heard = Heard::default();
    for (kind, steps) in case.kinds.iter().take(4) {
        let (fd, mut other) = make(*kind);
        let Ok(attached) = attach(&engine, *kind, steps, fd) else { continue };
        for &step in steps.iter().take(16) {
            play(&engine, &attached, step, &mut other, &mut heard);
        }
        drop((attached, other));
        engine.run_once(Some(Duration::ZERO)).unwrap();
    }
    drop(engine);
    assert_eq!(heard.heard.load(Relaxed), heard.submitted, "each callback runs once");
    // A worker that is at a file when its engine goes lets go of it when it is through.
    for _ in 0..200_000 {
        if descriptors() == before {
            return;
        }
        std::thread::yield_now();
    }
    panic!("{} descriptors are left", descriptors() - before);
});
