//! How the cost of a round trip grows, as a chart: a line a server, both axes logarithmic.

use std::error::Error;
use std::ops::Range;

use plotters::prelude::*;

use super::cases::Case;
use super::figures::{Figures, Sample, Spread};

pub(crate) fn svg(figures: &Figures) -> Result<String, Box<dyn Error>> {
    let connections = Panel::of(
        figures,
        "connections, messages of 64 B",
        |case| case.size == 64,
        |case| case.connections,
    );
    let sizes = Panel::of(
        figures,
        "bytes in a message, 10 connections",
        |case| case.connections == 10,
        |case| case.size,
    );
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let panels = [connections, sizes].into_iter().flatten();
        for (panel, area) in panels.zip(area.split_evenly((2, 1))) {
            panel.draw(&area)?;
        }
        area.present()?;
    }
    Ok(text)
}

struct Panel {
    title: &'static str,
    lines: Vec<Line>,
    x: Range<f64>,
    y: Range<f64>,
}

struct Line {
    name: String,
    color: RGBAColor,
    points: Vec<(f64, f64)>,
}

impl Panel {
    /// Of the cases that belong to it; `x` tells what grows.
    fn of(
        figures: &Figures,
        title: &'static str,
        belongs: impl Fn(&Case) -> bool,
        x: impl Fn(&Case) -> usize,
    ) -> Option<Self> {
        let contestants = figures.plan.field.contestants.iter().zip(&figures.table);
        let lines: Vec<_> = contestants
            .enumerate()
            .map(|(place, (contestant, cells))| {
                let cases = figures.plan.cases.iter().zip(cells);
                let cases = cases.filter(|(case, _)| belongs(case));
                let points = cases.filter_map(|(case, samples)| {
                    let spread = Spread::over(samples, Sample::cpu_microseconds)?;
                    Some((x(case) as f64, spread.median))
                });
                let mut points: Vec<_> = points.collect();
                points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
                let color = Palette99::pick(place).to_rgba();
                Line { name: contestant.title.clone(), color, points }
            })
            .filter(|line| !line.points.is_empty())
            .collect();
        let points = || lines.iter().flat_map(|line| &line.points);
        let x = Spread::of(points().map(|point| point.0))?;
        let y = Spread::of(points().map(|point| point.1))?;
        let y = y.least / 1.3..y.greatest * 1.3;
        Some(Self { title, lines, x: x.least..x.greatest, y })
    }

    fn draw<D>(self, area: &DrawingArea<D, plotters::coord::Shift>) -> Result<(), Box<dyn Error>>
    where
        D: DrawingBackend,
        D::ErrorType: 'static,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(format!("Server CPU a round trip in µs, by {}", self.title), FONT)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(26)
            .y_label_area_size(50)
            .build_cartesian_2d(self.x.log_scale(), self.y.log_scale())?;
        chart.configure_mesh().light_line_style(TRANSPARENT).draw()?;
        for Line { name, color, points } in self.lines {
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(2))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        Ok(())
    }
}

const SIZE: (u32, u32) = (900, 1100);

const FONT: (&str, i32) = ("sans-serif", 15);
