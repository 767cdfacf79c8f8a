//! Depthwise convolution, channel by channel.

#[cfg(any(test, target_arch = "arm"))]
pub(super) mod cortex_m;
#[cfg(any(test, target_arch = "x86_64"))]
pub(super) mod interleaved;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;

use super::{Conv, check_depthwise, check_rows};

/// Panics unless the operands are as long as the output rows from `first` need.
pub(super) fn check(task: &Conv, first: usize, out: &[i8]) {
    let shapes = [task.input_shape, task.output_shape];
    check_rows(task.input, shapes, &task.window, first, out);
    check_depthwise(task);
}
