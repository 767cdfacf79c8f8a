//! Drawings, changed a little at random: as if another hand had drawn them with another pen.

use std::f32::consts::PI;
use std::ops::Range;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Degrees.
const ROTATION: Range<f32> = -12.0..12.0;
/// Of each axis.
const SCALE: Range<f32> = 0.85..1.18;
/// Columns for each row.
const SHEAR: Range<f32> = -0.2..0.2;
/// Share of the side, along each axis.
const SHIFT: Range<f32> = -0.06..0.06;
/// Share of the way to strokes that are two pixels thicker; below 0, thinner.
const STROKE: Range<f32> = -0.4..0.6;

/// A change of one drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Distortion {
    /// From places in the result to places in the drawing, both from the centre: rows `[column, row]` of a matrix.
    matrix: [[f32; 2]; 2],
    /// Column and row of the drawing's place that comes to the centre, in shares of the side.
    shift: [f32; 2],
    stroke: f32,
}

impl Distortion {
    /// One at random.
    pub(crate) fn draw(random: &mut ChaCha8Rng) -> Self {
        let (sin, cos) = (random.random_range(ROTATION) * PI / 180.0).sin_cos();
        let [wide, high] = [SCALE, SCALE].map(|range| random.random_range(range));
        let shear = random.random_range(SHEAR);
        Self {
            matrix: [
                [wide * cos, wide * (shear * cos - sin)],
                [high * sin, high * (shear * sin + cos)],
            ],
            shift: [SHIFT, SHIFT].map(|range| random.random_range(range)),
            stroke: random.random_range(STROKE),
        }
    }

    /// `pixels`, an HWC image of dark strokes with `side` rows and columns, changed; beyond its edge it goes on as at the edge.
    pub(crate) fn apply(&self, pixels: &[u8], side: usize, channels: usize) -> Vec<u8> {
        let moved = self.moved(pixels, side, channels);
        self.stroked(&moved, side, channels)
    }

    /// Bilinear.
    fn moved(&self, pixels: &[u8], side: usize, channels: usize) -> Vec<f32> {
        let centre = (side as f32 - 1.0) / 2.0;
        let [[xx, xy], [yx, yy]] = self.matrix;
        let [x0, y0] = self.shift.map(|share| centre + share * side as f32);
        let mut result = Vec::with_capacity(pixels.len());
        for (row, column) in places(side) {
            let (x, y) = (column as f32 - centre, row as f32 - centre);
            let [x, y] = [x0 + xx * x + xy * y, y0 + yx * x + yy * y];
            let ([left, right], across) = neighbours(x, side);
            let ([above, below], down) = neighbours(y, side);
            for channel in 0..channels {
                let at =
                    |row, column| f32::from(pixels[(row * side + column) * channels + channel]);
                let top = mix(at(above, left), at(above, right), across);
                let bottom = mix(at(below, left), at(below, right), across);
                result.push(mix(top, bottom, down));
            }
        }
        result
    }

    /// Each pixel on its way to the darkest, or the lightest, of itself and its four neighbours.
    fn stroked(&self, pixels: &[f32], side: usize, channels: usize) -> Vec<u8> {
        let last = side.saturating_sub(1);
        let mut result = Vec::with_capacity(pixels.len());
        for (row, column) in places(side) {
            for channel in 0..channels {
                let at =
                    |row: usize, column: usize| pixels[(row * side + column) * channels + channel];
                let own = at(row, column);
                let around = [
                    at(row.saturating_sub(1), column),
                    at((row + 1).min(last), column),
                    at(row, column.saturating_sub(1)),
                    at(row, (column + 1).min(last)),
                ];
                let extreme = match self.stroke < 0.0 {
                    true => around.into_iter().fold(own, f32::max),
                    false => around.into_iter().fold(own, f32::min),
                };
                result.push(mix(own, extreme, self.stroke.abs()).round() as u8);
            }
        }
        result
    }
}

/// Rows and columns, row by row.
fn places(side: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..side).flat_map(move |row| (0..side).map(move |column| (row, column)))
}

/// The pixels around a place on an axis, and its share of the way from the first to the second.
fn neighbours(place: f32, side: usize) -> ([usize; 2], f32) {
    let place = place.clamp(0.0, side as f32 - 1.0);
    let first = place as usize;
    ([first, (first + 1).min(side - 1)], place.fract())
}

fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_data::random::{Purpose, generator};

    const SIDE: usize = 5;
    const SAME: Distortion = Distortion {
        matrix: [[1.0, 0.0], [0.0, 1.0]],
        shift: [0.0; 2],
        stroke: 0.0,
    };

    /// A dark vertical stroke on white.
    fn stroke() -> Vec<u8> {
        let pixel = |at| if at % SIDE == 2 { 0 } else { 255 };
        (0..SIDE * SIDE).map(pixel).collect()
    }

    /// The first row, changed: with a stroke from top to bottom, all are alike.
    fn first_row(distortion: Distortion) -> [u8; SIDE] {
        let changed = distortion.apply(&stroke(), SIDE, 1);
        assert!(changed.chunks(SIDE).all(|row| row == &changed[..SIDE]));
        changed[..SIDE].try_into().unwrap()
    }

    #[test]
    fn places_and_strokes_change_as_they_say() {
        assert_eq!(first_row(SAME), [255, 255, 0, 255, 255]);
        let shift = |share| Distortion {
            shift: [share, 0.0],
            ..SAME
        };
        assert_eq!(first_row(shift(0.2)), [255, 0, 255, 255, 255]);
        assert_eq!(first_row(shift(-0.1)), [255, 255, 128, 128, 255]);
        let pen = |stroke| Distortion { stroke, ..SAME };
        assert_eq!(first_row(pen(0.6)), [255, 102, 0, 102, 255]);
        assert_eq!(first_row(pen(-0.4)), [255, 255, 102, 255, 255]);
        let narrow = Distortion {
            matrix: [[2.0, 0.0], [0.0, 1.0]],
            ..SAME
        };
        assert_eq!(first_row(narrow), [255, 255, 0, 255, 255]);
        let turned = Distortion {
            matrix: [[0.0, 1.0], [1.0, 0.0]],
            ..SAME
        };
        let across = turned.apply(&stroke(), SIDE, 1);
        assert!((0..SIDE * SIDE).all(|at| (across[at] == 0) == (at / SIDE == 2)));
    }

    #[test]
    fn channels_stay_apart() {
        let pixels: Vec<u8> = stroke().into_iter().flat_map(|value| [value, 7]).collect();
        let changed = Distortion {
            stroke: 0.5,
            ..SAME
        }
        .apply(&pixels, SIDE, 2);
        assert!(changed.chunks(2).all(|pixel| pixel[1] == 7));
        assert_eq!(changed[2], 128);
    }

    #[test]
    fn a_drawing_stays_one_and_depends_on_the_numbers_alone() {
        let draw = |number| Distortion::draw(&mut generator(1, Purpose::Episode { number }));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        let side = 28;
        let paper = vec![255; side * side];
        let mut ink = paper.clone();
        for (row, column) in places(side).filter(|(row, _)| (6..22).contains(row)) {
            if (13..15).contains(&column) {
                ink[row * side + column] = 0;
            }
        }
        let dark = |pixels: &[u8]| {
            pixels
                .iter()
                .map(|&value| f32::from(255 - value))
                .sum::<f32>()
        };
        for number in 0..200 {
            let distortion = draw(number);
            assert_eq!(distortion.apply(&paper, side, 1), paper);
            let share = dark(&distortion.apply(&ink, side, 1)) / dark(&ink);
            assert!((0.3..2.5).contains(&share), "{distortion:?}: {share}");
        }
    }
}
