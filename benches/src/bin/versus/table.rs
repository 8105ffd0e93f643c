//! The figures as Markdown, for the terminal and for the page.

use std::io::{self, Write};

use super::cases::{Case, Figure};
use super::figures::{Figures, Sample, Spread};
use super::machine::Machine;

pub(crate) fn write(figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    machine(figures, out)?;
    cpu(figures, out)?;
    if figures.plan.growth {
        times(figures, out)?;
    }
    rates(figures, out)?;
    others(figures, out)?;
    waits(figures, out)
}

fn machine(figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    let Machine { date, processor, cores, kernel, rust, versions, command, load } =
        &figures.machine;
    writeln!(out, "{date}, {processor}, {cores} cores, Linux {kernel}, {rust}.")?;
    let versions = versions.iter().chain(&figures.plan.field.versions);
    let versions: Vec<_> = versions.map(|(name, version)| format!("{name} {version}")).collect();
    writeln!(out, "{}.", versions.join(", "))?;
    writeln!(out, "`versus {command}`. Load average before: {}, at the end: {}.", load.0, load.1)?;
    for missing in &figures.plan.field.missing {
        writeln!(out, "\n**{missing}**")?;
    }
    Ok(())
}

fn cpu(figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    let first = &figures.plan.field.contestants[0].title;
    let (rounds, length) = (figures.plan.rounds, figures.plan.length);
    let columns = columns(figures, |case| case.figure == Figure::Cpu);
    if columns.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nServer CPU an operation as a ratio to {first} in the same round, median of {rounds} \
         rounds of {length:?} (least–greatest):\n"
    )?;
    head(figures, &columns, out)?;
    rows(figures, &columns, out, |samples| spread(samples, |sample| sample.ratio, 2))?;
    let times = columns
        .iter()
        .map(|&column| spread(&figures.table[0][column], Sample::cpu_microseconds, 2));
    writeln!(out, "| {first}, µs | {} |", times.collect::<Vec<_>>().join(" | "))
}

fn times(figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nServer CPU an operation in µs, median:\n")?;
    let columns = columns(figures, |case| case.figure == Figure::Cpu);
    head(figures, &columns, out)?;
    rows(figures, &columns, out, |samples| median(samples, Sample::cpu_microseconds, 2))
}

fn rates(figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    let columns = columns(figures, |case| case.figure == Figure::Cpu);
    if columns.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nOperations a second, in thousands, median:\n")?;
    head(figures, &columns, out)?;
    rows(figures, &columns, out, |samples| {
        median(samples, |sample| Some(sample.report.per_second() / 1000.0), 1)
    })
}

/// Memory and latency: each case has columns of its own.
fn others(figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    type Value = fn(&Sample) -> Option<f64>;
    let mut columns: Vec<(usize, &str, Value, usize)> = Vec::new();
    for (column, case) in figures.plan.cases.iter().enumerate() {
        let values: &[(&str, Value, usize)] = match case.figure {
            Figure::Cpu => &[],
            Figure::Memory => {
                &[("bytes an idle connection", |sample| sample.report.bytes_per_connection(), 0)]
            }
            Figure::Latency => &[
                ("quiet beside a flood: median, µs", |sample| latency(sample, false), 0),
                ("99 %, µs", |sample| latency(sample, true), 0),
                ("server CPU a line of the flood, µs", Sample::cpu_microseconds, 2),
            ],
            Figure::Growth => &[
                ("client that does not read: MiB taken", Sample::taken, 1),
                ("server grew by, MiB", Sample::grown, 1),
            ],
        };
        columns.extend(values.iter().map(|&(title, value, digits)| (column, title, value, digits)));
    }
    if columns.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nMemory, and latency in company (median of the rounds):\n")?;
    let titles: Vec<_> = columns.iter().map(|&(_, title, ..)| title).collect();
    writeln!(out, "| server | {} |", titles.join(" | "))?;
    writeln!(out, "|---|{}", "--:|".repeat(titles.len()))?;
    for (contestant, cells) in figures.plan.field.contestants.iter().zip(&figures.table) {
        let cells =
            columns.iter().map(|&(column, _, value, digits)| median(&cells[column], value, digits));
        let cells: Vec<_> = cells.collect();
        writeln!(out, "| {} | {} |", contestant.title, cells.join(" | "))?;
    }
    Ok(())
}

/// How much other work on the machine got in the way.
fn waits(figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    let columns = columns(figures, |case| matches!(case.figure, Figure::Cpu | Figure::Latency));
    if columns.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nTime in which a side was ready to run and something else had its core, in percent of \
         the measured time, server / load, median (greatest):\n"
    )?;
    head(figures, &columns, out)?;
    rows(figures, &columns, out, |samples| {
        let part = |value: fn(&Sample) -> Option<f64>| {
            Spread::over(samples, value).map_or_else(none, |Spread { median, greatest, .. }| {
                format!("{:.0} ({:.0})", 100.0 * median, 100.0 * greatest)
            })
        };
        match samples {
            [] => none(),
            _ => format!("{} / {}", part(Sample::server_waited), part(Sample::load_waited)),
        }
    })
}

fn latency(sample: &Sample, late: bool) -> Option<f64> {
    let latency = sample.report.latency?;
    let time = if late { latency.percentile_99 } else { latency.median };
    Some(time.as_secs_f64() * 1e6)
}

fn columns(figures: &Figures, wanted: impl Fn(&Case) -> bool) -> Vec<usize> {
    let cases = figures.plan.cases.iter().enumerate();
    cases.filter(|(_, case)| wanted(case)).map(|(column, _)| column).collect()
}

fn head(figures: &Figures, columns: &[usize], out: &mut impl Write) -> io::Result<()> {
    let titles: Vec<_> = columns.iter().map(|&column| figures.plan.cases[column].title).collect();
    writeln!(out, "| server | {} |", titles.join(" | "))?;
    writeln!(out, "|---|{}", "--:|".repeat(titles.len()))
}

/// A row a contestant; one that has nothing in these columns has none.
fn rows(
    figures: &Figures,
    columns: &[usize],
    out: &mut impl Write,
    text: impl Fn(&[Sample]) -> String,
) -> io::Result<()> {
    for (contestant, cells) in figures.plan.field.contestants.iter().zip(&figures.table) {
        if columns.iter().all(|&column| cells[column].is_empty()) {
            continue;
        }
        let cells: Vec<_> = columns.iter().map(|&column| text(&cells[column])).collect();
        writeln!(out, "| {} | {} |", contestant.title, cells.join(" | "))?;
    }
    Ok(())
}

/// `median (least–greatest)`, or a dash if there is nothing.
fn spread(samples: &[Sample], value: impl Fn(&Sample) -> Option<f64>, digits: usize) -> String {
    Spread::over(samples, value).map_or_else(none, |spread| spread.text(digits))
}

fn median(samples: &[Sample], value: impl Fn(&Sample) -> Option<f64>, digits: usize) -> String {
    Spread::over(samples, value).map_or_else(none, |spread| spread.middle(digits))
}

fn none() -> String {
    "–".into()
}
