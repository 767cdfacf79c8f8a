//! Convolution for Cortex-M: gathers the windows of two output pixels, which makes them pixels of a matrix product.

use zerocopy::IntoBytes;

use super::check;
use crate::kernels::int8::Conv;
use crate::kernels::int8::pointwise::cortex_m::{Product, ROWS};
use crate::kernels::window::clip;

pub(in crate::kernels) fn conv(call: &Conv, first: usize, out: &mut [i8], scratch: &mut [u8]) {
    check(call, first, out, scratch);
    let inputs = call.window.kernel[0] * call.window.kernel[1] * call.input_shape.channels;
    let outputs = call.output_shape.channels;
    let product = Product::new(inputs, call.weights, call.epilogue);
    let (windows, scratch) = scratch.split_at_mut(ROWS * inputs);
    let (mut y, mut x) = (first, 0);
    for out in out.chunks_mut(ROWS * outputs) {
        for window in windows.chunks_exact_mut(inputs).take(out.len() / outputs) {
            gather(call, [y, x], window);
            x += 1;
            if x == call.output_shape.width {
                (y, x) = (y + 1, 0);
            }
        }
        product.rows(windows, outputs, out, scratch);
    }
}

/// Copies the window of output row `y` and column `x`, `[kh][kw][C_in]`.
fn gather(call: &Conv, [y, x]: [usize; 2], to: &mut [u8]) {
    let (shape, window) = (call.input_shape, call.window);
    let pad = window.pad_before(shape);
    let rows = clip(y, window.stride[0], pad[0], window.kernel[0], shape.height);
    let columns = clip(x, window.stride[1], pad[1], window.kernel[1], shape.width);
    if rows.taps.len() < window.kernel[0] || columns.taps.len() < window.kernel[1] {
        to.fill(call.padding as u8);
    }
    let length = columns.taps.len() * shape.channels;
    for (row, ky) in (rows.start..).zip(rows.taps) {
        let from = &call.input[(row * shape.width + columns.start) * shape.channels..][..length];
        let start = (ky * window.kernel[1] + columns.taps.start) * shape.channels;
        to[start..][..length].copy_from_slice(from.as_bytes());
    }
}
