//! What follows an accumulator, as training needs it: a scale, a bias and an activation on a whole batch, its gradient,
//! and the moments of batch norm. Plain loops over channels, which the compiler vectorises for each instruction set.

#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod gradient;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
mod slope;

use super::Activation;

/// The affine map and activation of a batch of accumulators: `activation(scale * (z - shift) + bias)`. With the mean as
/// shift nothing cancels out where it is far larger than the deviation.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Accumulators, `[pixels][channels]`.
    pub values: &'a [f32],
    /// One per channel.
    pub shift: &'a [f32],
    /// One per channel.
    pub scale: &'a [f32],
    /// One per channel.
    pub bias: &'a [f32],
    /// Applied last.
    pub activation: Activation,
}

/// Panics unless the operands are of whole pixels.
pub(super) fn check(task: &Affine, out: &[f32]) {
    check_channels(task);
    assert_eq!(
        task.values.len(),
        out.len(),
        "as many outputs as accumulators"
    );
}

/// Panics unless the gradients are as many as the accumulators and there is a sum of each kind for each channel.
pub(super) fn check_sums(task: &Affine, gradient: &[f32], sums: &[f32]) {
    check(task, gradient);
    assert_eq!(sums.len(), 2 * task.scale.len(), "two sums a channel");
}

/// Panics unless the operands are as many as the accumulators and the factors as many as the channels.
pub(super) fn check_input(task: &Affine, gradient: &[f32], factors: &[&[f32]; 3], out: &[f32]) {
    check(task, gradient);
    check(task, out);
    assert!(
        factors
            .iter()
            .all(|factors| factors.len() == task.scale.len()),
        "three factors a channel"
    );
}

/// Panics unless the values are whole pixels and there are two sums a channel.
pub(super) fn check_moments(values: &[f32], shift: &[f32], sums: &[f32]) {
    assert!(
        values.len().is_multiple_of(shift.len().max(1)),
        "whole pixels"
    );
    assert_eq!(sums.len(), 2 * shift.len(), "two sums a channel");
}

fn check_channels(task: &Affine) {
    assert!(
        task.values.len().is_multiple_of(task.scale.len().max(1)),
        "whole pixels"
    );
    assert_eq!(task.scale.len(), task.bias.len(), "a bias for each scale");
    assert_eq!(task.scale.len(), task.shift.len(), "a shift for each scale");
}
