//! A dense convolution as a matrix product: its windows as rows, and the way back.

use crate::kernels::f32::{Shape, Window};
use crate::kernels::window::clip;

/// Calls `each(column, input, length)` for every run of values that lies both in a window and on the input.
fn runs(input: Shape, output: Shape, window: Window, mut each: impl FnMut(usize, usize, usize)) {
    let [top, left] = window.pad_before(input);
    let depth = window.kernel[0] * window.kernel[1] * input.channels;
    for pixel in 0..output.pixels() {
        let (y, x) = (pixel / output.width, pixel % output.width);
        let rows = clip(y, window.stride[0], top, window.kernel[0], input.height);
        let columns = clip(x, window.stride[1], left, window.kernel[1], input.width);
        let length = columns.taps.len() * input.channels;
        for (row, ky) in (rows.start..).zip(rows.taps) {
            let tap = ky * window.kernel[1] + columns.taps.start;
            let from = (row * input.width + columns.start) * input.channels;
            each(pixel * depth + tap * input.channels, from, length);
        }
    }
}

/// Copies the window of each output pixel of an image, `[output pixels][kh][kw][C_in]`, zeros on padding.
pub fn gather(input: Shape, output: Shape, window: Window, image: &[f32], columns: &mut [f32]) {
    columns.fill(0.0);
    runs(input, output, window, |column, from, length| {
        columns[column..column + length].copy_from_slice(&image[from..from + length]);
    });
}

/// Undoes [`gather`] for gradients: adds each window's values to the pixels that they came from.
pub fn scatter(input: Shape, output: Shape, window: Window, columns: &[f32], image: &mut [f32]) {
    runs(input, output, window, |column, to, length| {
        let values = &columns[column..column + length];
        for (to, value) in image[to..to + length].iter_mut().zip(values) {
            *to += value;
        }
    });
}
