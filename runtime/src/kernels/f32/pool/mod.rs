//! Average, maximum and global average pools.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use super::Pool;
use crate::kernels::check;
use crate::kernels::window::{Sliding, taps};

/// Panics unless the operands are as long as a pool of the output rows from `first` needs.
pub(in crate::kernels) fn check(call: &Pool, first: usize, out: &[f32]) {
    let shapes = [call.input_shape, call.output_shape];
    check::rows(call.input.len(), shapes, &call.window, first, out.len());
    check::channels_kept(shapes);
}

/// Panics unless the operands are as long as a global pool of the channels from `first` needs.
pub(in crate::kernels) fn check_global(call: &Pool, first: usize, out: &[f32]) {
    check::means(call.input.len(), call.input_shape, first, out.len());
}

impl Pool<'_> {
    /// The window over the input.
    #[inline(always)]
    fn sliding(&self) -> Sliding {
        Sliding::new(self.input_shape, self.window)
    }
}

/// The divisor of the sum of a window of which `on_input` taps lie on the input.
pub(super) fn divisor(call: &Pool, on_input: usize) -> f32 {
    let count = if call.count_padding {
        taps(&call.window)
    } else {
        on_input
    };
    count as f32
}
