//! A confusion matrix as a picture.

use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor, ShapeStyle, WHITE};

use super::{Confusion, names};
use crate::picture::{
    Area, DrawError, FAINT, INK, Picture, PictureError, can_write, fitted, text, text_width,
    upward_text,
};

/// Most classes that a picture has room for, at a pixel each.
const MOST_CLASSES: usize = 2000;
/// From no image of a row to all of them: ColorBrewer's Blues.
const BLUES: [RGBColor; 6] = [
    RGBColor(255, 255, 255),
    RGBColor(222, 235, 247),
    RGBColor(158, 202, 225),
    RGBColor(66, 146, 198),
    RGBColor(8, 81, 156),
    RGBColor(8, 48, 107),
];

const UNIT: i32 = Picture::SCALE;
const SMALL: i32 = 12 * UNIT;
const MEDIUM: i32 = 14 * UNIT;
const GAP: i32 = 8 * UNIT;
const MARGIN: i32 = 16 * UNIT;
const BAR: i32 = 12 * UNIT;
const LONGEST_LABEL: i32 = 150 * UNIT;
/// Room for a label.
const LINE: i32 = SMALL + 2 * UNIT;
/// Most classes whose labels are all there, whatever room that takes.
const ALL_NAMED: i32 = 140;

impl Confusion {
    /// The matrix with counts and labels; the colour is the share of the row's images, with its root so that rare
    /// mistakes show.
    ///
    /// # Errors
    /// Thousands of classes, or a failure of the library that draws.
    pub fn picture(
        &self,
        title: &str,
        label: impl Fn(usize) -> String,
    ) -> Result<Picture, PictureError> {
        let classes = self.classes();
        if classes.len() > MOST_CLASSES {
            return Err(PictureError::TooManyClasses {
                found: classes.len(),
                most: MOST_CLASSES,
            });
        }
        let named: Vec<(usize, String)> =
            classes.iter().map(|&class| (class, label(class))).collect();
        let labels = names::short(&named, SMALL, LONGEST_LABEL);
        let title: String = title
            .chars()
            .map(|letter| if can_write(letter) { letter } else { '?' })
            .collect();
        let plan = Plan::new(&labels, &title);
        let pixels = |units: i32| (units / UNIT) as u32;
        Picture::draw(pixels(plan.width), pixels(plan.height), |area| {
            cells(area, &plan, &self.matrix(&classes))?;
            axes(area, &plan, &labels)?;
            colours(area, &plan)?;
            let at = (MARGIN, MARGIN);
            let title = fitted(MEDIUM, &title, plan.width - 2 * MARGIN);
            area.draw(&Text::new(title, at, text(MEDIUM, &INK, top_left())))
        })
    }
}

fn top_left() -> Pos {
    Pos::new(HPos::Left, VPos::Top)
}

/// Positions, in units.
struct Plan {
    /// Side of a cell.
    cell: i32,
    /// Side of the matrix.
    side: i32,
    /// Left edge of the matrix.
    left: i32,
    /// Upper edge of the matrix.
    top: i32,
    width: i32,
    height: i32,
}

impl Plan {
    fn new(labels: &[String], title: &str) -> Self {
        let count = labels.len().max(1) as i32;
        let cell = (720 / count).clamp(1, 44) * UNIT;
        let cell = if count <= ALL_NAMED {
            cell.max(LINE)
        } else {
            cell
        };
        let side = cell * count;
        let widest = labels.iter().map(|label| text_width(SMALL, label)).max();
        let label = widest.unwrap_or(0);
        let (left, top) = (
            MARGIN + MEDIUM + GAP + label + GAP,
            MARGIN + MEDIUM + 2 * GAP,
        );
        let bar = 3 * GAP + BAR + GAP + text_width(SMALL, "100 %");
        let width = left + side + bar + MARGIN;
        Self {
            cell,
            side,
            left,
            top,
            width: width.max(text_width(MEDIUM, title) + 2 * MARGIN),
            height: top + side.max(80 * UNIT) + GAP + label + GAP + MEDIUM + MARGIN,
        }
    }

    /// Upper left corner of a cell.
    fn corner(&self, row: usize, column: usize) -> (i32, i32) {
        let (row, column) = (row as i32, column as i32);
        (self.left + column * self.cell, self.top + row * self.cell)
    }
}

fn cells(area: &Area<'_>, plan: &Plan, matrix: &[Vec<usize>]) -> Result<(), DrawError> {
    let widest = matrix.iter().flatten().max().map(ToString::to_string);
    let has_counts = widest.is_some_and(|count| text_width(SMALL, &count) + UNIT * 2 <= plan.cell)
        && plan.cell >= SMALL;
    // Lines between cells of a few pixels would be all there is to see.
    let line = i32::from(plan.cell >= 12 * UNIT);
    for (row, counts) in matrix.iter().enumerate() {
        let images = counts.iter().sum::<usize>().max(1);
        for (column, &count) in counts.iter().enumerate() {
            let shade = shade(count as f64 / images as f64);
            let (x, y) = plan.corner(row, column);
            let corners = [(x, y), (x + plan.cell - line, y + plan.cell - line)];
            area.draw(&Rectangle::new(corners, blue(shade).filled()))?;
            if line > 0 {
                let corners = [(x, y), (x + plan.cell, y + plan.cell)];
                area.draw(&Rectangle::new(corners, FAINT.stroke_width(1)))?;
            }
            if has_counts && count > 0 {
                let colour = if shade > 0.6 { WHITE } else { INK };
                let style = text(SMALL, &colour, Pos::new(HPos::Center, VPos::Center));
                let middle = (x + plan.cell / 2, y + plan.cell / 2);
                area.draw(&Text::new(count.to_string(), middle, style))?;
            }
        }
    }
    let corners = [
        (plan.left, plan.top),
        (plan.left + plan.side, plan.top + plan.side),
    ];
    area.draw(&Rectangle::new(corners, INK.stroke_width(1)))
}

/// Labels of rows and columns, as many as there is room for, and what the axes are.
fn axes(area: &Area<'_>, plan: &Plan, labels: &[String]) -> Result<(), DrawError> {
    let every = (LINE + plan.cell - 1) / plan.cell;
    let below = plan.top + plan.side + GAP;
    for (index, label) in labels.iter().enumerate().step_by(every.max(1) as usize) {
        let (x, y) = plan.corner(index, index);
        let (x, y) = (x + plan.cell / 2, y + plan.cell / 2);
        let right = Pos::new(HPos::Right, VPos::Center);
        let (row, column) = (text(SMALL, &INK, right), upward_text(SMALL, &INK, right));
        area.draw(&Text::new(label.as_str(), (plan.left - GAP, y), row))?;
        area.draw(&Text::new(label.as_str(), (x, below), column))?;
    }
    let (middle_x, middle_y) = (plan.left + plan.side / 2, plan.top + plan.side / 2);
    let centre = |vertical| Pos::new(HPos::Center, vertical);
    let titled = |axis: &str| match every {
        ..=1 => axis.to_owned(),
        _ => format!("{axis} (one label of {every} is shown)"),
    };
    let style = text(MEDIUM, &INK, centre(VPos::Bottom));
    area.draw(&Text::new(
        titled("predicted"),
        (middle_x, plan.height - MARGIN),
        style,
    ))?;
    let style = upward_text(MEDIUM, &INK, centre(VPos::Top));
    area.draw(&Text::new(titled("actual"), (MARGIN, middle_y), style))
}

/// Legend of the colours.
fn colours(area: &Area<'_>, plan: &Plan) -> Result<(), DrawError> {
    let left = plan.left + plan.side + 3 * GAP;
    let length = plan.side.clamp(80 * UNIT, 200 * UNIT);
    for y in 0..length {
        let shade = 1.0 - f64::from(y) / f64::from(length);
        let line = vec![(left, plan.top + y), (left + BAR, plan.top + y)];
        area.draw(&PathElement::new(line, blue(shade)))?;
    }
    let corners = [(left, plan.top), (left + BAR, plan.top + length)];
    let outline: ShapeStyle = INK.stroke_width(1);
    area.draw(&Rectangle::new(corners, outline))?;
    for percent in [100, 50, 20, 5, 0] {
        let part = 1.0 - shade(f64::from(percent) / 100.0);
        let y = plan.top + (part * f64::from(length)) as i32;
        let style = text(SMALL, &INK, Pos::new(HPos::Left, VPos::Center));
        let words = format!("{percent} %");
        area.draw(&Text::new(words, (left + BAR + GAP, y), style))?;
    }
    Ok(())
}

/// Darkness of the share of a row.
fn shade(share: f64) -> f64 {
    share.sqrt()
}

fn blue(shade: f64) -> RGBColor {
    let place = shade.clamp(0.0, 1.0) * (BLUES.len() - 1) as f64;
    let index = (place as usize).min(BLUES.len() - 2);
    let (low, high, part) = (BLUES[index], BLUES[index + 1], place - index as f64);
    let mix =
        |low: u8, high: u8| (f64::from(low) + part * (f64::from(high) - f64::from(low))) as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(classes: usize, label: impl Fn(usize) -> String) -> Picture {
        let mut confusion = Confusion::default();
        for class in 0..classes {
            for image in 0..50 {
                let is_wrong = (class * 7 + image * 13) % 11 == 0;
                let other = (class + 1 + image % 3) % classes;
                confusion.add(class, if is_wrong { other } else { class });
            }
        }
        confusion.picture("flowers: top-1 90.9 %", label).unwrap()
    }

    #[test]
    fn the_diagonal_is_dark_and_the_picture_has_room_for_the_labels() {
        let short = drawn(3, |class| format!("c{class}"));
        let long = drawn(3, |class| format!("a much longer label of class {class}"));
        assert!(long.pixels().width() > short.pixels().width() + 50);
        let dark = short
            .pixels()
            .pixels()
            .filter(|p| p.0[0] < 90 && p.0[2] > p.0[0] + 60)
            .count();
        // Three cells of 44 pixels, less their numbers.
        assert!(dark > 3 * 44 * 44 / 2, "{dark}");
    }

    #[test]
    fn any_number_of_classes_up_to_the_limit_is_drawn() {
        for classes in [1, 2, 25, 300] {
            let picture = drawn(classes, |class| format!("class {class}"));
            let (width, height) = picture.pixels().dimensions();
            assert!(
                width < 1200 && height < 1200,
                "{classes}: {width} x {height}"
            );
        }
        let mut many = Confusion::default();
        (0..=MOST_CLASSES).for_each(|class| many.add(class, class));
        let error = many.picture("", |_| String::new()).unwrap_err();
        assert!(
            matches!(error, PictureError::TooManyClasses { found: 2001, .. }),
            "{error}"
        );
        Confusion::default()
            .picture("nothing", |_| String::new())
            .unwrap();
    }
}
