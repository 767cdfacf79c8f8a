//! Pointwise (1 x 1) convolution and the fully connected layer: one matrix product over packed panels.

#[cfg(feature = "gradient")]
pub(super) mod gradient;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;

use graft_patches::layout::weights_len;

use super::{PANEL, Pointwise};

/// Panics unless the operands are as long as a pointwise convolution of the pixels from `first` needs.
pub(super) fn check(task: &Pointwise, first: usize, out: &[f32]) {
    check_weights(task);
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
pub(super) fn check_linear(task: &Pointwise, first: usize, out: &[f32]) {
    check_weights(task);
    assert!(
        task.input.len() >= task.inputs,
        "input is not a whole pixel"
    );
    let last = first * PANEL + out.len();
    assert!(
        out.is_empty()
            || last == task.outputs
            || (last < task.outputs && last.is_multiple_of(PANEL)),
        "output does not end at a panel"
    );
}

fn check_weights(task: &Pointwise) {
    assert!(
        task.weights.len() >= weights_len(task.outputs, task.inputs),
        "weights are too short for {} x {}",
        task.inputs,
        task.outputs
    );
    task.epilogue.check(task.outputs);
}
