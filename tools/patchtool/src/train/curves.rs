//! Learning curves as a picture: loss and accuracy in the course of training.

use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use serde::{Deserialize, Serialize};

use super::history::Score;
use crate::picture::{
    Area, BLUE, DrawError, FAINT, INK, MEDIUM, Picture, PictureError, SMALL, UNIT, VERMILION, text,
    text_width,
};

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 400;
const TRAIN: RGBColor = BLUE;
const HELD_OUT: RGBColor = VERMILION;
/// With more points than this, a mark on each would hide the line.
const MOST_MARKS: usize = 40;

/// Scores at some time of training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Epochs or steps behind it.
    pub at: usize,
    /// Score of the examples trained on since the point before.
    pub train: Score,
    /// Score of the examples that are not trained on, where there are any.
    pub held_out: Option<Score>,
}

/// Draws loss and accuracy over the points, which are sorted and of equal distance; `unit` is what they count, and
/// `held_out` names the examples that are not trained on. What is not finite is left out.
///
/// # Errors
/// A failure of the library that draws.
pub fn draw(unit: &str, held_out: &str, points: &[Point]) -> Result<Picture, PictureError> {
    let subtitle = best(points).map(|(score, at)| {
        let accuracy = 100.0 * score.accuracy;
        format!("best {accuracy:.1} %, {unit} {at}")
    });
    let loss = Panel {
        unit,
        held_out,
        title: "Loss",
        subtitle: String::new(),
        value: |score| score.loss,
        range: loss_range,
    };
    let accuracy = Panel {
        unit,
        held_out,
        title: "Accuracy, %",
        subtitle: subtitle.unwrap_or_default(),
        value: |score| 100.0 * score.accuracy,
        range: accuracy_range,
    };
    Picture::draw(WIDTH, HEIGHT, |area| {
        let (left, right) = area.split_horizontally(WIDTH as i32 * UNIT / 2);
        loss.draw(&left, points)?;
        accuracy.draw(&right, points)
    })
}

/// The best score of held-out examples, and at which point it was first reached.
fn best(points: &[Point]) -> Option<(Score, usize)> {
    let scores = points
        .iter()
        .filter_map(|point| Some((point.held_out?, point.at)));
    scores.reduce(|best, next| match next.0.is_better_than(&best.0) {
        true => next,
        false => best,
    })
}

struct Panel<'a> {
    unit: &'a str,
    held_out: &'a str,
    title: &'static str,
    subtitle: String,
    value: fn(&Score) -> f64,
    range: fn(f64, f64) -> (f64, f64),
}

impl Panel<'_> {
    fn draw(&self, area: &Area<'_>, points: &[Point]) -> Result<(), DrawError> {
        let line = |of: fn(&Point) -> Option<Score>| -> Vec<(f64, f64)> {
            let values = points
                .iter()
                .filter_map(|point| Some((point.at as f64, (self.value)(&of(point)?))));
            values.filter(|(_, value)| value.is_finite()).collect()
        };
        let lines = [
            (line(|point| Some(point.train)), TRAIN, "train"),
            (line(|point| point.held_out), HELD_OUT, self.held_out),
        ];
        let values = || {
            lines
                .iter()
                .flat_map(|(points, ..)| points)
                .map(|point| point.1)
        };
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if low <= high {
            (self.range)(low, high)
        } else {
            (0.0, 1.0)
        };
        let first = points.first().map_or(1, |point| point.at);
        let last = points.last().map_or(0, |point| point.at).max(2 * first);
        let margin = 0.3 * first as f64;
        let decimals = decimals(high - low);
        let mut chart = ChartBuilder::on(area)
            .margin(12 * UNIT)
            .margin_top(48 * UNIT)
            .margin_right(20 * UNIT)
            .x_label_area_size(38 * UNIT)
            .y_label_area_size(44 * UNIT)
            .build_cartesian_2d(first as f64 - margin..last as f64 + margin, low..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(plotters::style::TRANSPARENT)
            .bold_line_style(FAINT.stroke_width(UNIT as u32))
            .axis_style(INK.stroke_width(UNIT as u32))
            .label_style(text(SMALL, &INK, Pos::default()))
            .x_desc(self.unit)
            .x_labels(points.len().clamp(2, 8))
            .x_label_formatter(&whole)
            .y_labels(6)
            .y_label_formatter(&|value| format!("{value:.decimals$}"))
            .draw()?;
        for (points, colour, _) in &lines {
            let style = colour.stroke_width(2 * UNIT as u32);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            if points.len() <= MOST_MARKS {
                let mark = |&point| Circle::new(point, 3 * UNIT, colour.filled());
                chart.draw_series(points.iter().map(mark))?;
            }
        }
        self.head(area, lines.map(|(_, colour, name)| (colour, name)))
    }

    /// Title on the left, what the colours mean on the right.
    fn head(&self, area: &Area<'_>, names: [(RGBColor, &str); 2]) -> Result<(), DrawError> {
        let (left, y) = (56 * UNIT, 28 * UNIT);
        let at = Pos::new(HPos::Left, VPos::Center);
        area.draw(&Text::new(self.title, (left, y), text(MEDIUM, &INK, at)))?;
        let after = left + text_width(MEDIUM, self.title) + 12 * UNIT;
        let grey = text(SMALL, &INK.mix(0.7), at);
        area.draw(&Text::new(self.subtitle.as_str(), (after, y), grey))?;
        let mut right = area.dim_in_pixel().0 as i32 - 20 * UNIT;
        for (colour, name) in names.into_iter().rev() {
            let x = right - text_width(SMALL, name);
            area.draw(&Text::new(name, (x, y), text(SMALL, &INK, at)))?;
            let line = vec![(x - 24 * UNIT, y), (x - 6 * UNIT, y)];
            area.draw(&PathElement::new(
                line,
                colour.stroke_width(3 * UNIT as u32),
            ))?;
            right = x - 38 * UNIT;
        }
        Ok(())
    }
}

/// A whole number; nothing between two of them.
fn whole(number: &f64) -> String {
    match (number - number.round()).abs() < 1e-6 {
        true => format!("{number:.0}"),
        false => String::new(),
    }
}

/// Digits behind the point that tell six numbers on an axis of this length apart.
fn decimals(span: f64) -> usize {
    (-(span / 6.0).log10().floor()).clamp(0.0, 6.0) as usize
}

/// Down to zero unless that would squeeze the curves into less than half of the height.
fn loss_range(low: f64, high: f64) -> (f64, f64) {
    let room = (0.05 * (high - low)).max(0.01 * high.abs()).max(1e-6);
    (if low < 0.5 * high { 0.0 } else { low - room }, high + room)
}

/// Whole tens of percent around the curves.
fn accuracy_range(low: f64, high: f64) -> (f64, f64) {
    let low = ((low - 2.0) / 10.0).floor() * 10.0;
    let high = ((high + 2.0) / 10.0).ceil() * 10.0;
    (low.max(0.0), high.min(100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: usize, loss: f64, accuracy: f64) -> Point {
        let score = |more: f64| Score {
            loss: loss + more,
            accuracy: accuracy - more,
        };
        Point {
            at,
            train: score(0.0),
            held_out: Some(score(0.1)),
        }
    }

    fn pixels_of(picture: &Picture, colour: RGBColor) -> usize {
        let RGBColor(r, g, b) = colour;
        let near = |pixel: &[u8; 3]| {
            let pairs = pixel.iter().zip([r, g, b]);
            pairs.map(|(&a, b)| a.abs_diff(b)).max() < Some(12)
        };
        picture
            .pixels()
            .pixels()
            .filter(|pixel| near(&pixel.0))
            .count()
    }

    #[test]
    fn both_curves_are_drawn_beside_their_keys() {
        let keys = draw("epoch", "validation", &[]).unwrap();
        let mut history: Vec<Point> = (1..30)
            .map(|index| (500 * index, index as f64))
            .map(|(at, index)| point(at, 2.0 / index, 1.0 - 0.5 / index))
            .collect();
        let curves = draw("step", "held out", &history).unwrap();
        for colour in [TRAIN, HELD_OUT] {
            let [key, all] = [&keys, &curves].map(|picture| pixels_of(picture, colour));
            assert!(key > 20 && all > key + 500, "{key} {all}");
        }
        history.iter_mut().for_each(|point| point.held_out = None);
        let alone = draw("step", "held out", &history).unwrap();
        assert_eq!(pixels_of(&alone, HELD_OUT), pixels_of(&keys, HELD_OUT));
    }

    #[test]
    fn a_diverged_run_and_a_single_epoch_are_drawn() {
        for history in [
            &[
                point(1, 1.0, 0.5),
                point(2, f64::NAN, 0.2),
                point(3, f64::INFINITY, 0.1),
            ][..],
            &[point(1, 0.0, 0.0)],
            &[point(1, f64::NAN, f64::NAN)],
        ] {
            draw("epoch", "validation", history).unwrap();
        }
    }

    #[test]
    fn of_equally_accurate_points_the_one_with_the_lowest_loss_is_best() {
        let scored = |at, accuracy, loss| Point {
            held_out: Some(Score { loss, accuracy }),
            ..point(at, 0.0, 0.0)
        };
        let points = [
            scored(1, 0.5, 0.1),
            scored(2, 0.75, 0.9),
            scored(3, 0.75, 0.3),
            scored(4, 0.75, 0.3),
        ];
        assert_eq!(best(&points).map(|(_, at)| at), Some(3));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn axes_hold_all_values() {
        assert_eq!([3.0, 0.3, 50.0, 7.0].map(decimals), [1, 2, 0, 0]);
        assert_eq!(loss_range(0.2, 2.0).0, 0.0);
        assert!(loss_range(1.9, 2.0).0 > 1.8);
        assert_eq!(accuracy_range(61.0, 93.0), (50.0, 100.0));
        assert_eq!(accuracy_range(0.0, 0.0), (0.0, 10.0));
        assert_eq!(accuracy_range(100.0, 100.0), (90.0, 100.0));
    }
}
