//! k x k convolution, all input channels to all output channels: the stem of a MobileNet.

#[cfg(any(test, target_arch = "arm"))]
pub(in crate::kernels) mod cortex_m;
pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use graft_patches::layout::quad_weights_len;

use super::{Conv, Scratch};
use crate::kernels::check;
use crate::kernels::window::{self, Sliding};

/// Panics unless the operands are as long as the output rows from `first` need.
pub(in crate::kernels) fn check(call: &Conv, first: usize, out: &[i8], scratch: &[u8]) {
    let depth = window::depth(&call.window, call.input_shape.channels);
    let outputs = call.output_shape.channels;
    call.check_rows(first, out);
    check::weights(call.weights.len(), quad_weights_len(outputs, depth));
    check::scratch(scratch.len(), Scratch::HERE.dense(depth));
}

impl Conv<'_> {
    /// Panics unless input, output and epilogue fit the shapes, for the output rows from `first`.
    pub(super) fn check_rows(&self, first: usize, out: &[i8]) {
        let shapes = [self.input_shape, self.output_shape];
        check::rows(self.input.len(), shapes, &self.window, first, out.len());
        self.epilogue.check(self.output_shape.channels);
    }

    /// The window over the input.
    #[inline(always)]
    pub(super) fn sliding(&self) -> Sliding {
        Sliding::new(self.input_shape, self.window)
    }
}
