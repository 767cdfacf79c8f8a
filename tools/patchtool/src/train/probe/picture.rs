//! A probe as a picture: losses along the path, and along the last directions.

use plotters::chart::ChartBuilder;
use plotters::element::Text;
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::{BATCHES, Probe};
use crate::picture::{
    Area, BLUE, DrawError, FAINT, INK, MEDIUM, Picture, PictureError, SMALL, UNIT, VERMILION, text,
};

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 400;

/// Lines of one panel.
type Lines = Vec<Vec<(f64, f64)>>;

/// Draws the loss of each mini-batch along the path, and, as shares of the loss before, along the direction of its step after the
/// last epoch.
///
/// # Errors
/// A failure of the library that draws.
pub fn draw(probe: &Probe) -> Result<Picture, PictureError> {
    let path = (0..BATCHES).map(|batch| {
        let points = probe.points.iter();
        let points = points.filter_map(|point| Some((point.distance, *point.losses.get(batch)?)));
        points.filter(|(_, loss)| loss.is_finite()).collect()
    });
    let steps = probe.lines.last().into_iter().flatten().map(|line| {
        let share = 2.0 / (line.losses.len() - 1).max(1) as f64;
        let points = line.losses.iter().enumerate();
        let points = points.map(|(at, loss)| (share * at as f64, loss / line.before));
        points.filter(|(_, share)| share.is_finite()).collect()
    });
    let (path, steps) = (path.collect(), steps.collect());
    Picture::draw(WIDTH, HEIGHT, |area| {
        let (left, right) = area.split_horizontally(WIDTH as i32 * UNIT / 2);
        let title = "Loss of each mini-batch along the path";
        panel(&left, title, "distance", &path, BLUE)?;
        let title = "Along one step, share of the loss before";
        panel(
            &right,
            title,
            "length, 1 for about the best",
            &steps,
            VERMILION,
        )
    })
}

fn panel(
    area: &Area<'_>,
    title: &str,
    unit: &str,
    lines: &Lines,
    colour: RGBColor,
) -> Result<(), DrawError> {
    let most = |of: fn(&(f64, f64)) -> f64| {
        let all = lines.iter().flatten().map(of);
        all.fold(1e-6, f64::max)
    };
    let (right, high) = (most(|point| point.0), 1.05 * most(|point| point.1));
    let mut chart = ChartBuilder::on(area)
        .margin(12 * UNIT)
        .margin_top(48 * UNIT)
        .margin_right(20 * UNIT)
        .x_label_area_size(38 * UNIT)
        .y_label_area_size(44 * UNIT)
        .build_cartesian_2d(0.0..right, 0.0..high)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(plotters::style::TRANSPARENT)
        .bold_line_style(FAINT.stroke_width(UNIT as u32))
        .axis_style(INK.stroke_width(UNIT as u32))
        .label_style(text(SMALL, &INK, Pos::default()))
        .x_desc(unit)
        .draw()?;
    for points in lines {
        let style = colour.stroke_width(2 * UNIT as u32);
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
    }
    let at = Pos::new(HPos::Left, VPos::Center);
    area.draw(&Text::new(
        title.to_owned(),
        (56 * UNIT, 28 * UNIT),
        text(MEDIUM, &INK, at),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{Line, Point};
    use super::*;

    #[test]
    fn what_is_not_finite_and_what_is_not_there_is_left_out() {
        let probe = Probe {
            points: vec![Point {
                losses: vec![1.0, f64::NAN, f64::INFINITY, 0.5],
                ..Point::default()
            }],
            lines: vec![vec![Line {
                before: 1.0,
                losses: vec![1.0, 0.5, f64::NAN],
                ..Line::default()
            }]],
            ..Probe::default()
        };
        for probe in [probe, Probe::default()] {
            draw(&probe).unwrap();
        }
    }
}
