//! All comparisons of docs/performance.md, a section each. The first is of servers: the same cases on
//! each, in interleaved rounds, as ratios to raw epoll.
//!
//! This machine's speed drifts by more than the differences looked for. So a ratio is taken only
//! between neighbours in time, within one round, and the table shows the median of the rounds
//! with the least and the greatest. Each measurement has a new server process on one core; the
//! load runs in this process on another. The servers of this crate are this program again, called
//! with `serve`, so that nothing else has to be built.

mod cases;
mod chart;
mod contest;
mod contestants;
mod cores;
mod datagrams;
mod figures;
mod growth;
mod hyper;
mod json;
mod machine;
mod options;
mod plan;
mod processes;
mod progress;
mod proxies;
mod read_with;
mod sections;
mod table;
mod windows;
#[cfg(feature = "peers")]
mod within_tokio;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::{env, fs};

use facade_benches::{process, servers};
use pico_args::Arguments;
use serde_json::Map;

use options::Options;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let done = match arguments.first().and_then(|first| first.to_str()) {
        Some("serve") => servers::run(Arguments::from_vec(arguments[1..].to_vec())).map(|()| 0),
        Some("-h" | "--help") => help(),
        _ => Options::parse(Arguments::from_vec(arguments)).and_then(|options| compare(&options)),
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

/// Measures and tells, section by section; returns how many measurements failed.
fn compare(options: &Options) -> Result<usize, Box<dyn Error>> {
    process::raise_file_limit()?;
    let cores = process::cores()?;
    let mut out = std::io::stdout().lock();
    let mut all = Map::new();
    let mut failures = 0;
    for (place, &section) in options.sections.iter().enumerate() {
        eprintln!(
            "versus: section {} of {}, {}",
            place + 1,
            options.sections.len(),
            section.name()
        );
        // The one before may have had a core only.
        process::unpin(&cores)?;
        writeln!(out, "{}{}\n", if place == 0 { "" } else { "\n" }, section.heading())?;
        // One that cannot be measured keeps nobody from the others.
        match section.run(options, &mut out) {
            Ok((value, failed)) => {
                failures += failed;
                all.insert(section.name().to_owned(), value);
            }
            Err(error) => {
                failures += 1;
                eprintln!("versus: {}: {error}", section.name());
                writeln!(out, "**not measured: {error}**")?;
            }
        }
        out.flush()?;
    }
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(failures)
}

fn help() -> Result<usize, Box<dyn Error>> {
    std::io::stdout().write_all(HELP.as_bytes())?;
    Ok(0)
}

const HELP: &str = "\
Measures what docs/performance.md tells, and prints it as the sections of that page: servers by CPU
time an operation, as ratios to raw epoll, by memory and latency; and what else there is to compare.

usage: versus [options]
       versus serve --server NAME --listen ADDR [--lines | --http | --http2 | --target ADDR]
                    [--engines N [--steer]]

  --only SECTION         servers, growth, cores, read-with, datagrams, processes, proxies, hyper,
                         within-tokio or windows, repeatable (all)
  --with NAME            only these take part, repeatable (all that are there), and only in the
                         sections that have them; raw epoll takes part in any case beside servers
  --rounds N             interleaved rounds (3 to 9, by section)
  --seconds S            length of one measurement, where it is a time
  --quick                two short rounds
  --json FILE            also each single measurement
  --svg FILE             also a chart of the servers, and in FILE-growth how cost grows

of the servers alone:

  --case CASE            1x64, 64x64, 1000x64, 64x16k, churn, lines, idle, mix or slow,
                         repeatable (all)
  --server NAME=COMMAND  another server, repeatable. The command is split at white space and gets
                         `--listen 127.0.0.1:0`, and `--lines` for a line service; it prints
                         `listening on ADDRESS` and ends when it is killed
";
