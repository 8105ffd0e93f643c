//! Compares servers: the same cases on each, in interleaved rounds, as ratios to raw epoll.
//!
//! This machine's speed drifts by more than the differences looked for. So a ratio is taken only
//! between neighbours in time, within one round, and the table shows the median of the rounds
//! with the least and the greatest. Each measurement has a new server process on one core; the
//! load runs in this process on another. The servers of this crate are this program again, called
//! with `serve`, so that nothing else has to be built.

mod cases;
mod chart;
mod contestants;
mod cores;
mod figures;
mod growth;
mod json;
mod machine;
mod plan;
mod progress;
mod table;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::{env, fs};

use facade_benches::servers;
use pico_args::Arguments;

use plan::Plan;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let done = match arguments.first().and_then(|first| first.to_str()) {
        Some("serve") => servers::run(Arguments::from_vec(arguments[1..].to_vec())).map(|()| 0),
        Some("-h" | "--help") => help(),
        _ => compare(Arguments::from_vec(arguments)),
    };
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("versus: {failures} measurements failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and tells; returns how many measurements failed.
fn compare(mut arguments: Arguments) -> Result<usize, Box<dyn Error>> {
    if arguments.contains("--cores") {
        cores::Plan::parse(arguments)?.run(&mut std::io::stdout().lock())?;
        return Ok(0);
    }
    let json: Option<String> = arguments.opt_value_from_str("--json")?;
    let svg: Option<String> = arguments.opt_value_from_str("--svg")?;
    let plan = Plan::parse(arguments)?;
    let figures = plan.run()?;
    let mut out = std::io::stdout().lock();
    table::write(&figures, &mut out)?;
    if let Some(file) = json {
        fs::write(file, json::text(&figures)?)?;
    }
    if let Some(file) = svg {
        let svg = if figures.plan.growth { growth::svg(&figures)? } else { chart::svg(&figures)? };
        fs::write(file, svg)?;
    }
    Ok(figures.failures)
}

fn help() -> Result<usize, Box<dyn Error>> {
    std::io::stdout().write_all(HELP.as_bytes())?;
    Ok(0)
}

const HELP: &str = "\
Compares servers by CPU time an operation, as ratios to raw epoll, and by memory and latency.

usage: versus [options]
       versus --cores [--with NAME] [--rounds N] [--seconds S]
       versus serve --server NAME --listen ADDR [--lines] [--engines N [--steer]]

  --with NAME            only these of the servers, repeatable (all that are there); raw epoll
                         takes part in any case
  --server NAME=COMMAND  another server, repeatable. The command is split at white space and gets
                         `--listen 127.0.0.1:0`, and `--lines` for a line service; it prints
                         `listening on ADDRESS` and ends when it is killed
  --case CASE            1x64, 64x64, 1000x64, 64x16k, churn, lines, idle, mix or slow,
                         repeatable (all)
  --rounds N             interleaved rounds (7)
  --seconds S            length of one measurement (0.5)
  --quick                two short rounds
  --growth               how cost grows with connections and size instead, --case has no meaning
  --cores                what a second core brings instead, see benches/README.md
  --json FILE            also each single measurement
  --svg FILE             also a chart
";
