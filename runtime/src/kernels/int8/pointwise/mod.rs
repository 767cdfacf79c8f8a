//! Pointwise convolution and the fully connected layer: one matrix product over packed panels.

#[cfg(any(test, target_arch = "arm"))]
pub(in crate::kernels) mod cortex_m;
pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use graft_patches::layout::quad_weights_len;

use super::{Pointwise, Scratch};
use crate::kernels::check;

/// Panics unless the operands are as long as the pixels from `first` need.
pub(in crate::kernels) fn check(call: &Pointwise, first: usize, out: &[i8], scratch: &[u8]) {
    let channels = [call.inputs, call.outputs];
    check_weights(call);
    check::scratch(scratch.len(), Scratch::HERE.dense(call.inputs));
    check::pixels(call.input.len(), channels, first, out.len());
}

/// Panics unless the operands are as long as a fully connected layer's panels from `first` need.
pub(in crate::kernels) fn check_linear(call: &Pointwise, first: usize, out: &[i8], scratch: &[u8]) {
    let channels = [call.inputs, call.outputs];
    check_weights(call);
    check::scratch(scratch.len(), Scratch::HERE.linear(call.inputs));
    check::panels(call.input.len(), channels, first, out.len());
}

fn check_weights(call: &Pointwise) {
    let needed = quad_weights_len(call.outputs, call.inputs);
    check::weights(call.weights.len(), needed);
    call.epilogue.check(call.outputs);
}
