//! The figures as JSON: each single measurement, with everything that is known of it.

use serde_json::{Map, Value, json};

use super::figures::{Figures, Sample};

pub(crate) fn text(figures: &Figures) -> serde_json::Result<String> {
    let machine = &figures.machine;
    let plan = &figures.plan;
    let versions = machine.versions.iter().chain(&plan.field.versions);
    let versions: Map<_, _> =
        versions.map(|(name, version)| (name.clone(), version.as_str().into())).collect();
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
    serde_json::to_string_pretty(&json!({
        "date": machine.date,
        "processor": machine.processor,
        "cores": machine.cores,
        "kernel": machine.kernel,
        "rust": machine.rust,
        "versions": versions,
        "arguments": machine.command,
        "load_average": [machine.load.0, machine.load.1],
        "rounds": plan.rounds,
        "seconds": plan.length.as_secs_f64(),
        "missing": plan.field.missing,
        "failures": figures.failures,
        "servers": servers,
    }))
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
