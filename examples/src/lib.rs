//! What the examples share: arguments, errors told on stderr, signals as a stream.

use std::{
    error::Error,
    ffi::OsString,
    fmt::Display,
    io,
    net::{TcpListener, TcpStream},
    process::ExitCode,
    str::FromStr,
};

use facade_engine::{DriverChoice, Handle, Stream};
use pico_args::Arguments;

/// What an example's work ends with.
pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Which of the two styles an example is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The engine as it is.
    Callbacks,
    /// The adapter over it.
    Futures,
}

impl FromStr for Style {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "callbacks" => Ok(Self::Callbacks),
            "futures" => Ok(Self::Futures),
            _ => Err(format!("{name:?} is no style: callbacks or futures")),
        }
    }
}

/// Reads `--driver auto|mio|io_uring|iocp`.
///
/// # Errors
///
/// If it is none of them.
pub fn driver(name: &str) -> Result<DriverChoice, String> {
    match name {
        "auto" => Ok(DriverChoice::Auto),
        "mio" => Ok(DriverChoice::Mio),
        "io_uring" => Ok(DriverChoice::IoUring),
        "iocp" => Ok(DriverChoice::Iocp),
        _ => Err(format!("{name:?} is no driver: auto, mio, io_uring or iocp")),
    }
}

/// Runs an example: reads its arguments with `options`, does its `work`, and says on stderr what
/// went wrong. Exits with 2 if the arguments make no sense and with 1 if the work failed.
pub fn run<O>(
    usage: &str,
    options: impl FnOnce(&mut Arguments) -> Result<O, pico_args::Error>,
    work: impl FnOnce(O) -> Result<()>,
) -> ExitCode {
    run_with(std::env::args_os().skip(1).collect(), usage, options, work)
}

/// The same with these arguments, where some are of another program.
pub fn run_with<O>(
    arguments: Vec<OsString>,
    usage: &str,
    options: impl FnOnce(&mut Arguments) -> Result<O, pico_args::Error>,
    work: impl FnOnce(O) -> Result<()>,
) -> ExitCode {
    let mut arguments = Arguments::from_vec(arguments);
    if arguments.contains(["-h", "--help"]) {
        eprintln!("{usage}");
        return ExitCode::SUCCESS;
    }
    let bad_usage = |what: &dyn Display| {
        eprintln!("{what}\n{usage}");
        ExitCode::from(2)
    };
    let options = match options(&mut arguments) {
        Ok(options) => options,
        Err(error) => return bad_usage(&error),
    };
    if let Some(argument) = arguments.finish().first() {
        return bad_usage(&format_args!("unknown argument {argument:?}"));
    }
    match work(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells of an error that ended one connection, unless it is how connections end: by the peer, well
/// or badly, or with the engine.
pub fn report(error: &facade_engine::Error) {
    use facade_engine::Error::{EndOfStream, EngineClosed, Io, PartialCopy};
    let error = match error {
        PartialCopy { cause, .. } => cause,
        error => error,
    };
    let usual = match error {
        EndOfStream | EngineClosed => true,
        Io { cause, .. } => {
            matches!(cause.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        }
        _ => false,
    };
    if !usual {
        eprintln!("{error}");
    }
}

/// The page of the guide about other crates: its examples take those that are here.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../../futures-adapter/guide/with_crates.md")]
#[derive(Debug)]
pub struct WithCrates;

/// Both ends of a connection, on whichever system.
///
/// # Errors
///
/// If the system refuses the sockets.
pub fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    Ok((one, other))
}

/// A stream that a byte comes on with each SIGINT and SIGTERM: a signal handler may do little more
/// than write to a descriptor, and descriptors are what the engine waits for. On Windows nothing
/// comes: there Ctrl-C ends the process.
///
/// # Errors
///
/// If the system refuses the descriptors or the handlers.
pub fn signals(engine: &Handle) -> Result<Stream> {
    let (ours, theirs) = pair()?;
    #[cfg(unix)]
    {
        use signal_hook::{
            consts::{SIGINT, SIGTERM},
            low_level::pipe,
        };
        pipe::register(SIGINT, theirs.try_clone()?)?;
        pipe::register(SIGTERM, theirs)?;
    }
    #[cfg(windows)]
    std::mem::forget(theirs);
    Ok(engine.attach_exclusive(ours)?)
}

/// Prints a line that scripts wait for.
///
/// # Errors
///
/// If nobody can read it.
pub fn say(line: impl Display) -> io::Result<()> {
    use std::io::Write;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
