//! Square images, rotated.

use std::borrow::Cow;

/// `pixels`, an HWC image with `side` rows and columns, rotated clockwise by `quarters` times 90 degrees.
pub(crate) fn rotated(pixels: &[u8], side: usize, channels: usize, quarters: u8) -> Cow<'_, [u8]> {
    if quarters.is_multiple_of(4) {
        return Cow::Borrowed(pixels);
    }
    let last = side.saturating_sub(1);
    let mut result = Vec::with_capacity(pixels.len());
    for row in 0..side {
        for column in 0..side {
            let (from_row, from_column) = match quarters % 4 {
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
        assert_eq!(*rotated(&image, 3, 1, 0), image);
        assert_eq!(*rotated(&image, 3, 1, 1), [7, 4, 1, 8, 5, 2, 9, 6, 3]);
        assert_eq!(*rotated(&image, 3, 1, 2), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(*rotated(&image, 3, 1, 3), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
    }

    #[test]
    fn channels_stay_together() {
        let image = [1, 10, 2, 20, 3, 30, 4, 40];
        assert_eq!(*rotated(&image, 2, 2, 1), [3, 30, 1, 10, 4, 40, 2, 20]);
    }
}
