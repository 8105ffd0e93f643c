//! Compares servers: the same cases on each, in interleaved rounds, as ratios to the first.
//!
//! This machine's speed drifts by more than the differences looked for. So a ratio is taken only
//! between neighbours in time, within one round, and the table shows the median of the rounds
//! with the least and the greatest. Each measurement has a new server process on one core; the
//! load runs in this process on another.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, iter};

use facade_benches::load::{self, Config, Length, Mode, Report};
use facade_benches::process::{self, Server};
use pico_args::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    let mut out = std::io::stdout().lock();
    if arguments.contains(["-h", "--help"]) {
        let _ = out.write_all(HELP.as_bytes());
        return ExitCode::SUCCESS;
    }
    match Plan::parse(arguments).and_then(|plan| plan.run(&mut out)) {
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

/// A column of the table.
struct Case {
    name: &'static str,
    title: &'static str,
    mode: Mode,
    connections: usize,
    size: usize,
}

/// A row of the table.
struct Contestant {
    name: String,
    command: Vec<String>,
}

/// Where the two sides run.
#[derive(Clone, Copy)]
struct Cores {
    server: usize,
    load: usize,
}

struct Plan {
    contestants: Vec<Contestant>,
    cases: Vec<&'static Case>,
    rounds: usize,
    length: Duration,
}

/// What one server reached in one case: a value a round, without those that failed.
#[derive(Default)]
struct Cell {
    ratios: Vec<f64>,
    nanoseconds: Vec<f64>,
    per_second: Vec<f64>,
}

impl Plan {
    fn parse(mut arguments: Arguments) -> Result<Self, Box<dyn Error>> {
        let mut contestants = Vec::new();
        if !arguments.contains("--no-yardsticks") {
            contestants.push(yardstick("raw epoll", "epoll")?);
            contestants.push(yardstick("bare mio", "mio")?);
            contestants.push(yardstick("raw uring", "uring")?);
        }
        contestants.extend(arguments.values_from_fn("--server", contestant)?);
        let mut cases = arguments.values_from_fn("--case", case)?;
        if cases.is_empty() {
            cases.extend(&CASES);
        }
        let rounds: usize = arguments.opt_value_from_str("--rounds")?.unwrap_or(5);
        let seconds: f64 = arguments.opt_value_from_str("--seconds")?.unwrap_or(1.0);
        let length = Duration::try_from_secs_f64(seconds)?;
        let unknown = arguments.finish();
        if !unknown.is_empty() {
            return Err(format!("unknown arguments: {unknown:?}").into());
        }
        if contestants.is_empty() || rounds == 0 {
            return Err("nothing to measure".into());
        }
        Ok(Self { contestants, cases, rounds, length })
    }

    /// Measures and prints; returns how many measurements failed.
    fn run(&self, out: &mut impl Write) -> Result<usize, Box<dyn Error>> {
        process::raise_file_limit()?;
        let cores = match process::cores()?[..] {
            [server, load, ..] => Some(Cores { server, load }),
            _ => None,
        };
        if cores.is_none() {
            eprintln!("versus: one core only: servers and load disturb each other");
        }
        let mut table: Vec<Vec<Cell>> = Vec::new();
        table.resize_with(self.contestants.len(), || {
            iter::repeat_with(Cell::default).take(self.cases.len()).collect()
        });
        let mut failures = 0;
        for round in 0..self.rounds {
            for (column, case) in self.cases.iter().enumerate() {
                // Another server begins each round: what follows a pause has no advantage.
                let count = self.contestants.len();
                let mut measured: Vec<Option<(f64, Report)>> = vec![None; count];
                for row in (0..count).map(|row| (row + round) % count) {
                    let contestant = &self.contestants[row];
                    let label = format!("round {round}, {}, {}", case.name, contestant.name);
                    match self.measure(contestant, case, cores) {
                        Ok((nanoseconds, report)) => {
                            eprintln!("{label}: {:.3} µs", nanoseconds / 1000.0);
                            measured[row] = Some((nanoseconds, report));
                        }
                        Err(error) => {
                            failures += 1;
                            eprintln!("{label}: failed: {error}");
                        }
                    }
                }
                let first = measured[0].as_ref().map(|(nanoseconds, _)| *nanoseconds);
                for (row, measured) in measured.into_iter().enumerate() {
                    let Some((nanoseconds, report)) = measured else { continue };
                    let cell = &mut table[row][column];
                    cell.ratios.extend(first.map(|first| nanoseconds / first));
                    cell.nanoseconds.push(nanoseconds);
                    cell.per_second.push(report.per_second());
                }
            }
        }
        self.print(&table, out)?;
        Ok(failures)
    }

    /// One case on one server: CPU nanoseconds for an operation, and the report.
    fn measure(
        &self,
        contestant: &Contestant,
        case: &Case,
        cores: Option<Cores>,
    ) -> Result<(f64, Report), Box<dyn Error>> {
        let mut command = contestant.command.clone();
        command.extend(["--listen".into(), "127.0.0.1:0".into()]);
        if case.mode != Mode::Echo {
            command.push("--lines".into());
        }
        // The child inherits the core, before it can start a thread that would not be moved.
        if let Some(cores) = cores {
            process::pin(cores.server)?;
        }
        let server = Server::start(&command, BOUND);
        if let Some(cores) = cores {
            process::pin(cores.load)?;
        }
        let server = server?;
        let report = load::run(&Config {
            mode: case.mode,
            connections: case.connections,
            size: case.size,
            length: Length::Time(self.length),
            stall: BOUND,
            server_pid: Some(server.pid()),
            ..Config::new(server.address())
        })?;
        let nanoseconds = report.cpu_nanoseconds().ok_or("nothing was answered")?;
        Ok((nanoseconds, report))
    }

    fn print(&self, table: &[Vec<Cell>], out: &mut impl Write) -> std::io::Result<()> {
        let Self { rounds, length, .. } = self;
        let first = &self.contestants[0].name;
        writeln!(
            out,
            "Server CPU an operation as a ratio to {first}, median of {rounds} interleaved rounds \
             of {length:?} (least–greatest):\n"
        )?;
        self.head("server", out)?;
        for (contestant, cells) in self.contestants.iter().zip(table) {
            row(&contestant.name, cells, out, |cell| {
                spread(&cell.ratios, |ratio| format!("{ratio:.2}"))
            })?;
        }
        let absolute = format!("{first}, µs");
        row(&absolute, &table[0], out, |cell| {
            spread(&cell.nanoseconds, |nanoseconds| format!("{:.2}", nanoseconds / 1000.0))
        })?;
        writeln!(out, "\nOperations a second, in thousands:\n")?;
        self.head("server", out)?;
        for (contestant, cells) in self.contestants.iter().zip(table) {
            row(&contestant.name, cells, out, |cell| {
                spread(&cell.per_second, |rate| format!("{:.1}", rate / 1000.0))
            })?;
        }
        Ok(())
    }

    fn head(&self, corner: &str, out: &mut impl Write) -> std::io::Result<()> {
        let titles: Vec<_> = self.cases.iter().map(|case| case.title).collect();
        writeln!(out, "| {corner} | {} |", titles.join(" | "))?;
        writeln!(out, "|---|{}", "--:|".repeat(titles.len()))
    }
}

fn row(
    name: &str,
    cells: &[Cell],
    out: &mut impl Write,
    text: impl Fn(&Cell) -> String,
) -> std::io::Result<()> {
    let cells: Vec<_> = cells.iter().map(text).collect();
    writeln!(out, "| {name} | {} |", cells.join(" | "))
}

/// `median (least–greatest)`, or a dash if there is nothing.
fn spread(values: &[f64], text: impl Fn(f64) -> String) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(&least), Some(&greatest)) = (sorted.first(), sorted.last()) else {
        return "–".into();
    };
    // Of an even number, the middle of the two in the middle.
    let median = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
    format!("{} ({}–{})", text(median), text(least), text(greatest))
}

fn yardstick(name: &str, server: &str) -> Result<Contestant, Box<dyn Error>> {
    let program = env::current_exe()?.with_file_name("yardstick");
    if !program.exists() {
        return Err(format!("{} is not built", program.display()).into());
    }
    let program = program.to_string_lossy().into_owned();
    let command = vec![program, "--server".into(), server.into()];
    Ok(Contestant { name: name.into(), command })
}

fn contestant(text: &str) -> Result<Contestant, &'static str> {
    let (name, command) = text.split_once('=').ok_or("not of the form NAME=COMMAND")?;
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if command.is_empty() {
        return Err("the command is empty");
    }
    Ok(Contestant { name: name.into(), command })
}

fn case(name: &str) -> Result<&'static Case, String> {
    let names = || CASES.map(|case| case.name).join(", ");
    CASES.iter().find(|case| case.name == name).ok_or_else(|| format!("not one of {}", names()))
}

const CASES: [Case; 6] = [
    Case { name: "1x64", title: "1 conn, 64 B", mode: Mode::Echo, connections: 1, size: 64 },
    Case { name: "64x64", title: "64 conns, 64 B", mode: Mode::Echo, connections: 64, size: 64 },
    Case {
        name: "1000x64",
        title: "1000 conns, 64 B",
        mode: Mode::Echo,
        connections: 1000,
        size: 64,
    },
    Case {
        name: "64x16k",
        title: "64 conns, 16 KiB",
        mode: Mode::Echo,
        connections: 64,
        size: 16 * 1024,
    },
    Case {
        name: "churn",
        title: "connect, line, close",
        mode: Mode::Churn,
        connections: 64,
        size: 64,
    },
    Case {
        name: "lines",
        title: "64 conns, bursts of 16 lines",
        mode: Mode::Burst,
        connections: 64,
        size: 64,
    },
];

/// Bounds each single wait: for a server to listen, for any answer to come.
const BOUND: Duration = Duration::from_secs(10);

const HELP: &str = "\
Compares servers by CPU time an operation, as ratios to the first of them.

usage: versus [options]

  --server NAME=COMMAND  another server, repeatable. The command is split at white space and gets
                         `--listen 127.0.0.1:0`, and `--lines` for a line service; it prints
                         `listening on ADDRESS` and ends when it is killed
  --no-yardsticks        without raw epoll, bare mio and raw uring, which come first otherwise
  --case CASE            1x64, 64x64, 1000x64, 64x16k, churn or lines, repeatable (all)
  --rounds N             interleaved rounds (5)
  --seconds S            length of one measurement (1)
";
