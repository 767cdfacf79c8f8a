//! Pointwise (1 x 1) convolution and the fully connected layer: one matrix product over packed panels.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;
#[cfg(any(test, simd))]
pub(super) mod tile;

use graft_patches::layout::weights_len;

use super::Pointwise;
use crate::kernels::check;

/// Panics unless the operands are as long as a pointwise convolution of the pixels from `first` needs.
pub(in crate::kernels) fn check(call: &Pointwise, first: usize, out: &[f32]) {
    let channels = [call.inputs, call.outputs];
    check_weights(call);
    check::pixels(call.input.len(), channels, first, out.len());
}

/// Panics unless the operands are as long as a fully connected layer's panels from `first` need.
pub(in crate::kernels) fn check_linear(call: &Pointwise, first: usize, out: &[f32]) {
    let channels = [call.inputs, call.outputs];
    check_weights(call);
    check::panels(call.input.len(), channels, first, out.len());
}

fn check_weights(call: &Pointwise) {
    check::weights(call.weights.len(), weights_len(call.outputs, call.inputs));
    call.epilogue.check(call.outputs);
}
