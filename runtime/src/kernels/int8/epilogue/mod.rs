//! The requantisation of accumulators.

#[cfg(any(test, target_arch = "arm"))]
pub(in crate::kernels) mod cortex_m;

use graft_patches::layout::PANEL;

use super::{Quantized, RequantizePanel};

/// The requantisation after a weighted layer.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Multiplier and bias of every output channel.
    pub table: &'a [RequantizePanel],
    /// Zero point and bounds of the output.
    pub output: Quantized,
}

impl Epilogue<'_> {
    /// The output of one channel.
    pub(in crate::kernels) fn apply(&self, channel: usize, acc: i32) -> i8 {
        let panel = &self.table[channel / PANEL];
        let sum = acc.wrapping_add(panel.bias[channel % PANEL]);
        self.output
            .requantize(sum, panel.multiplier[channel % PANEL])
    }

    /// Panics unless the table has an entry for each of the channels.
    pub(in crate::kernels) fn check(&self, channels: usize) {
        assert!(
            self.table.len() >= channels.div_ceil(PANEL),
            "the table is too short for {channels} channels"
        );
    }
}
