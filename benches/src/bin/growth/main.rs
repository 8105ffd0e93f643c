//! How the engine's costs grow with what is pending, open or looked for.
//!
//! Each point is CPU time of this thread, in user space and in the kernel, and the least of some
//! rounds: what else the machine does only adds to it.

mod patterns;
mod streams;
mod timers;

#[path = "../versus/machine.rs"]
mod machine;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use facade_benches::curves::{self, Curve, Panel};
use facade_benches::process;
use facade_engine::{Builder, DriverChoice, Engine};
use pico_args::Arguments;
use rustix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    match run(Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("growth: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    if arguments.contains(["-h", "--help"]) {
        return Ok(out.write_all(HELP.as_bytes())?);
    }
    let svg: Option<String> = arguments.opt_value_from_str("--svg")?;
    let rounds = arguments.opt_value_from_str("--rounds")?.unwrap_or(5);
    let only: Option<String> = arguments.opt_value_from_str("--only")?;
    let unknown = arguments.finish();
    if !unknown.is_empty() {
        return Err(format!("unknown arguments: {unknown:?}").into());
    }
    process::raise_file_limit()?;
    let mut machine = machine::Machine::look();
    let wanted = |name| only.as_ref().is_none_or(|only| only == name);
    let mut panels = Vec::new();
    if wanted("timers") {
        panels.push(timers::panel(rounds)?);
    }
    if wanted("streams") {
        panels.push(streams::panel(rounds)?);
    }
    if wanted("patterns") {
        panels.extend(patterns::panels(rounds)?);
    }
    machine.look_again();
    let version = machine.versions.iter().find(|(name, _)| name == "facade-engine");
    writeln!(
        out,
        "{}, {}, {} cores, Linux {}, {}, facade-engine {}. `growth {}`. Load average {} to {}.",
        machine.date,
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.rust,
        version.map_or("", |(_, version)| version),
        machine.command,
        machine.load.0,
        machine.load.1,
    )?;
    panels.iter().try_for_each(|panel| table(panel, &mut out))?;
    if let Some(file) = svg {
        fs::write(file, curves::svg(&panels)?)?;
    }
    Ok(())
}

/// A panel as Markdown.
fn table(panel: &Panel, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n{}:\n", panel.title)?;
    let Some(first) = panel.curves.first() else { return Ok(()) };
    let heads: Vec<_> = first.points.iter().map(|(x, _)| x.to_string()).collect();
    writeln!(out, "| | {} |", heads.join(" | "))?;
    writeln!(out, "|---|{}", "--:|".repeat(heads.len()))?;
    for Curve { name, points } in &panel.curves {
        let cells: Vec<_> = points.iter().map(|(_, y)| digits(*y)).collect();
        writeln!(out, "| {name} | {} |", cells.join(" | "))?;
    }
    Ok(())
}

/// About three digits.
fn digits(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// The least that `measure` says in some rounds.
fn least<E>(rounds: usize, mut measure: impl FnMut() -> Result<f64, E>) -> Result<f64, E> {
    (0..rounds.max(1)).try_fold(f64::INFINITY, |least, _| Ok(least.min(measure()?)))
}

/// A curve of the least costs at each of `sizes`.
fn curve<E>(
    name: impl Into<String>,
    sizes: &[usize],
    rounds: usize,
    mut measure: impl FnMut(usize) -> Result<f64, E>,
) -> Result<Curve, E> {
    let points = sizes.iter().map(|&size| Ok((size as f64, least(rounds, || measure(size))?)));
    Ok(Curve { name: name.into(), points: points.collect::<Result<_, E>>()? })
}

/// How many nanoseconds of this thread's CPU time something takes.
fn nanoseconds<E>(run: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let before = now();
    run()?;
    Ok(now() - before)
}

fn engine(driver: DriverChoice) -> facade_engine::Result<Engine> {
    Builder::new().driver(driver).build()
}

/// Runs turns, without waiting, until no more than this is pending.
fn settle(engine: &Engine, pending: usize) -> facade_engine::Result<()> {
    while engine.run_once(Some(Duration::ZERO))?.pending > pending {}
    Ok(())
}

const HELP: &str = "\
Measures how the engine's costs grow: with timers pending, streams open, patterns looked for.

usage: growth [--only NAME] [--rounds N] [--svg FILE]

  --only NAME  timers, streams or patterns (all)
  --rounds N   of which the least counts (5)
  --svg FILE   also a chart
";
