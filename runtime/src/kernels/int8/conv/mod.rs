//! k x k convolution, all input channels to all output channels: the stem of a MobileNet.

#[cfg(any(test, target_arch = "arm"))]
pub(in crate::kernels) mod cortex_m;
pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;

use super::{Conv, Scratch, check_dense, check_rows};

/// Panics unless the operands are as long as the output rows from `first` need.
pub(in crate::kernels) fn check(call: &Conv, first: usize, out: &[i8], scratch: &[u8]) {
    let [height, width] = call.window.kernel;
    let depth = height
        .saturating_mul(width)
        .saturating_mul(call.input_shape.channels);
    let shapes = [call.input_shape, call.output_shape];
    check_rows(call.input, shapes, &call.window, first, out);
    check_dense(
        call.weights,
        &call.epilogue,
        [depth, call.output_shape.channels],
        scratch,
        Scratch::HERE.dense(depth),
    );
}
