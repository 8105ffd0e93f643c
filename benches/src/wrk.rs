//! [wrk](https://github.com/wg/wrk), which loads a server of HTTP, and what its requests cost.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::process;

/// What came of a load.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Requests a second.
    pub per_second: f64,
    /// The CPU time of the server's process for one of them, in microseconds.
    pub cpu_microseconds: f64,
}

/// What to say where it is not there.
pub const MISSING: &str = "not measured, wrk is not installed (Debian package wrk)";

/// Whether wrk is installed.
pub fn is_there() -> bool {
    Command::new("wrk").arg("-v").output().is_ok()
}

/// Asks a server once, and compares the body of what it answers.
///
/// # Errors
///
/// Fails if the answer is another one, or does not come.
pub fn check(address: SocketAddr, body: &str, bound: Duration) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(bound))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: benches\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, found)) if head.starts_with("HTTP/1.1 200 ") && found == body => Ok(()),
        _ => Err(format!("it answers {answer:?}").into()),
    }
}

/// Loads a server for so many seconds.
///
/// # Errors
///
/// Fails if wrk or the process is not there, or requests failed.
pub fn load(
    pid: u32,
    address: SocketAddr,
    connections: usize,
    seconds: u32,
) -> Result<Report, Box<dyn Error>> {
    let before = cpu_time(pid)?;
    let url = format!("http://{address}/");
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), &url])
        .output()?;
    let cost = cpu_time(pid)? - before;
    let text = String::from_utf8(output.stdout)?;
    let count: f64 = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .ok_or_else(|| format!("wrk says {text:?}"))?;
    if count == 0.0 || text.contains("Socket errors") || text.contains("Non-2xx") {
        return Err(format!("wrk says {text}").into());
    }
    Ok(Report {
        per_second: count / f64::from(seconds),
        cpu_microseconds: cost.as_secs_f64() * 1e6 / count,
    })
}

/// The CPU time of all threads of a process, those that have ended included.
///
/// # Errors
///
/// Fails if there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').ok_or("no stat")?.1;
    let ticks: Vec<u64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    let [user, system] = ticks[..] else { return Err("no stat".into()) };
    let exact = process::scheduled(pid)?.ran;
    Ok(exact.max(Duration::from_millis((user + system) * 10)))
}
