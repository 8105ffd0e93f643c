//! The same services on several cores, in one process: ours by engines side by side, tokio by its
//! runtime of several threads.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};

use facade_engine::DriverChoice;
use facade_examples::Result;
use rustix::net::sockopt::set_socket_incoming_cpu;

use crate::facade::{callbacks_on, futures_on};
use crate::process::{self, ANNOUNCEMENT};

/// A server that can have several threads.
#[derive(Clone, Copy, Debug)]
pub struct Several {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is called in tables.
    pub title: &'static str,
    /// Whether connections can be steered to the thread on their core.
    pub steers: bool,
    serve: fn(Service) -> Result<()>,
}

/// What such a server is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) threads: usize,
    pub(crate) lines: bool,
    /// Each thread stays on a core and gets the connections that come in there, see SO_INCOMING_CPU
    /// in socket(7).
    pub(crate) steer: bool,
}

/// Those that there are.
pub static SEVERAL: &[Several] = &[
    Several::ours("callbacks-mio", "callbacks, mio", |it| callbacks_on(DriverChoice::Mio, it)),
    Several::ours("futures-mio", "futures, mio", |it| futures_on(DriverChoice::Mio, it)),
    Several::ours("callbacks-uring", "callbacks, io_uring", |it| {
        callbacks_on(DriverChoice::IoUring, it)
    }),
    Several::ours("futures-uring", "futures, io_uring", |it| futures_on(DriverChoice::IoUring, it)),
    #[cfg(feature = "peers")]
    Several {
        name: "tokio",
        title: "tokio, multi-threaded",
        steers: false,
        serve: |Service { address, threads, lines, .. }| {
            let listener = crate::yardstick::listen(address)?;
            announce(listener.local_addr()?)?;
            Ok(crate::peers::tokio_on(threads, listener, lines)?)
        },
    },
];

impl Several {
    const fn ours(
        name: &'static str,
        title: &'static str,
        serve: fn(Service) -> Result<()>,
    ) -> Self {
        Self { name, title, steers: true, serve }
    }

    /// The one with this name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        let names = || SEVERAL.iter().map(|one| one.name).collect::<Vec<_>>().join(", ");
        let found = SEVERAL.iter().find(|one| one.name == name);
        found.ok_or_else(|| format!("{name:?} is not one of {}", names()))
    }

    /// Serves until a signal ends the process.
    pub(crate) fn serve(&self, service: Service) -> Result<()> {
        (self.serve)(service)
    }
}

pub(crate) fn announce(address: SocketAddr) -> io::Result<()> {
    writeln!(io::stdout(), "{ANNOUNCEMENT}{address}")
}

/// The cores that threads settle on, if they are to.
pub(crate) struct Places {
    cores: Vec<usize>,
    next: AtomicUsize,
    settled: Sender<()>,
}

/// Tells when all have settled.
pub(crate) struct Placed(Receiver<()>);

impl Places {
    pub(crate) fn new(steer: bool) -> io::Result<(Self, Placed)> {
        let cores = if steer { process::cores()? } else { Vec::new() };
        let (settled, placed) = mpsc::channel();
        Ok((Self { cores, next: AtomicUsize::new(0), settled }, Placed(placed)))
    }

    /// Keeps this thread on the next core, and sends the connections that come in there to its
    /// listener.
    pub(crate) fn settle(&self, listener: &impl AsFd) {
        let place = self.next.fetch_add(1, Relaxed);
        if let Some(&core) = self.cores.get(place) {
            process::pin(core).expect("one of our cores");
            let number = u32::try_from(core).expect("few cores");
            set_socket_incoming_cpu(listener, number).expect("Linux has it");
        }
        // Nobody waits if the address was refused.
        let _ = self.settled.send(());
    }
}

impl Placed {
    /// Waits until so many threads have settled.
    pub(crate) fn wait(&self, threads: usize) {
        for () in self.0.iter().take(threads) {}
    }
}
