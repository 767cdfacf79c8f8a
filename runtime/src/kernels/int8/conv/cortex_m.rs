//! Convolution for Cortex-M: gathers the windows of two output pixels, which makes them pixels of a matrix product.

use zerocopy::IntoBytes;

use super::check;
use crate::kernels::int8::Conv;
use crate::kernels::int8::pointwise::cortex_m::{Product, ROWS};
use crate::kernels::window::depth;

pub(in crate::kernels) fn conv(call: &Conv, first: usize, out: &mut [i8], scratch: &mut [u8]) {
    check(call, first, out, scratch);
    let inputs = depth(&call.window, call.input_shape.channels);
    let sliding = call.sliding();
    let outputs = call.output_shape.channels;
    let product = Product::new(inputs, call.weights, call.epilogue);
    let (windows, scratch) = scratch.split_at_mut(ROWS * inputs);
    let (mut y, mut x) = (first, 0);
    for out in out.chunks_mut(ROWS * outputs) {
        for window in windows.chunks_exact_mut(inputs).take(out.len() / outputs) {
            let part = sliding.clip([y, x]);
            part.gather(call.input.as_bytes(), call.padding as u8, window);
            x += 1;
            if x == call.output_shape.width {
                (y, x) = (y + 1, 0);
            }
        }
        product.rows(windows, outputs, out, scratch);
    }
}
