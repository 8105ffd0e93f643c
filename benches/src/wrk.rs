//! [wrk](https://github.com/wg/wrk), which loads a server of HTTP, and what its requests cost.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::process;

/// How fast something was, and what each of it cost.
pub type Figure = (f64, f64);

/// Whether wrk is installed.
pub fn is_there() -> bool {
    Command::new("wrk").arg("-v").output().is_ok()
}

/// Loads a server for so many seconds. Returns the requests a second, and the CPU time of the server's
/// process for one, in microseconds.
///
/// # Errors
///
/// Fails if wrk or the process is not there, or requests failed.
pub fn load(
    pid: u32,
    address: SocketAddr,
    connections: usize,
    seconds: u32,
) -> Result<Figure, Box<dyn Error>> {
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
    if text.contains("Socket errors") || text.contains("Non-2xx") {
        return Err(format!("wrk says {text}").into());
    }
    Ok((count / f64::from(seconds), cost.as_secs_f64() * 1e6 / count))
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

/// Writes a line for each of those that took part: its medians, and the ratio of its cost to that of the
/// first one in the same round, with the least and the greatest.
///
/// # Errors
///
/// As of `out`.
pub fn table(
    out: &mut impl Write,
    title: &str,
    unit: &str,
    names: &[&str],
    figures: &[Vec<Figure>],
) -> io::Result<()> {
    writeln!(out, "| {title} | rate | CPU, {unit} | CPU, to {} |", names[0])?;
    writeln!(out, "|---|---|---|---|")?;
    for (index, name) in names.iter().enumerate() {
        let rates = spread(figures[index].iter().map(|figure| figure.0));
        let costs = spread(figures[index].iter().map(|figure| figure.1));
        let ratios =
            spread(figures[index].iter().zip(&figures[0]).map(|(mine, first)| mine.1 / first.1));
        writeln!(
            out,
            "| {name} | {:.0} | {:.2} | {:.2} ({:.2} to {:.2}) |",
            rates.1, costs.1, ratios.1, ratios.0, ratios.2
        )?;
    }
    Ok(())
}

/// The least, the median and the greatest.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
