//! k x k convolution, all input channels to all output channels: the stem of a MobileNet.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use graft_patches::layout::weights_len;

use super::Conv;
use crate::kernels::check;
use crate::kernels::window::{self, Sliding};

/// Panics unless the operands are as long as a convolution of the output rows from `first` needs.
pub(in crate::kernels) fn check(call: &Conv, first: usize, out: &[f32]) {
    let (inputs, outputs) = (call.input_shape.channels, call.output_shape.channels);
    let depth = window::depth(&call.window, inputs);
    call.check_rows(first, out);
    check::weights(call.weights.len(), weights_len(outputs, depth));
}

impl Conv<'_> {
    /// Panics unless input, output and epilogue fit the shapes, for the output rows from `first`.
    pub(super) fn check_rows(&self, first: usize, out: &[f32]) {
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
