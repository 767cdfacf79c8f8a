//! Depthwise convolution, channel by channel.

#[cfg(any(test, target_arch = "arm"))]
pub(in crate::kernels) mod cortex_m;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod interleaved;
pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use super::Conv;
use crate::kernels::check;

/// Panics unless the operands are as long as the output rows from `first` need.
pub(in crate::kernels) fn check(call: &Conv, first: usize, out: &[i8]) {
    call.check_rows(first, out);
    check::depthwise(
        [call.input_shape, call.output_shape],
        &call.window,
        call.weights.len(),
    );
}
