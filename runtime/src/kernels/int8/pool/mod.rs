//! Average, maximum and global average pools.

pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;

use super::{Pool, check_rows};

/// Panics unless the operands are as long as a pool of the output rows from `first` needs.
pub(in crate::kernels) fn check(call: &Pool, first: usize, out: &[i8]) {
    let shapes = [call.input_shape, call.output_shape];
    check_rows(call.input, shapes, &call.window, first, out);
    assert_eq!(
        call.input_shape.channels, call.output_shape.channels,
        "channels are kept"
    );
}

/// Panics unless the operands are as long as a global pool of the channels from `first` needs.
pub(in crate::kernels) fn check_global(call: &Pool, first: usize, out: &[i8]) {
    assert_eq!(
        call.input.len(),
        call.input_shape.len(),
        "input has another shape"
    );
    assert!(
        first + out.len() <= call.input_shape.channels,
        "output has too many channels"
    );
}

/// What the sum of a window of `taps` values, padding not counted, is multiplied with.
#[inline(always)]
fn average_factor(call: &Pool, taps: usize) -> f32 {
    let [height, width] = call.window.kernel;
    let count = if call.count_padding {
        height * width
    } else {
        taps
    };
    call.multiplier / count as f32
}

/// An average from the sum of `taps` stored values.
#[inline(always)]
fn average(call: &Pool, sum: i32, taps: usize, factor: f32) -> i8 {
    let zero = i32::from(call.zero_point).wrapping_mul(taps as i32);
    call.output.requantize(sum.wrapping_sub(zero), factor)
}

/// What the greatest of the stored values becomes.
#[inline(always)]
fn maximum(call: &Pool, greatest: i8) -> i8 {
    let above = i32::from(greatest) - i32::from(call.zero_point);
    call.output.requantize(above, call.multiplier)
}
