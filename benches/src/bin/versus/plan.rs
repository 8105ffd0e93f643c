//! Which measurements are made, in which order, and making them.

use std::error::Error;
use std::time::Duration;

use facade_benches::load::{self, Config, Report};
use facade_benches::process::{self, Server};
use pico_args::Arguments;

use super::cases::{self, CASES, Case, GROWTH};
use super::contestants::{self, Contestant, Field};
use super::figures::{Figures, Sample};
use super::machine::Machine;
use super::progress::Progress;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) field: Field,
    pub(crate) cases: Vec<&'static Case>,
    pub(crate) rounds: usize,
    pub(crate) length: Duration,
    /// Whether it is about how cost grows, not about how servers differ.
    pub(crate) growth: bool,
}

/// Where the two sides run.
#[derive(Clone, Copy)]
struct Cores {
    server: usize,
    load: usize,
}

impl Plan {
    pub(crate) fn parse(mut arguments: Arguments) -> Result<Self, Box<dyn Error>> {
        let quick = arguments.contains("--quick");
        let growth = arguments.contains("--growth");
        let (rounds, seconds) = match (quick, growth) {
            (true, _) => (2, 0.25),
            (false, true) => (3, 0.4),
            (false, false) => (7, 0.5),
        };
        let names: Vec<String> = arguments.values_from_str("--with")?;
        let others = arguments.values_from_fn("--server", contestants::command)?;
        let mut cases = arguments.values_from_fn("--case", cases::find)?;
        if growth {
            cases = GROWTH.iter().collect();
        } else if cases.is_empty() {
            cases.extend(&CASES);
        }
        let rounds: usize = arguments.opt_value_from_str("--rounds")?.unwrap_or(rounds);
        let seconds: f64 = arguments.opt_value_from_str("--seconds")?.unwrap_or(seconds);
        let length = Duration::try_from_secs_f64(seconds)?;
        let unknown = arguments.finish();
        if !unknown.is_empty() {
            return Err(format!("unknown arguments: {unknown:?}").into());
        }
        if rounds == 0 {
            return Err("nothing to measure".into());
        }
        let mut field = Field::gather(&names)?;
        field.contestants.extend(others);
        Ok(Self { field, cases, rounds, length, growth })
    }

    pub(crate) fn run(self) -> Result<Figures, Box<dyn Error>> {
        process::raise_file_limit()?;
        let cores = match process::cores()?[..] {
            [server, load, ..] => Some(Cores { server, load }),
            _ => None,
        };
        if cores.is_none() {
            eprintln!("versus: one core only: servers and load disturb each other");
        }
        let machine = Machine::look();
        let mut progress = Progress::new(self.measurements());
        let mut figures = Figures::new(self, machine);
        for round in 0..figures.plan.rounds {
            for column in 0..figures.plan.cases.len() {
                if round < figures.plan.cases[column].rounds(figures.plan.rounds) {
                    measure_all(&mut figures, round, column, cores, &mut progress);
                }
            }
        }
        progress.done();
        figures.machine.look_again();
        Ok(figures)
    }

    fn measurements(&self) -> usize {
        let contestants = &self.field.contestants;
        let one = |case: &&Case| {
            let count = contestants.iter().filter(|one| case.wants(one.services)).count();
            count * case.rounds(self.rounds)
        };
        self.cases.iter().map(one).sum()
    }
}

/// One case on all servers that have its service.
fn measure_all(
    figures: &mut Figures,
    round: usize,
    column: usize,
    cores: Option<Cores>,
    progress: &mut Progress,
) {
    let plan = &figures.plan;
    let case = plan.cases[column];
    let count = plan.field.contestants.len();
    let mut measured: Vec<Option<Report>> = vec![None; count];
    let mut failures = 0;
    // Another server begins each round: what follows a pause has no advantage.
    for row in (0..count).map(|row| (row + round) % count) {
        let contestant = &plan.field.contestants[row];
        if !case.wants(contestant.services) {
            continue;
        }
        progress.step(&format!(
            "round {} of {}, {}, {}",
            round + 1,
            plan.rounds,
            case.name,
            contestant.title
        ));
        match measure(contestant, case, plan.length, cores) {
            Ok(report) => measured[row] = Some(report),
            Err(error) => {
                failures += 1;
                progress.say(&format!("{}, {}: failed: {error}", case.name, contestant.title));
            }
        }
    }
    let first = measured[0].as_ref().and_then(Report::cpu_nanoseconds);
    for (row, report) in measured.into_iter().enumerate() {
        let Some(report) = report else { continue };
        let ratio = report.cpu_nanoseconds().zip(first).map(|(own, first)| own / first);
        figures.table[row][column].push(Sample { round, report, ratio });
    }
    figures.failures += failures;
}

fn measure(
    contestant: &Contestant,
    case: &Case,
    length: Duration,
    cores: Option<Cores>,
) -> Result<Report, Box<dyn Error>> {
    let mut command = contestant.command.clone();
    command.extend(["--listen".into(), "127.0.0.1:0".into()]);
    if case.lines() {
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
    let config = Config::new(server.address());
    let config = Config { stall: BOUND, server_pid: Some(server.pid()), ..config };
    let report = load::run(&case.config(length, config))?;
    if report.operations == 0 { Err("nothing was answered".into()) } else { Ok(report) }
}

/// Bounds each single wait: for a server to listen, for any answer to come.
const BOUND: Duration = Duration::from_secs(10);
