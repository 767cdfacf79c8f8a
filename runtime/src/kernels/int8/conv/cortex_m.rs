//! Convolution for Cortex-M: gathers the window of an output pixel, which makes it a pixel of a matrix product.

use zerocopy::IntoBytes;

use super::check;
use crate::kernels::int8::Conv;
use crate::kernels::int8::pointwise::cortex_m::{Pixels, Product};
use crate::kernels::window::{Sliding, depth};

pub(in crate::kernels) fn conv(call: &Conv, first: usize, out: &mut [i8], scratch: &mut [u8]) {
    check(call, first, out, scratch);
    let inputs = depth(&call.window, call.input_shape.channels);
    let product = Product::new(inputs, call.weights, call.epilogue);
    let (window, scratch) = scratch.split_at_mut(inputs);
    let mut windows = Windows {
        call,
        sliding: call.sliding(),
        next: [first, 0],
        window,
    };
    product.all(&mut windows, call.output_shape.channels, out, scratch);
}

/// The windows of output pixels.
struct Windows<'a> {
    call: &'a Conv<'a>,
    sliding: Sliding,
    next: [usize; 2],
    /// The inputs of one.
    window: &'a mut [u8],
}

impl Pixels for Windows<'_> {
    fn pixel(&mut self) -> &[u8] {
        let part = self.sliding.clip(self.next);
        let padding = self.call.padding as u8;
        part.gather(self.call.input.as_bytes(), padding, self.window);
        let [y, x] = &mut self.next;
        *x += 1;
        if *x == self.call.output_shape.width {
            (*y, *x) = (*y + 1, 0);
        }
        self.window
    }
}
