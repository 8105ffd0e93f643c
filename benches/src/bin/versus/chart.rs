//! The figures as a chart: a panel a case, a bar a server, whiskers from the least to the greatest.

use std::error::Error;

use plotters::prelude::*;

use super::cases::{Case, Figure};
use super::contestants::Kind;
use super::figures::{Figures, Sample, Spread};

pub(crate) fn svg(figures: &Figures) -> Result<String, Box<dyn Error>> {
    let panels: Vec<_> =
        (0..figures.plan.cases.len()).filter_map(|column| Panel::of(figures, column)).collect();
    let rows = panels.len().div_ceil(COLUMNS).max(1);
    let height = u32::try_from(rows)? * PANEL.1;
    let mut text = String::new();
    {
        let size = (u32::try_from(COLUMNS)? * PANEL.0, height);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, area) in panels.iter().zip(area.split_evenly((rows, COLUMNS))) {
            panel.draw(&area)?;
        }
        area.present()?;
    }
    Ok(text)
}

struct Panel {
    title: String,
    bars: Vec<Bar>,
    /// Costs that differ by a factor of ten are shown by their logarithms.
    logarithmic: bool,
    /// What all are compared with, if it is a ratio.
    reference: Option<f64>,
}

struct Bar {
    name: String,
    kind: Kind,
    spread: Spread,
}

impl Panel {
    fn of(figures: &Figures, column: usize) -> Option<Self> {
        let case: &Case = figures.plan.cases[column];
        type Value = fn(&Sample) -> Option<f64>;
        let (what, value): (&str, Value) = match case.figure {
            Figure::Cpu => ("server CPU, raw epoll = 1", |sample| sample.ratio),
            Figure::Memory => ("resident", |sample| sample.report.bytes_per_connection()),
            Figure::Latency => ("99 % answered within, µs", |sample| {
                sample.report.latency.map(|latency| latency.percentile_99.as_secs_f64() * 1e6)
            }),
            // What a bound is worth is told better by two numbers than by a bar.
            Figure::Growth => return None,
        };
        let contestants = figures.plan.field.contestants.iter().zip(&figures.table);
        let bars: Vec<_> = contestants
            .filter_map(|(contestant, cells)| {
                let spread = Spread::over(&cells[column], value)?;
                Some(Bar { name: contestant.title.clone(), kind: contestant.kind, spread })
            })
            .collect();
        let medians = Spread::of(bars.iter().map(|bar| bar.spread.median))?;
        let reference = (case.figure == Figure::Cpu).then_some(1.0);
        let logarithmic = medians.greatest > 6.0 * medians.least.max(0.01);
        Some(Self { title: format!("{}: {what}", case.title), bars, logarithmic, reference })
    }

    fn draw<D>(&self, area: &DrawingArea<D, plotters::coord::Shift>) -> Result<(), Box<dyn Error>>
    where
        D: DrawingBackend,
        D::ErrorType: 'static,
    {
        let count = self.bars.len();
        let (from, to) = self.range();
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 15))
            .margin(8)
            .margin_right(20)
            .x_label_area_size(24)
            .y_label_area_size(160)
            .build_cartesian_2d(from..to, (0..count).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .y_labels(count)
            .label_style(("sans-serif", 11))
            .x_label_formatter(&|&at| self.label(at))
            .y_label_formatter(&|place| match place {
                // The first server stands at the top.
                SegmentValue::CenterOf(place) if *place < count => {
                    self.bars[count - 1 - place].name.clone()
                }
                _ => String::new(),
            })
            .draw()?;
        for (place, bar) in self.bars.iter().rev().enumerate() {
            let Spread { median, least, greatest } = bar.spread;
            let (low, high) = (SegmentValue::Exact(place), SegmentValue::Exact(place + 1));
            let middle = SegmentValue::CenterOf(place);
            let mut rectangle =
                Rectangle::new([(from, low), (self.at(median), high)], color(bar.kind).filled());
            rectangle.set_margin(2, 2, 0, 0);
            chart.draw_series([rectangle])?;
            let ends =
                [(self.at(least).max(from), middle.clone()), (self.at(greatest).min(to), middle)];
            chart.draw_series([PathElement::new(ends.to_vec(), BLACK.stroke_width(1))])?;
        }
        if let Some(reference) = self.reference {
            let at = self.at(reference);
            let ends = [(at, SegmentValue::Exact(0)), (at, SegmentValue::Exact(count))];
            chart.draw_series([PathElement::new(ends.to_vec(), BLACK.mix(0.4))])?;
        }
        Ok(())
    }

    /// What the axis shows: to somewhat more than the greatest median; a whisker may be cut.
    fn range(&self) -> (f64, f64) {
        let medians = self.bars.iter().map(|bar| bar.spread.median);
        let Some(Spread { least, greatest, .. }) = Spread::of(medians) else { return (0.0, 1.0) };
        if self.logarithmic {
            (self.at(least.max(0.01) / 1.6), self.at(greatest * 1.6))
        } else {
            (0.0, greatest * 1.3)
        }
    }

    fn at(&self, value: f64) -> f64 {
        if self.logarithmic { value.max(0.01).log10() } else { value }
    }

    fn label(&self, at: f64) -> String {
        let value = if self.logarithmic { 10_f64.powf(at) } else { at };
        if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
    }
}

fn color(kind: Kind) -> RGBColor {
    match kind {
        Kind::Yardstick => RGBColor(170, 170, 170),
        Kind::Ours => RGBColor(46, 125, 50),
        Kind::Peer => RGBColor(66, 133, 190),
    }
}

const COLUMNS: usize = 2;

/// Its width and height.
const PANEL: (u32, u32) = (560, 380);
