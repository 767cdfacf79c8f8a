//! Pointwise convolution and the fully connected layer: one matrix product over packed panels.

#[cfg(any(test, target_arch = "arm"))]
pub(super) mod cortex_m;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;

use super::{Pointwise, Scratch, check_dense};
use crate::kernels::PANEL;

/// Panics unless the operands are as long as the pixels from `first` need.
pub(super) fn check(task: &Pointwise, first: usize, out: &[i8], scratch: &[u8]) {
    check_dense(
        task.weights,
        &task.epilogue,
        [task.inputs, task.outputs],
        scratch,
        Scratch::HERE.dense(task.inputs),
    );
    assert!(
        out.len().is_multiple_of(task.outputs),
        "output is not whole pixels"
    );
    let last = first + out.len() / task.outputs;
    assert!(
        task.input.len() >= last * task.inputs,
        "input ends before pixel {last}"
    );
}

/// Panics unless the operands are as long as a fully connected layer's panels from `first` need.
pub(super) fn check_linear(task: &Pointwise, first: usize, out: &[i8], scratch: &[u8]) {
    check_dense(
        task.weights,
        &task.epilogue,
        [task.inputs, task.outputs],
        scratch,
        Scratch::HERE.linear(task.inputs),
    );
    assert!(
        task.input.len() >= task.inputs,
        "input is not a whole pixel"
    );
    let last = first.saturating_mul(PANEL).saturating_add(out.len());
    assert!(
        out.is_empty()
            || last == task.outputs
            || (last < task.outputs && last.is_multiple_of(PANEL)),
        "output does not end at a panel"
    );
}
