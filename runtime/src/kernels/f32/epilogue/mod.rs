//! The scale, bias and activation of accumulators.

#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use graft_patches::layout::{epilogue_len, scale_index};

use super::{Activation, PANEL};
use crate::kernels::check;

/// The per-channel affine map and activation after a weighted layer.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// `[ceil(N/16)][2][16]`: 16 scales, then 16 biases.
    pub table: &'a [f32],
    /// Applied last.
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Scale, bias and activation of an output channel's accumulator.
    pub(in crate::kernels) fn apply(&self, channel: usize, acc: f32) -> f32 {
        let scale = scale_index(channel);
        let bias = scale + PANEL;
        self.activation
            .of(self.table[scale] * acc + self.table[bias])
    }

    /// Panics unless the table has an entry for each of the channels.
    pub(in crate::kernels) fn check(&self, channels: usize) {
        check::table(self.table.len(), epilogue_len(channels));
    }
}
