//! The epilogue as training needs it: a scale, a bias and an activation on a batch of accumulators, its gradient,
//! and the moments of batch norm. Plain loops over channels, which the compiler vectorises for each instruction set.

pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;
#[cfg(any(test, simd))]
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
pub(in crate::kernels) fn check(call: &Affine, out: &[f32]) {
    check_channels(call);
    assert_eq!(
        call.values.len(),
        out.len(),
        "an output for each accumulator"
    );
}

/// Panics unless there is a gradient for each accumulator and a sum of each kind for each channel.
pub(in crate::kernels) fn check_sums(call: &Affine, gradient: &[f32], sums: &[f32]) {
    check(call, gradient);
    assert_eq!(sums.len(), 2 * call.scale.len(), "two sums a channel");
}

/// Panics unless there is an operand for each accumulator and a factor of each kind for each channel.
pub(in crate::kernels) fn check_input(
    call: &Affine,
    gradient: &[f32],
    factors: &[&[f32]; 3],
    out: &[f32],
) {
    check(call, gradient);
    check(call, out);
    assert!(
        factors
            .iter()
            .all(|factors| factors.len() == call.scale.len()),
        "three factors a channel"
    );
}

/// Panics unless the values are whole pixels and there are two sums a channel.
pub(in crate::kernels) fn check_moments(values: &[f32], shift: &[f32], sums: &[f32]) {
    assert!(
        values.len().is_multiple_of(shift.len().max(1)),
        "whole pixels"
    );
    assert_eq!(sums.len(), 2 * shift.len(), "two sums a channel");
}

fn check_channels(call: &Affine) {
    assert!(
        call.values.len().is_multiple_of(call.scale.len().max(1)),
        "whole pixels"
    );
    assert_eq!(call.scale.len(), call.bias.len(), "a bias for each scale");
    assert_eq!(call.scale.len(), call.shift.len(), "a shift for each scale");
}
