//! What a run of the load generator found out, and its two forms: for people and as JSON.

use std::fmt;
use std::time::Duration;

use super::Mode;

/// What a run did and what it cost the server.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the connections did.
    pub mode: Mode,
    /// How many connections.
    pub connections: usize,
    /// Round trips, lines or connections, see [`Mode`].
    pub operations: u64,
    /// How long the measured part took.
    pub elapsed: Duration,
    /// CPU time of the server in the measured part, if its process was named.
    pub server_cpu: Option<Duration>,
    /// How long the server was ready to run in the measured part and something else had its
    /// core, if its process was named: what other work on the machine took from it.
    pub server_waited: Option<Duration>,
    /// The same of the load generator.
    pub load_waited: Option<Duration>,
    /// The server's memory in [`Mode::Idle`] and [`Mode::Slow`], if its process was named.
    pub resident: Option<Resident>,
    /// How long the quiet connections of [`Mode::Mix`] waited for their answers.
    pub latency: Option<Latency>,
    /// How many bytes the service took in [`Mode::Slow`] while nobody read its answers.
    pub taken: Option<u64>,
}

/// From when a message was due to be sent to the last byte of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Half of the answers came within this time.
    pub median: Duration,
    /// 99 of 100 did.
    pub percentile_99: Duration,
}

impl Latency {
    /// Of these times; `None` if there are none.
    pub(super) fn of(times: &mut [Duration]) -> Option<Self> {
        times.sort_unstable();
        let at = |hundredths| times.get(times.len() * hundredths / 100).copied();
        Some(Self { median: at(50)?, percentile_99: at(99)? })
    }
}

/// Resident bytes of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// With a few connections already there.
    pub before: u64,
    /// With all of them, idle; or with all taken that the service takes.
    pub after: u64,
}

impl Report {
    /// A report of what was done; what it cost is not known yet.
    pub(super) fn new(mode: Mode, connections: usize, operations: u64, elapsed: Duration) -> Self {
        Self {
            mode,
            connections,
            operations,
            elapsed,
            server_cpu: None,
            server_waited: None,
            load_waited: None,
            resident: None,
            latency: None,
            taken: None,
        }
    }

    /// Operations a second.
    pub fn per_second(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// CPU time of the server for one operation, in nanoseconds.
    pub fn cpu_nanoseconds(&self) -> Option<f64> {
        let cpu = self.server_cpu?.as_secs_f64() * 1e9;
        (self.operations > 0).then(|| cpu / self.operations as f64)
    }

    /// Bytes by which a connection made the server grow.
    pub fn bytes_per_connection(&self) -> Option<f64> {
        let Resident { before, after } = self.resident?;
        Some((after as f64 - before as f64) / self.connections as f64)
    }

    /// The report as one JSON object on one line; what was not measured is `null`.
    pub fn to_json(&self) -> String {
        let null = || "null".to_owned();
        let number = |value: Option<f64>| value.map_or_else(null, |value| format!("{value:.1}"));
        let count = |value: Option<u64>| value.map_or_else(null, |value| value.to_string());
        let micros = |value: Option<Duration>| number(value.map(|time| time.as_secs_f64() * 1e6));
        format!(
            "{{\"mode\":\"{}\",\"connections\":{},\"operations\":{},\"seconds\":{:.6},\
             \"per_second\":{:.1},\"server_cpu_ns_per_operation\":{},\"server_waited_us\":{},\
             \"load_waited_us\":{},\"resident_before\":{},\"resident_after\":{},\
             \"bytes_per_connection\":{},\"latency_median_us\":{},\
             \"latency_99_us\":{},\"taken\":{}}}",
            self.mode.name(),
            self.connections,
            self.operations,
            self.elapsed.as_secs_f64(),
            self.per_second(),
            number(self.cpu_nanoseconds()),
            micros(self.server_waited),
            micros(self.load_waited),
            count(self.resident.map(|resident| resident.before)),
            count(self.resident.map(|resident| resident.after)),
            number(self.bytes_per_connection()),
            micros(self.latency.map(|latency| latency.median)),
            micros(self.latency.map(|latency| latency.percentile_99)),
            count(self.taken),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, connections, operations, elapsed, .. } = self;
        let unit = mode.unit();
        write!(f, "{}: {connections} connections, {operations} {unit}", mode.name())?;
        write!(f, " in {:.3} s", elapsed.as_secs_f64())?;
        if *mode != Mode::Idle {
            write!(f, ", {:.0} a second", self.per_second())?;
        }
        if let Some(cpu) = self.cpu_nanoseconds() {
            write!(f, "\nserver CPU: {:.3} µs each", cpu / 1000.0)?;
        }
        if let (Some(server), Some(load)) = (self.server_waited, self.load_waited) {
            write!(f, "\nwaited for a core: server {server:.1?}, load {load:.1?}")?;
        }
        if let Some(Latency { median, percentile_99 }) = self.latency {
            write!(f, "\nlatency of the others: median {median:.1?}, 99 % {percentile_99:.1?}")?;
        }
        if let Some(taken) = self.taken {
            write!(f, "\nbytes taken without a reader: {taken}")?;
        }
        if let (Some(resident), Some(each)) = (self.resident, self.bytes_per_connection()) {
            let Resident { before, after } = resident;
            write!(f, "\nserver resident bytes: {before} before, {after} idle, {each:.0} each")?;
        }
        Ok(())
    }
}

impl Mode {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Lines => "lines",
            Self::Burst => "burst",
            Self::Churn => "churn",
            Self::Idle => "idle",
            Self::Mix => "mix",
            Self::Slow => "slow",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Echo => "round trips",
            Self::Lines | Self::Burst | Self::Mix => "lines",
            Self::Slow => "pieces",
            Self::Churn | Self::Idle => "connections",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_null() {
        let mut report = Report::new(Mode::Echo, 2, 10, Duration::from_secs(2));
        report.server_cpu = Some(Duration::from_micros(20));
        assert_eq!(
            report.to_json(),
            "{\"mode\":\"echo\",\"connections\":2,\"operations\":10,\"seconds\":2.000000,\
             \"per_second\":5.0,\"server_cpu_ns_per_operation\":2000.0,\"server_waited_us\":null,\
             \"load_waited_us\":null,\"resident_before\":null,\"resident_after\":null,\
             \"bytes_per_connection\":null,\"latency_median_us\":null,\"latency_99_us\":null,\
             \"taken\":null}"
        );
    }

    #[test]
    fn a_connection_costs_the_growth_divided_by_the_connections() {
        let mut report = Report::new(Mode::Idle, 1000, 1000, Duration::from_secs(1));
        report.resident = Some(Resident { before: 1_000_000, after: 1_900_000 });
        assert_eq!(report.bytes_per_connection(), Some(900.0));
        assert_eq!(report.cpu_nanoseconds(), None);
    }

    #[test]
    fn latency_is_told_by_the_middle_and_by_the_hundredth_from_the_end() {
        let mut times: Vec<_> = (0..200).rev().map(Duration::from_micros).collect();
        let latency = Latency::of(&mut times).unwrap();
        assert_eq!(latency.median, Duration::from_micros(100));
        assert_eq!(latency.percentile_99, Duration::from_micros(198));
        assert_eq!(Latency::of(&mut []), None);
    }
}
