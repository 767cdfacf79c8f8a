//! Square images, rotated and mirrored.

use std::borrow::Cow;

/// Positions of a square: four rotations.
pub(crate) const ROTATIONS: u8 = 4;
/// The rotations and their mirror images.
pub(crate) const TURNS: u8 = 8;

/// `pixels`, an HWC image with `side` rows and columns, in one of [`TURNS`] positions: rotated clockwise by `turn % 4` times 90
/// degrees, and from 4 on mirrored left to right then.
pub(crate) fn turned(pixels: &[u8], side: usize, channels: usize, turn: u8) -> Cow<'_, [u8]> {
    if turn.is_multiple_of(TURNS) {
        return Cow::Borrowed(pixels);
    }
    let last = side.saturating_sub(1);
    let mut result = Vec::with_capacity(pixels.len());
    for row in 0..side {
        for column in 0..side {
            let column = if turn & 4 == 0 { column } else { last - column };
            let (from_row, from_column) = match turn % 4 {
                0 => (row, column),
                1 => (last - column, row),
                2 => (last - row, last - column),
                _ => (column, last - row),
            };
            let start = (from_row * side + from_column) * channels;
            result.extend_from_slice(&pixels[start..][..channels]);
        }
    }
    Cow::Owned(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_clockwise() {
        #[rustfmt::skip]
        let image = [
            1, 2, 3,
            4, 5, 6,
            7, 8, 9,
        ];
        assert_eq!(*turned(&image, 3, 1, 0), image);
        assert_eq!(*turned(&image, 3, 1, 1), [7, 4, 1, 8, 5, 2, 9, 6, 3]);
        assert_eq!(*turned(&image, 3, 1, 2), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(*turned(&image, 3, 1, 3), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
    }

    #[test]
    fn mirror_images_come_after_rotations() {
        let image = [1, 2, 3, 4];
        let all: Vec<Vec<u8>> = (0..TURNS)
            .map(|turn| turned(&image, 2, 1, turn).into())
            .collect();
        let rotations = [[1, 2, 3, 4], [3, 1, 4, 2], [4, 3, 2, 1], [2, 4, 1, 3]];
        let mirrored = rotations.map(|[a, b, c, d]| [b, a, d, c]);
        assert_eq!(all, [rotations, mirrored].concat());
    }

    #[test]
    fn channels_stay_together() {
        let image = [1, 10, 2, 20, 3, 30, 4, 40];
        assert_eq!(*turned(&image, 2, 2, 1), [3, 30, 1, 10, 4, 40, 2, 20]);
    }
}
