//! Other processes: what they cost, by `/proc`, and servers started as children on a core of
//! their own.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What the scheduler did with a process, or with how much of it between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// The CPU time that its threads have used.
    pub ran: Duration,
    /// How long its threads were ready to run while something else had their core.
    pub waited: Duration,
}

impl Scheduled {
    /// What came after an earlier reading.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(earlier.ran),
            waited: self.waited.saturating_sub(earlier.waited),
        }
    }
}

/// What the scheduler has done with the threads of a process so far.
///
/// Exact to the nanosecond, apart from the current time slice of a thread that runs right now.
/// Threads that have ended are not counted, so a difference is right only between two readings
/// with the same threads.
///
/// # Errors
///
/// Fails if there is no such process, or the kernel was built without scheduler statistics.
pub fn scheduled(pid: u32) -> io::Result<Scheduled> {
    let mut total = Scheduled::default();
    for (_, Scheduled { ran, waited }) in threads(pid)? {
        total.ran += ran;
        total.waited += waited;
    }
    Ok(total)
}

/// The same of each thread, by its id; the process's first thread comes first. One that ends while
/// they are read is left out.
///
/// # Errors
///
/// As [`scheduled`].
pub fn threads(pid: u32) -> io::Result<BTreeMap<u32, Scheduled>> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let id = task.file_name().to_str().and_then(|name| name.parse().ok());
        let text = match fs::read_to_string(task.path().join("schedstat")) {
            Ok(text) => text,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        let mut fields = text.split_whitespace().map(|field| field.parse().ok());
        let mut next = || fields.next().flatten().map(Duration::from_nanos);
        let (ran, waited) = (next(), next());
        let scheduled = ran.zip(waited).map(|(ran, waited)| Scheduled { ran, waited });
        threads.extend([id.zip(scheduled).ok_or(io::ErrorKind::InvalidData)?]);
    }
    // A process has a thread at least, its first one, for as long as it is there.
    if threads.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(threads) }
}

/// Whether a file of `/proc` cannot be read because what it tells of has ended: before it was
/// opened or since.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// The resident bytes of a process.
///
/// From `smaps_rollup`, which counts the pages; `VmRSS` is a sum of counters that lag by up to a
/// few hundred KiB.
///
/// # Errors
///
/// Fails if there is no such process or it belongs to another user.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.map(|count| count * 1024).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How long these cores have been idle so far, to a hundredth of a second each.
///
/// # Errors
///
/// Fails if `/proc/stat` does not tell.
pub fn idle(cores: &[usize]) -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let mut total = Duration::ZERO;
    for core in cores {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")));
        // In ticks: user, nice, system, idle, and waiting for a disk.
        let fields = line.into_iter().flat_map(str::split_whitespace).skip(3).take(2);
        let ticks: Result<Vec<u64>, _> = fields.map(str::parse).collect();
        match ticks.as_deref() {
            Ok([idle, waiting]) => {
                total += TICK * u32::try_from(idle + waiting).unwrap_or(u32::MAX)
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(total)
}

/// What `/proc/stat` counts in, on every system that Linux runs on today.
const TICK: Duration = Duration::from_millis(10);

/// The cores that the calling thread may use.
///
/// # Errors
///
/// Fails if the system does not tell.
pub fn cores() -> io::Result<Vec<usize>> {
    let cores = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| cores.is_set(core)).collect())
}

/// Keeps the calling thread, and the threads and children it starts later, on one core.
///
/// # Errors
///
/// Fails if there is no such core, or this process may not use it.
pub fn pin(core: usize) -> io::Result<()> {
    place(None, &[core])
}

/// Keeps a thread of any process on one core.
///
/// # Errors
///
/// Fails if there is no such thread or core, or it may not use it.
pub fn pin_thread(thread: u32, core: usize) -> io::Result<()> {
    let thread = thread.try_into().ok().and_then(Pid::from_raw);
    place(Some(thread.ok_or(io::ErrorKind::InvalidInput)?), &[core])
}

fn place(thread: Option<Pid>, cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        if core >= CpuSet::MAX_CPU {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        set.set(core);
    }
    Ok(sched_setaffinity(thread, &set)?)
}

/// Lets the calling thread, and the threads and children it starts later, run on all of these cores.
///
/// # Errors
///
/// As [`pin`].
pub fn unpin(cores: &[usize]) -> io::Result<()> {
    place(None, cores)
}

/// Where the two sides of a measurement run: a core each, if there are two.
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    /// The core of the server.
    pub server: usize,
    /// That of what loads it.
    pub load: usize,
}

impl Sides {
    /// The first two of these cores, which are not none.
    pub fn of(cores: &[usize]) -> Self {
        Self { server: cores[0], load: cores[cores.len().min(2) - 1] }
    }

    /// Starts a server on its core, as [`Server::start`]; from here on the calling thread is on that
    /// of the load.
    ///
    /// # Errors
    ///
    /// As [`Server::start`] and [`pin`].
    pub fn start(self, command: &[String], bound: Duration) -> io::Result<Server> {
        // The child inherits the core, before it can start a thread that would not be moved.
        pin(self.server)?;
        let server = Server::start(command, bound);
        pin(self.load)?;
        server
    }
}

/// Raises the limit of open files as far as it goes, for this process and its children.
///
/// # Errors
///
/// Fails if the system refuses.
pub fn raise_file_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// A server running as a child process. Dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a server and waits, at most for `bound`, until it prints `listening on ADDRESS`.
    ///
    /// The child inherits the calling thread's core, see [`pin`].
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be started, ends, or prints no such line in time.
    pub fn start(command: &[String], bound: Duration) -> io::Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty command"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        let announced = child.stdout.take().map(|stdout| announcement(BufReader::new(stdout)));
        // From here on the drop ends the child if something fails.
        let mut server = Self { child, address: SocketAddr::from(([0; 4], 0)) };
        let address = announced.and_then(|announced| announced.recv_timeout(bound).ok());
        let silent = || io::Error::other(format!("{program}: no `{ANNOUNCEMENT}ADDRESS`"));
        server.address = address.ok_or_else(silent)?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the announced address, and takes what else is printed, so that the pipe never fills.
fn announcement(output: impl BufRead + Send + 'static) -> mpsc::Receiver<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if let Some(Ok(address)) = line.strip_prefix(ANNOUNCEMENT).map(str::parse) {
                // Whoever waited may have given up.
                let _ = sender.send(address);
            }
        }
    });
    receiver
}

/// What a server prints before its address.
pub const ANNOUNCEMENT: &str = "listening on ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 0);
        scheduled(pid).unwrap();
        idle(&cores().unwrap()).unwrap();
    }

    /// Threads come and go between their listing and their reading.
    #[test]
    fn a_thread_that_ends_while_it_is_read_is_left_out() {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let pid = std::process::id();
        thread::scope(|scope| {
            let coming_and_going = scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    drop(thread::spawn(|| ()).join());
                }
            });
            let readings: Vec<_> = (0..2000).map(|_| threads(pid)).collect();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            coming_and_going.join().unwrap();
            for reading in readings {
                assert!(reading.unwrap().contains_key(&pid), "the first thread is there");
            }
        });
        assert_eq!(threads(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_server_that_ends_silently_is_an_error() {
        let error = Server::start(&["true".into()], Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().contains("listening on"), "{error}");
    }

    #[test]
    fn the_announced_address_is_found_between_other_lines() {
        let output = io::Cursor::new("a line\nlistening on 127.0.0.1:7\nanother\n");
        let address = announcement(output).recv().unwrap();
        assert_eq!(address, SocketAddr::from(([127, 0, 0, 1], 7)));
    }
}
