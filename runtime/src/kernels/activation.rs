//! Activations and the epilogue on single values.

use graft_patches::layout::{epilogue_len, scale_index};

use super::{Activation, Epilogue, PANEL};

/// The activation of one value. NaN stays NaN.
pub(super) fn apply(x: f32, activation: Activation) -> f32 {
    match activation {
        Activation::Clamp { min, max } => clamp(x, min, max),
        Activation::HardSwish => x * clamp(x / 6.0 + 0.5, 0.0, 1.0),
        Activation::HardSigmoid { alpha, beta } => clamp(alpha * x + beta, 0.0, 1.0),
    }
}

/// Unlike `f32::clamp`, no panic on bounds out of order.
fn clamp(x: f32, min: f32, max: f32) -> f32 {
    let x = if x < min { min } else { x };
    if x > max { max } else { x }
}

impl Epilogue<'_> {
    /// Scale, bias and activation of an output channel's accumulator.
    pub(super) fn apply(&self, channel: usize, acc: f32) -> f32 {
        let scale = scale_index(channel);
        let bias = scale + PANEL;
        apply(self.table[scale] * acc + self.table[bias], self.activation)
    }

    /// Panics unless the table has an entry for each of the channels.
    pub(super) fn check(&self, channels: usize) {
        assert!(
            self.table.len() >= epilogue_len(channels),
            "epilogue table has {} values, too few for {channels} channels",
            self.table.len()
        );
    }
}
