//! Average, maximum and global average pools.

pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;

use super::{Pool, check_rows};

/// Panics unless the operands are as long as a pool of the output rows from `first` needs.
pub(super) fn check(task: &Pool, first: usize, out: &[i8]) {
    let shapes = [task.input_shape, task.output_shape];
    check_rows(task.input, shapes, &task.window, first, out);
    assert_eq!(
        task.input_shape.channels, task.output_shape.channels,
        "channels are kept"
    );
}

/// Panics unless the operands are as long as a global pool of the channels from `first` needs.
pub(super) fn check_global(task: &Pool, first: usize, out: &[i8]) {
    assert_eq!(
        task.input.len(),
        task.input_shape.len(),
        "input has another shape"
    );
    assert!(
        first + out.len() <= task.input_shape.channels,
        "output has too many channels"
    );
}

/// What the sum of a window of `taps` values, padding not counted, is multiplied with.
#[inline(always)]
fn average_factor(task: &Pool, taps: usize) -> f32 {
    let [height, width] = task.window.kernel;
    let count = if task.count_padding {
        height * width
    } else {
        taps
    };
    task.multiplier / count as f32
}

/// An average from the sum of `taps` stored values.
#[inline(always)]
fn average(task: &Pool, sum: i32, taps: usize, factor: f32) -> i8 {
    let zero = i32::from(task.zero_point).wrapping_mul(taps as i32);
    task.output.requantize(sum.wrapping_sub(zero), factor)
}

/// What the greatest of the stored values becomes.
#[inline(always)]
fn maximum(task: &Pool, greatest: i8) -> i8 {
    let above = i32::from(greatest) - i32::from(task.zero_point);
    task.output.requantize(above, task.multiplier)
}
