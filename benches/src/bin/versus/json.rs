//! The figures as JSON: each single measurement, with everything that is known of it.

use serde_json::{Map, Value, json};

use super::figures::{Figures, Sample};
use super::machine::Machine;

/// All of them.
pub(crate) fn value(figures: &Figures) -> Value {
    let plan = &figures.plan;
    let contestants = plan.field.contestants.iter().zip(&figures.table);
    let servers: Vec<_> = contestants
        .map(|(contestant, cells)| {
            let cases = plan.cases.iter().zip(cells);
            let cases: Map<_, _> = cases
                .map(|(case, samples)| (case.name.to_owned(), samples.iter().map(sample).collect()))
                .collect();
            json!({ "server": contestant.title, "cases": cases })
        })
        .collect();
    json!({
        "machine": machine(&figures.machine, &plan.field.versions),
        "rounds": plan.rounds,
        "seconds": plan.length.as_secs_f64(),
        "missing": plan.field.missing,
        "failures": figures.failures,
        "servers": servers,
    })
}

/// Where and with what, and the versions that only those who took part could tell.
pub(crate) fn machine(machine: &Machine, others: &[(String, String)]) -> Value {
    let versions = machine.versions.iter().chain(others);
    let versions: Map<_, _> =
        versions.map(|(name, version)| (name.clone(), version.as_str().into())).collect();
    json!({
        "date": machine.date,
        "processor": machine.processor,
        "cores": machine.cores,
        "kernel": machine.kernel,
        "rust": machine.rust,
        "versions": versions,
        "arguments": machine.command,
        "load_average": [machine.load.0, machine.load.1],
    })
}

fn sample(sample: &Sample) -> Value {
    let report = &sample.report;
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    json!({
        "round": sample.round,
        "ratio": sample.ratio,
        "operations": report.operations,
        "seconds": report.elapsed.as_secs_f64(),
        "server_cpu_us_per_operation": sample.cpu_microseconds(),
        "server_waited_us": report.server_waited.map(micros),
        "load_waited_us": report.load_waited.map(micros),
        "bytes_per_connection": report.bytes_per_connection(),
        "latency_median_us": report.latency.map(|latency| micros(latency.median)),
        "latency_99_us": report.latency.map(|latency| micros(latency.percentile_99)),
        "taken_bytes": report.taken,
        "resident_before": report.resident.map(|resident| resident.before),
        "resident_after": report.resident.map(|resident| resident.after),
    })
}
