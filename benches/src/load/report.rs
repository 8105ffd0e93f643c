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
    /// The server's memory in [`Mode::Idle`], if its process was named.
    pub resident: Option<Resident>,
}

/// Resident bytes of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// With a few connections already there.
    pub before: u64,
    /// With all of them, idle.
    pub after: u64,
}

impl Report {
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
        format!(
            "{{\"mode\":\"{}\",\"connections\":{},\"operations\":{},\"seconds\":{:.6},\
             \"per_second\":{:.1},\"server_cpu_ns_per_operation\":{},\"resident_before\":{},\
             \"resident_after\":{},\"bytes_per_connection\":{}}}",
            self.mode.name(),
            self.connections,
            self.operations,
            self.elapsed.as_secs_f64(),
            self.per_second(),
            number(self.cpu_nanoseconds()),
            count(self.resident.map(|resident| resident.before)),
            count(self.resident.map(|resident| resident.after)),
            number(self.bytes_per_connection()),
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
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Echo => "round trips",
            Self::Lines | Self::Burst => "lines",
            Self::Churn | Self::Idle => "connections",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_null() {
        let report = Report {
            mode: Mode::Echo,
            connections: 2,
            operations: 10,
            elapsed: Duration::from_secs(2),
            server_cpu: Some(Duration::from_micros(20)),
            resident: None,
        };
        assert_eq!(
            report.to_json(),
            "{\"mode\":\"echo\",\"connections\":2,\"operations\":10,\"seconds\":2.000000,\
             \"per_second\":5.0,\"server_cpu_ns_per_operation\":2000.0,\"resident_before\":null,\
             \"resident_after\":null,\"bytes_per_connection\":null}"
        );
    }

    #[test]
    fn a_connection_costs_the_growth_divided_by_the_connections() {
        let report = Report {
            mode: Mode::Idle,
            connections: 1000,
            operations: 1000,
            elapsed: Duration::from_secs(1),
            server_cpu: None,
            resident: Some(Resident { before: 1_000_000, after: 1_900_000 }),
        };
        assert_eq!(report.bytes_per_connection(), Some(900.0));
        assert_eq!(report.cpu_nanoseconds(), None);
    }
}
