//! Depthwise convolution: each channel by itself.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;
#[cfg(any(test, simd))]
mod tile;

use super::Conv;
use crate::kernels::check;

/// Panics unless the operands are as long as a depthwise convolution of the output rows from `first` needs.
pub(in crate::kernels) fn check(call: &Conv, first: usize, out: &[f32]) {
    call.check_rows(first, out);
    check::depthwise(
        [call.input_shape, call.output_shape],
        &call.window,
        call.weights.len(),
    );
}
