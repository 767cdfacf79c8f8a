//! Pointwise (1 x 1) convolution and the fully connected layer: one matrix product over packed panels.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;
#[cfg(simd)]
mod tile;

use graft_patches::layout::weights_len;

use super::{PANEL, Pointwise};

/// Panics unless the operands are as long as a pointwise convolution of the pixels from `first` needs.
pub(in crate::kernels) fn check(call: &Pointwise, first: usize, out: &[f32]) {
    check_weights(call);
    assert!(
        out.len().is_multiple_of(call.outputs),
        "output is not whole pixels"
    );
    let last = first + out.len() / call.outputs;
    assert!(
        call.input.len() >= last * call.inputs,
        "input ends before pixel {last}"
    );
}

/// Panics unless the operands are as long as a fully connected layer's panels from `first` need.
pub(in crate::kernels) fn check_linear(call: &Pointwise, first: usize, out: &[f32]) {
    check_weights(call);
    assert!(
        call.input.len() >= call.inputs,
        "input is not a whole pixel"
    );
    let last = first * PANEL + out.len();
    assert!(
        out.is_empty()
            || last == call.outputs
            || (last < call.outputs && last.is_multiple_of(PANEL)),
        "output does not end at a panel"
    );
}

fn check_weights(call: &Pointwise) {
    assert!(
        call.weights.len() >= weights_len(call.outputs, call.inputs),
        "weights are too short for {} x {}",
        call.inputs,
        call.outputs
    );
    call.epilogue.check(call.outputs);
}
