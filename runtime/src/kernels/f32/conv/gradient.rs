//! A dense convolution as a matrix product: its windows as rows, and the way back.

use crate::kernels::f32::{Shape, Window};
use crate::kernels::window::{Sliding, depth};

/// Copies the window of each output pixel of an image, `[output pixels][kh][kw][C_in]`, zeros on padding.
pub fn gather(input: Shape, output: Shape, window: Window, image: &[f32], columns: &mut [f32]) {
    let parts = Sliding::new(input, window).windows(0, output.width);
    let columns = columns.chunks_exact_mut(depth(&window, input.channels));
    for (part, column) in parts.zip(columns.take(output.pixels())) {
        part.gather(image, 0.0, column);
    }
}

/// Undoes [`gather`] for gradients: adds each window's values to the pixels that they came from.
pub fn scatter(input: Shape, output: Shape, window: Window, columns: &[f32], image: &mut [f32]) {
    let parts = Sliding::new(input, window).windows(0, output.width);
    let columns = columns.chunks_exact(depth(&window, input.channels));
    for (part, column) in parts.zip(columns.take(output.pixels())) {
        for run in part.runs() {
            for (to, value) in image[run.input].iter_mut().zip(&column[run.window]) {
                *to += value;
            }
        }
    }
}
