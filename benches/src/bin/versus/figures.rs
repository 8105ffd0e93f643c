//! What was measured, and what a reader wants of it: medians, and how far they can be trusted.

use std::time::Duration;

use facade_benches::load::Report;

use super::machine::Machine;
use super::plan::Plan;

/// All measurements, by contestant and case.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) plan: Plan,
    pub(crate) machine: Machine,
    pub(crate) table: Vec<Vec<Vec<Sample>>>,
    pub(crate) failures: usize,
}

/// One server in one case in one round.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) report: Report,
    /// CPU time an operation divided by the first server's in the same round.
    pub(crate) ratio: Option<f64>,
}

/// The middle of some values, and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Figures {
    pub(crate) fn new(plan: Plan, machine: Machine) -> Self {
        let cells = || plan.cases.iter().map(|_| Vec::new()).collect();
        let table = plan.field.contestants.iter().map(|_| cells()).collect();
        Self { plan, machine, table, failures: 0 }
    }
}

impl Sample {
    pub(crate) fn cpu_microseconds(&self) -> Option<f64> {
        self.report.cpu_nanoseconds().map(|nanoseconds| nanoseconds / 1000.0)
    }

    /// What part of the measured time the server could have run and had no core.
    pub(crate) fn server_waited(&self) -> Option<f64> {
        self.part(self.report.server_waited)
    }

    /// The same of the load generator.
    pub(crate) fn load_waited(&self) -> Option<f64> {
        self.part(self.report.load_waited)
    }

    /// By how many MiB the server grew.
    pub(crate) fn grown(&self) -> Option<f64> {
        let resident = self.report.resident?;
        Some((resident.after as f64 - resident.before as f64) / MIB)
    }

    /// How many MiB the server took that nobody read.
    pub(crate) fn taken(&self) -> Option<f64> {
        self.report.taken.map(|taken| taken as f64 / MIB)
    }

    fn part(&self, time: Option<Duration>) -> Option<f64> {
        time.map(|time| time.as_secs_f64() / self.report.elapsed.as_secs_f64())
    }
}

impl Spread {
    /// `None` if there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<_> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&least, &greatest) = sorted.first().zip(sorted.last())?;
        // Of an even number, the middle of the two in the middle.
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { median, least, greatest })
    }

    /// `median (least–greatest)`.
    pub(crate) fn text(self, digits: usize) -> String {
        let Self { median, least, greatest } = self;
        format!("{median:.digits$} ({least:.digits$}–{greatest:.digits$})")
    }

    /// The median alone.
    pub(crate) fn middle(self, digits: usize) -> String {
        format!("{:.digits$}", self.median)
    }

    /// Of what `value` makes of each sample.
    pub(crate) fn over(samples: &[Sample], value: impl Fn(&Sample) -> Option<f64>) -> Option<Self> {
        Self::of(samples.iter().filter_map(value))
    }
}

const MIB: f64 = 1024.0 * 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.0, least: 1.0, greatest: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }
}
