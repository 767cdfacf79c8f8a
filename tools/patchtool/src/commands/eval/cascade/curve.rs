//! Accuracy of a cascade against its cost, as a picture.

use plotters::chart::ChartBuilder;
use plotters::element::{Circle, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::Outcome;
use crate::picture::{
    BLUE, FAINT, INK, MEDIUM, Picture, PictureError, SMALL, UNIT, VERMILION, text,
};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 420;
const CASCADE: RGBColor = BLUE;
const ALONE: RGBColor = VERMILION;

/// Draws the cascade at all confidences, and each stage alone, with its name.
pub(super) fn draw(
    curve: &[Outcome],
    alone: &[Outcome],
    names: &[&str],
) -> Result<Picture, PictureError> {
    let point = |at: &Outcome| (at.macs / 1e6, 100.0 * at.accuracy);
    let all = || curve.iter().chain(alone).map(point);
    let most = all().fold(0.0, |most: f64, (macs, _)| most.max(macs));
    let low = all().fold(100.0, |low: f64, (_, accuracy)| low.min(accuracy));
    let high = all().fold(0.0, |high: f64, (_, accuracy)| high.max(accuracy));
    let room = (0.1 * (high - low)).max(0.5);
    Picture::draw(WIDTH, HEIGHT, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12 * UNIT)
            .margin_top(44 * UNIT)
            .margin_right(24 * UNIT)
            .x_label_area_size(38 * UNIT)
            .y_label_area_size(48 * UNIT)
            .build_cartesian_2d(0.0..1.12 * most.max(1e-6), low - room..high + room)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(plotters::style::TRANSPARENT)
            .bold_line_style(FAINT.stroke_width(UNIT as u32))
            .axis_style(INK.stroke_width(UNIT as u32))
            .label_style(text(SMALL, &INK, Pos::default()))
            .x_desc("million multiply-adds an image")
            .y_desc("accuracy, %")
            .draw()?;
        let style = CASCADE.stroke_width(2 * UNIT as u32);
        chart.draw_series(LineSeries::new(curve.iter().map(point), style))?;
        chart.draw_series(
            curve
                .iter()
                .map(|at| Circle::new(point(at), 3 * UNIT, CASCADE.filled())),
        )?;
        let below = Pos::new(HPos::Center, VPos::Top);
        for (at, &name) in alone.iter().zip(names) {
            let mark = Circle::new(point(at), 5 * UNIT, ALONE.filled());
            chart.draw_series(std::iter::once(mark))?;
            let (macs, accuracy) = point(at);
            let place = (macs, accuracy - 0.25 * room);
            let label = Text::new(name.to_owned(), place, text(SMALL, &ALONE, below));
            chart.draw_series(std::iter::once(label))?;
        }
        let at = Pos::new(HPos::Left, VPos::Center);
        let title = |words: &'static str, x: i32, colour: &RGBColor| {
            area.draw(&Text::new(
                words,
                (x * UNIT, 24 * UNIT),
                text(MEDIUM, colour, at),
            ))
        };
        title("cascade at all confidences", 60, &CASCADE)?;
        title("stages alone", 320, &ALONE)
    })
}
