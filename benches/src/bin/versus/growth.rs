//! How the cost of a round trip grows, as a chart: a curve a server.

use std::error::Error;

use facade_benches::curves::{self, Curve, Panel};

use super::cases::Case;
use super::figures::{Figures, Sample, Spread};

pub(crate) fn svg(figures: &Figures) -> Result<String, Box<dyn Error>> {
    let connections = panel(
        figures,
        "connections, messages of 64 B",
        |case| case.size == 64,
        |case| case.connections,
    );
    let sizes = panel(
        figures,
        "bytes in a message, 10 connections",
        |case| case.connections == 10,
        |case| case.size,
    );
    curves::svg(&[connections, sizes])
}

/// Of the cases that belong to it; `x` tells what grows.
fn panel(
    figures: &Figures,
    title: &str,
    belongs: impl Fn(&Case) -> bool,
    x: impl Fn(&Case) -> usize,
) -> Panel {
    let contestants = figures.plan.field.contestants.iter().zip(&figures.table);
    let curves = contestants.map(|(contestant, cells)| {
        let cases = figures.plan.cases.iter().zip(cells);
        let cases = cases.filter(|(case, _)| belongs(case));
        let points = cases.filter_map(|(case, samples)| {
            let spread = Spread::over(samples, Sample::cpu_microseconds)?;
            Some((x(case) as f64, spread.median))
        });
        let mut points: Vec<_> = points.collect();
        points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Curve { name: contestant.title.clone(), points }
    });
    let curves = curves.filter(|curve| !curve.points.is_empty()).collect();
    Panel { title: format!("Server CPU a round trip in µs, by {title}"), curves }
}
