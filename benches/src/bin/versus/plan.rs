//! Which measurements are made, in which order, and making them.

use std::error::Error;
use std::time::Duration;

use facade_benches::load::{self, Config, Report};
use facade_benches::process::{self, Sides};

use super::cases::{CASES, Case, GROWTH};
use super::contestants::{Contestant, Field};
use super::figures::{Figures, Sample};
use super::machine::Machine;
use super::options::Options;
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

impl Plan {
    /// How servers differ.
    pub(crate) fn servers(options: &Options) -> Result<Self, Box<dyn Error>> {
        let mut field = Field::gather(|name| options.wants(name, true))?;
        field.contestants.extend(options.others.iter().cloned());
        let mut cases = options.cases.clone();
        if cases.is_empty() {
            cases.extend(&CASES);
        }
        let (rounds, length) = (options.rounds(7), options.length(Duration::from_millis(500)));
        Ok(Self { field, cases, rounds, length, growth: false })
    }

    /// How cost grows: of fewer servers, unless others are named.
    pub(crate) fn growth(options: &Options) -> Result<Self, Box<dyn Error>> {
        let field = Field::gather(|name| options.wants(name, GROWING.contains(&name)))?;
        let (rounds, length) = (options.rounds(3), options.length(Duration::from_millis(400)));
        Ok(Self { field, cases: GROWTH.iter().collect(), rounds, length, growth: true })
    }

    pub(crate) fn run(self) -> Result<Figures, Box<dyn Error>> {
        let sides = Sides::of(&process::cores()?);
        if sides.server == sides.load {
            eprintln!("versus: one core only: servers and load disturb each other");
        }
        let machine = Machine::look();
        let mut progress = Progress::new(self.measurements());
        let mut figures = Figures::new(self, machine);
        for round in 0..figures.plan.rounds {
            for column in 0..figures.plan.cases.len() {
                if round < figures.plan.cases[column].rounds(figures.plan.rounds) {
                    measure_all(&mut figures, round, column, sides, &mut progress);
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

/// Whose costs are looked at as they grow, of all servers.
const GROWING: [&str; 9] = [
    "epoll",
    "uring",
    "callbacks-mio",
    "futures-mio",
    "callbacks-uring",
    "futures-uring",
    "tokio",
    "compio-multishot",
    "libuv",
];

/// One case on all servers that have its service.
fn measure_all(
    figures: &mut Figures,
    round: usize,
    column: usize,
    sides: Sides,
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
        match measure(contestant, case, plan.length, sides) {
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
    sides: Sides,
) -> Result<Report, Box<dyn Error>> {
    let mut command = contestant.command.clone();
    command.extend(["--listen".into(), "127.0.0.1:0".into()]);
    if case.lines() {
        command.push("--lines".into());
    }
    let server = sides.start(&command, BOUND)?;
    let config = Config::new(server.address());
    let config = Config { stall: BOUND, server_pid: Some(server.pid()), ..config };
    let report = load::run(&case.config(length, config))?;
    if report.operations == 0 { Err("nothing was answered".into()) } else { Ok(report) }
}

/// Bounds each single wait: for a server to listen, for any answer to come.
const BOUND: Duration = Duration::from_secs(10);
