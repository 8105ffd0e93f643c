//! What the sections share that are one table each: everybody in turn, round by round.

use std::error::Error;
use std::io::{self, Write};

use facade_benches::servers::Named;
use serde_json::{Map, Value as Json, json};

use super::figures::Spread;
use super::json;
use super::machine::Machine;
use super::options::Options;
use super::progress::Progress;

pub(crate) type Done<T = ()> = Result<T, Box<dyn Error>>;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// How many there were a second, if that is told.
    pub(crate) rate: Option<f64>,
    /// What each cost.
    pub(crate) cost: f64,
}

/// What is asked of all, and the columns that it has.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its name in JSON.
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
}

/// A column of the table; `{first}` in a title is who comes first.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) value: Value,
    pub(crate) digits: usize,
    /// Whether the least and the greatest are told beside the median.
    pub(crate) ends: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Rate,
    Cost,
    /// The cost as a ratio to that of who comes first, in the same round.
    Ratio,
}

/// How a table comes to be.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What its figures are: a sentence.
    pub(crate) about: String,
    pub(crate) cases: Vec<Case>,
    pub(crate) rounds: usize,
    /// If the columns are ratios only: what the costs are counted in, for a last line.
    pub(crate) unit: Option<&'static str>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Contest {
    about: String,
    /// What was left out, and why.
    pub(crate) missing: Vec<String>,
    pub(crate) failures: usize,
    titles: Vec<&'static str>,
    cases: Vec<Case>,
    rounds: usize,
    unit: Option<&'static str>,
    machine: Option<Machine>,
    /// By contestant, case and round; `None` is a failure.
    samples: Vec<Vec<Vec<Option<Sample>>>>,
}

/// Of those who could take part, those who do.
pub(crate) fn chosen<C: Copy>(all: &[(Named, C)], options: &Options) -> Vec<(Named, C)> {
    all.iter().copied().filter(|((name, _), _)| options.wants(name, true)).collect()
}

impl Contest {
    /// Nothing is measured.
    pub(crate) fn skipped(why: String) -> Self {
        eprintln!("SKIPPED: {why}");
        Self { missing: vec![why], ..Self::default() }
    }

    /// Measures everybody in each case once a round.
    pub(crate) fn measure<C>(
        rules: Rules,
        contestants: &[(Named, C)],
        mut measure: impl FnMut(&C, usize) -> Done<Sample>,
    ) -> Self {
        let Rules { about, cases, rounds, unit } = rules;
        let mut machine = Machine::look();
        let mut samples = vec![vec![Vec::new(); cases.len()]; contestants.len()];
        let mut failures = 0;
        let mut progress = Progress::new(rounds * cases.len() * contestants.len());
        for round in 0..rounds {
            for (column, case) in cases.iter().enumerate() {
                // Another begins each round: what follows a pause has no advantage.
                for row in (0..contestants.len()).map(|row| (row + round) % contestants.len()) {
                    let ((_, title), contestant) = &contestants[row];
                    progress.step(&format!("round {} of {rounds}, {title}", round + 1));
                    let sample = measure(contestant, column);
                    if let Err(error) = &sample {
                        failures += 1;
                        progress.say(&format!("{}, {title}: failed: {error}", case.name));
                    }
                    samples[row][column].push(sample.ok());
                }
            }
        }
        progress.done();
        machine.look_again();
        let titles = contestants.iter().map(|((_, title), _)| *title).collect();
        let (missing, machine) = (Vec::new(), Some(machine));
        Self { about, missing, failures, titles, cases, rounds, unit, machine, samples }
    }

    /// As Markdown.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for missing in &self.missing {
            writeln!(out, "**{missing}**\n")?;
        }
        let Some((machine, first)) = self.machine.as_ref().zip(self.titles.first()) else {
            return Ok(());
        };
        let Machine { date, processor, cores, load, .. } = machine;
        writeln!(out, "{date}, {processor}, {cores} cores. {}", self.about)?;
        writeln!(
            out,
            "Median of {} rounds (least–greatest). Load average before: {}, at the end: {}.\n",
            self.rounds, load.0, load.1
        )?;
        let columns = || self.cases.iter().flat_map(|case| case.columns);
        let titles: Vec<_> =
            columns().map(|column| column.title.replace("{first}", first)).collect();
        writeln!(out, "| | {} |", titles.join(" | "))?;
        writeln!(out, "|---|{}", "--:|".repeat(titles.len()))?;
        for (row, title) in self.titles.iter().enumerate() {
            let cells = self.cases.iter().enumerate().flat_map(|(place, case)| {
                case.columns.iter().map(move |column| self.cell(row, place, column))
            });
            writeln!(out, "| {title} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
        }
        if let Some(unit) = self.unit {
            let cost = Column { title: unit, value: Value::Cost, digits: 0, ends: true };
            let cells = (0..self.cases.len()).map(|place| self.cell(0, place, &cost));
            writeln!(out, "| {first}, {unit} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
        }
        Ok(())
    }

    fn cell(&self, row: usize, place: usize, column: &Column) -> String {
        let (own, first) = (&self.samples[row][place], &self.samples[0][place]);
        let values = own.iter().zip(first).filter_map(|(own, first)| {
            let own = own.as_ref()?;
            match column.value {
                Value::Rate => own.rate,
                Value::Cost => Some(own.cost),
                Value::Ratio => first.as_ref().map(|first| own.cost / first.cost),
            }
        });
        Spread::of(values).map_or_else(
            || "–".into(),
            |spread| {
                if column.ends { spread.text(column.digits) } else { spread.middle(column.digits) }
            },
        )
    }

    /// Each single measurement.
    pub(crate) fn json(&self) -> Json {
        let contestants = self.titles.iter().zip(&self.samples).map(|(title, samples)| {
            let cases = self.cases.iter().zip(samples).map(|(case, samples)| {
                let sample = |sample: &Option<Sample>| {
                    let sample = sample.as_ref();
                    Json::from(sample.map(|one| json!({ "rate": one.rate, "cost": one.cost })))
                };
                (case.name.to_owned(), samples.iter().map(sample).collect())
            });
            json!({ "contestant": title, "cases": cases.collect::<Map<_, Json>>() })
        });
        json!({
            "machine": self.machine.as_ref().map(|machine| json::machine(machine, &[])),
            "rounds": self.rounds,
            "about": self.about,
            "missing": self.missing,
            "failures": self.failures,
            "contestants": contestants.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [Case; 1] = [Case {
        name: "case",
        columns: &[
            Column { title: "rate", value: Value::Rate, digits: 0, ends: false },
            Column { title: "to {first}", value: Value::Ratio, digits: 2, ends: true },
        ],
    }];

    /// Ratios are of the same round, whoever began it, and what failed leaves a round out.
    #[test]
    fn ratios_are_taken_within_a_round() {
        let rules = Rules { about: "It.".into(), cases: CASES.into(), rounds: 3, unit: Some("ns") };
        let contestants = [(("one", "One"), 0), (("two", "Two"), 1)];
        let mut rounds = [0, 0];
        let contest = Contest::measure(rules, &contestants, |&who, _| {
            rounds[who] += 1;
            let cost = f64::from(10 * rounds[who]);
            match (who, rounds[who]) {
                (0, _) => Ok(Sample { rate: Some(7.0), cost }),
                (_, 2) => Err("it fails".into()),
                (_, round) => Ok(Sample { rate: None, cost: cost * f64::from(round + 1) }),
            }
        });
        assert_eq!(contest.failures, 1);
        let mut text = Vec::new();
        contest.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let table: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(
            table,
            [
                "| | rate | to One |",
                "|---|--:|--:|",
                "| One | 7 | 1.00 (1.00–1.00) |",
                "| Two | – | 3.00 (2.00–4.00) |",
                "| One, ns | 20 (10–30) |",
            ]
        );
    }
}
