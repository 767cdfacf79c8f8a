//! k x k convolution, all input channels to all output channels: the stem of a MobileNet.

#[cfg(any(test, target_arch = "arm"))]
pub(super) mod cortex_m;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;

use super::{Conv, Scratch, check_dense, check_rows};

/// Panics unless the operands are as long as the output rows from `first` need.
pub(super) fn check(task: &Conv, first: usize, out: &[i8], scratch: &[u8]) {
    let [height, width] = task.window.kernel;
    let depth = height
        .saturating_mul(width)
        .saturating_mul(task.input_shape.channels);
    let shapes = [task.input_shape, task.output_shape];
    check_rows(task.input, shapes, &task.window, first, out);
    check_dense(
        task.weights,
        &task.epilogue,
        [depth, task.output_shape.channels],
        scratch,
        Scratch::HERE.dense(depth),
    );
}
