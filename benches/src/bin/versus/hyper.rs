//! What hyper costs over an engine's streams, on each driver, beside hyper on tokio: wrk, one core
//! each.

use std::env;
use std::time::Duration;

use facade_benches::process::{self, Sides};
use facade_benches::{servers, wrk};

use super::contest::{Case, Column, Contest, Done, Rules, Sample, Value, chosen};
use super::options::Options;

pub(crate) fn names() -> Vec<&'static str> {
    servers::http().map(|(name, _)| name).collect()
}

pub(crate) fn measure(options: &Options) -> Done<Contest> {
    let all: Vec<_> = servers::http().map(|named| (named, named.0)).collect();
    if all.is_empty() {
        return Ok(Contest::skipped(
            "hyper: not measured, built without the feature `peers`".into(),
        ));
    }
    if !wrk::is_there() {
        return Ok(Contest::skipped(format!("hyper: {}", wrk::MISSING)));
    }
    let sides = Sides::of(&process::cores()?);
    let program = env::current_exe()?.to_string_lossy().into_owned();
    let seconds = options.full_seconds(Duration::from_secs(3));
    let about = format!(
        "A service that says hello, one core for it and one for wrk with {CONNECTIONS} connections \
         for {seconds} s."
    );
    let rules = Rules { about, cases: CASES.into(), rounds: options.rounds(7), unit: None };
    Ok(Contest::measure(rules, &chosen(&all, options), |name, _| {
        let command = [&*program, "serve", "--http", "--server", name, "--listen", "127.0.0.1:0"];
        let server = sides.start(&command.map(str::to_owned), BOUND)?;
        wrk::check(server.address(), servers::HELLO, BOUND)?;
        let report = wrk::load(server.pid(), server.address(), CONNECTIONS, seconds)?;
        Ok(Sample { rate: Some(report.per_second), cost: report.cpu_microseconds })
    }))
}

const CASES: [Case; 1] = [Case {
    name: "wrk",
    columns: &[
        Column { title: "requests/s", value: Value::Rate, digits: 0, ends: false },
        Column { title: "CPU, µs a request", value: Value::Cost, digits: 2, ends: false },
        Column {
            title: "CPU, as a ratio to {first}'s in the same round",
            value: Value::Ratio,
            digits: 2,
            ends: true,
        },
    ],
}];

const CONNECTIONS: usize = 50;

/// Bounds each single wait.
const BOUND: Duration = Duration::from_secs(10);
