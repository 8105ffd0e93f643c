//! How something grows, as a chart: panels of curves, both axes logarithmic.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

/// Curves with the same axes.
#[derive(Debug)]
pub struct Panel {
    /// What the values are, and of what.
    pub title: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// One thing that grows.
#[derive(Debug)]
pub struct Curve {
    /// What it is called in the legend.
    pub name: String,
    /// By what grows, and what it costs there.
    pub points: Vec<(f64, f64)>,
}

/// The panels below each other as an SVG image. One without a point is left out.
///
/// # Errors
///
/// Fails if a panel cannot be drawn.
pub fn svg(panels: &[Panel]) -> Result<String, Box<dyn Error>> {
    let panels: Vec<_> = panels.iter().filter_map(|panel| Some((panel, panel.ranges()?))).collect();
    let rows = panels.len().max(1);
    let mut text = String::new();
    {
        let size = (WIDTH, HEIGHT * u32::try_from(rows)?);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        for ((panel, ranges), area) in panels.into_iter().zip(area.split_evenly((rows, 1))) {
            panel.draw(ranges, &area)?;
        }
        area.present()?;
    }
    Ok(text)
}

impl Panel {
    /// What the axes show; nothing, if there is no point.
    fn ranges(&self) -> Option<(Range<f64>, Range<f64>)> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let x = range(points().map(|point| point.0))?;
        let y = range(points().map(|point| point.1))?;
        Some((x, y.start / 1.3..y.end * 1.3))
    }

    fn draw<D>(
        &self,
        (x, y): (Range<f64>, Range<f64>),
        area: &DrawingArea<D, Shift>,
    ) -> Result<(), Box<dyn Error>>
    where
        D: DrawingBackend,
        D::ErrorType: 'static,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, FONT)
            .margin(8)
            .margin_right(32)
            .x_label_area_size(26)
            .y_label_area_size(60)
            .build_cartesian_2d(x.log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&f64::to_string)
            .y_label_formatter(&f64::to_string)
            .draw()?;
        for (place, Curve { name, points }) in self.curves.iter().enumerate() {
            let color = Palette99::pick(place).to_rgba();
            chart
                .draw_series(
                    LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(2),
                )?
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

fn range(values: impl Iterator<Item = f64> + Clone) -> Option<Range<f64>> {
    let least = values.clone().min_by(f64::total_cmp)?;
    Some(least..values.max_by(f64::total_cmp)?)
}

const WIDTH: u32 = 900;
/// Of one panel.
const HEIGHT: u32 = 550;

const FONT: (&str, i32) = ("sans-serif", 15);
