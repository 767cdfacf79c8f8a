//! Average, maximum and global average pools.

pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use super::Pool;
use crate::kernels::check;
use crate::kernels::window::{Sliding, taps};

/// Panics unless the operands are as long as a pool of the output rows from `first` needs.
pub(in crate::kernels) fn check(call: &Pool, first: usize, out: &[i8]) {
    let shapes = [call.input_shape, call.output_shape];
    check::rows(call.input.len(), shapes, &call.window, first, out.len());
    check::channels_kept(shapes);
}

/// Panics unless the operands are as long as a global pool of the channels from `first` needs.
pub(in crate::kernels) fn check_global(call: &Pool, first: usize, out: &[i8]) {
    check::means(call.input.len(), call.input_shape, first, out.len());
}

impl Pool<'_> {
    /// The window over the input.
    #[inline(always)]
    fn sliding(&self) -> Sliding {
        Sliding::new(self.input_shape, self.window)
    }
}

/// The factor of the sum of a window of which `on_input` taps lie on the input.
#[inline(always)]
fn average_factor(call: &Pool, on_input: usize) -> f32 {
    let count = if call.count_padding {
        taps(&call.window)
    } else {
        on_input
    };
    call.multiplier / count as f32
}

/// An average from the sum of `taps` stored values.
#[inline(always)]
fn average(call: &Pool, sum: i32, taps: usize, factor: f32) -> i8 {
    let zero = i32::from(call.zero_point).wrapping_mul(taps as i32);
    call.output.requantize(sum.wrapping_sub(zero), factor)
}

/// The output of a window whose greatest stored value this is.
#[inline(always)]
fn maximum(call: &Pool, greatest: i8) -> i8 {
    let above = i32::from(greatest) - i32::from(call.zero_point);
    call.output.requantize(above, call.multiplier)
}
