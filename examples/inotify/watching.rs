//! The folder, and both ways to wait for it.

use std::{mem::MaybeUninit, os::fd::OwnedFd, sync::Arc};

use facade_engine::{Callback, DriverChoice, Engine, Handle};
use facade_examples::{Result, Style, report, say, signals};
use facade_futures::{Io, Runtime, Stream};
use futures::future;
use rustix::{
    fs::inotify::{self, CreateFlags, Reader, WatchFlags},
    io::Errno,
};

pub(crate) fn run(style: Style, driver: DriverChoice, folder: &str) -> Result<()> {
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, folder, WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
    let engine = Engine::builder().driver(driver).build()?;
    let signals = signals(&engine)?;
    say(format_args!("watching {folder}"))?;
    match style {
        Style::Callbacks => {
            engine.read_chunk(&signals, 1, Callback::from_fn(|engine, _| engine.stop()));
            watch_by_callbacks(&engine, Arc::new(watch));
            engine.run()?;
        }
        Style::Futures => {
            let runtime = Runtime::from(engine);
            let (io, mut signals) = (runtime.io().clone(), Stream::from(signals));
            let watching = Box::pin(watch_by_futures(io, watch));
            runtime.block_on(future::select(watching, signals.read_chunk(1)));
        }
    }
    Ok(())
}

fn watch_by_callbacks(engine: &Handle, watch: Arc<OwnedFd>) {
    let again = Arc::clone(&watch);
    engine.readable(
        &watch,
        Callback::new(
            move |engine, ()| match read(&again) {
                Ok(()) => watch_by_callbacks(engine, again),
                Err(error) => eprintln!("{error}"),
            },
            |_, error| report(&error),
        ),
    );
}

async fn watch_by_futures(io: Io, watch: OwnedFd) -> Result<()> {
    loop {
        io.readable(&watch).await?;
        read(&watch)?;
    }
}

/// Reads what there is, as any program would that does not wait.
fn read(watch: &OwnedFd) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 4 << 10];
    let mut events = Reader::new(watch, &mut buffer);
    loop {
        match events.next() {
            Ok(event) => {
                if let Some(name) = event.file_name() {
                    say(name.to_string_lossy())?;
                }
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
