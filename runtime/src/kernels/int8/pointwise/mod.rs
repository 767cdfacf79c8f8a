//! Pointwise convolution and the fully connected layer: one matrix product over packed panels.

#[cfg(any(test, target_arch = "arm"))]
pub(in crate::kernels) mod cortex_m;
pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;

use super::{Pointwise, Scratch, check_dense};
use crate::kernels::PANEL;

/// Panics unless the operands are as long as the pixels from `first` need.
pub(in crate::kernels) fn check(call: &Pointwise, first: usize, out: &[i8], scratch: &[u8]) {
    check_dense(
        call.weights,
        &call.epilogue,
        [call.inputs, call.outputs],
        scratch,
        Scratch::HERE.dense(call.inputs),
    );
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
pub(in crate::kernels) fn check_linear(call: &Pointwise, first: usize, out: &[i8], scratch: &[u8]) {
    check_dense(
        call.weights,
        &call.epilogue,
        [call.inputs, call.outputs],
        scratch,
        Scratch::HERE.linear(call.inputs),
    );
    assert!(
        call.input.len() >= call.inputs,
        "input is not a whole pixel"
    );
    let last = first.saturating_mul(PANEL).saturating_add(out.len());
    assert!(
        out.is_empty()
            || last == call.outputs
            || (last < call.outputs && last.is_multiple_of(PANEL)),
        "output does not end at a panel"
    );
}
