//! The layers under the roof of what the machine can do, as a picture (Williams, Waterman and Patterson 2009).

use graft_patches::records::Op;
use plotters::chart::ChartBuilder;
use plotters::coord::combinators::IntoLogRange as _;
use plotters::element::{Circle, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::layers::LayerTime;
use crate::picture::{
    Area, BLUE, DrawError, FAINT, INK, MEDIUM, Picture, PictureError, SMALL, UNIT, VERMILION, text,
    text_width,
};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 560;
/// Kinds of layers with multiply-adds, in colours of Okabe and Ito.
const KINDS: [(Op, RGBColor); 4] = [
    (Op::Conv, VERMILION),
    (Op::Depthwise, RGBColor(0, 158, 115)),
    (Op::Pointwise, BLUE),
    (Op::Linear, RGBColor(204, 121, 167)),
];

/// What the machine can do at most.
pub(super) struct Roof {
    /// Thousands of millions of multiply-adds a second.
    pub(super) gmacs: f64,
    /// Thousands of millions of bytes a second, from memory.
    pub(super) read_gb: f64,
}

impl Roof {
    /// Most multiply-adds a second of a layer with so many of them for each byte, where no byte is in a cache.
    fn over(&self, macs_per_byte: f64) -> f64 {
        self.gmacs.min(self.read_gb * macs_per_byte)
    }
}

/// Draws layers by their multiply-adds for each byte and their multiply-adds a second; those without any are left out.
///
/// # Errors
/// A failure of the library that draws.
pub(super) fn draw(
    title: &str,
    layers: &[LayerTime],
    roof: &Roof,
) -> Result<Picture, PictureError> {
    Picture::draw(WIDTH, HEIGHT, |area| {
        let place = |layer: &LayerTime| (layer.macs as f64 / layer.bytes as f64, layer.gmacs());
        let places = || layers.iter().filter(|layer| layer.macs > 0).map(place);
        let least = |of: fn((f64, f64)) -> f64, other: f64| places().map(of).fold(other, f64::min);
        let (left, right) = (
            least(|at| at.0, 1.0) / 1.5,
            1.5 * places().map(|at| at.0).fold(100.0, f64::max),
        );
        let (low, high) = (least(|at| at.1, roof.gmacs) / 1.5, 1.5 * roof.gmacs);
        let mut chart = ChartBuilder::on(area)
            .margin(12 * UNIT)
            .margin_top(48 * UNIT)
            .margin_right(24 * UNIT)
            .x_label_area_size(40 * UNIT)
            .y_label_area_size(56 * UNIT)
            .build_cartesian_2d((left..right).log_scale(), (low..high).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(plotters::style::TRANSPARENT)
            .bold_line_style(FAINT.stroke_width(UNIT as u32))
            .axis_style(INK.stroke_width(UNIT as u32))
            .label_style(text(SMALL, &INK, Pos::default()))
            .x_desc("multiply-adds a byte of operands, weights and output")
            .y_desc("GMAC/s")
            .draw()?;
        let steps = (0..=100).map(|step| left * (right / left).powf(f64::from(step) / 100.0));
        let line = steps
            .map(|at| (at, roof.over(at)))
            .filter(|&(_, most)| most >= low);
        chart.draw_series(LineSeries::new(line, INK.stroke_width(2 * UNIT as u32)))?;
        for (op, colour) in KINDS {
            let of = layers.iter().filter(|layer| layer.op == op);
            let mark = |at| Circle::new(at, 4 * UNIT, colour.mix(0.8).filled());
            chart.draw_series(of.map(place).map(mark))?;
        }
        head(area, title)
    })
}

/// Title on the left, what the colours mean on the right.
fn head(area: &Area<'_>, title: &str) -> Result<(), DrawError> {
    let y = 28 * UNIT;
    let at = Pos::new(HPos::Left, VPos::Center);
    area.draw(&Text::new(title, (24 * UNIT, y), text(MEDIUM, &INK, at)))?;
    let mut right = area.dim_in_pixel().0 as i32 - 24 * UNIT;
    for (op, colour) in KINDS.into_iter().rev() {
        let x = right - text_width(SMALL, op.name());
        area.draw(&Text::new(op.name(), (x, y), text(SMALL, &INK, at)))?;
        area.draw(&Circle::new((x - 10 * UNIT, y), 4 * UNIT, colour.filled()))?;
        right = x - 30 * UNIT;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(op: Op, macs: usize, us: f64) -> LayerTime {
        let name = String::new();
        LayerTime {
            name,
            op,
            us,
            macs,
            bytes: 1000,
        }
    }

    /// Pixels of a mark, through which some of the white behind it is seen. Grey, of letters, is none of them.
    fn count(picture: &Picture, colour: RGBColor) -> usize {
        let mark = [colour.0, colour.1, colour.2].map(|part| (4 * u16::from(part) + 255) / 5);
        let near = |pixel: &&image::Rgb<u8>| {
            let pairs = pixel.0.into_iter().zip(mark);
            pairs.map(|(a, b)| u16::from(a).abs_diff(b)).max() < Some(20)
        };
        picture.pixels().pixels().filter(near).count()
    }

    #[test]
    fn layers_with_multiply_adds_are_marked_in_the_colour_of_their_kind() {
        let roof = Roof {
            gmacs: 100.0,
            read_gb: 10.0,
        };
        let keys = draw("lite0", &[], &roof).unwrap();
        let layers = [
            layer(Op::Conv, 50_000, 1.0),
            layer(Op::Depthwise, 900, 0.5),
            layer(Op::Add, 0, 1.0),
        ];
        let marked = draw("lite0", &layers, &roof).unwrap();
        let more = KINDS.map(|(_, colour)| count(&marked, colour) > count(&keys, colour) + 20);
        assert_eq!(more, [true, true, false, false]);
    }

    #[test]
    fn the_roof_is_memory_where_there_is_little_to_compute_for_a_byte() {
        let roof = Roof {
            gmacs: 100.0,
            read_gb: 10.0,
        };
        assert_eq!(
            [1.0, 10.0, 50.0].map(|at| roof.over(at)),
            [10.0, 100.0, 100.0]
        );
    }
}
