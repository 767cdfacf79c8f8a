//! Gradients of the matrix product. The input's is a pointwise convolution with the transposed weights; the weights'
//! is a sum of outer products.

pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use graft_patches::layout::{dense_index, weights_len};

/// Weights' gradient of `[pixels][inputs]` inputs and `[pixels][outputs]` gradients of the accumulators.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'a> {
    /// `[pixels][inputs]`.
    pub input: &'a [f32],
    /// Input channels, K.
    pub inputs: usize,
    /// Gradient of the accumulators, `[pixels][outputs]`.
    pub gradient: &'a [f32],
    /// Output channels, N.
    pub outputs: usize,
}

/// Packed weights with inputs and outputs exchanged: K outputs of depth N.
pub fn transpose(weights: &[f32], inputs: usize, outputs: usize, transposed: &mut [f32]) {
    assert!(
        transposed.len() >= weights_len(inputs, outputs),
        "too short"
    );
    for n in 0..outputs {
        for k in 0..inputs {
            transposed[dense_index(k, n, outputs)] = weights[dense_index(n, k, inputs)];
        }
    }
}

/// Panics unless both operands have the same pixels and the sums are packed weights.
pub(in crate::kernels) fn check(call: &Outer, sums: &[f32]) {
    let pixels = call.input.len() / call.inputs.max(1);
    assert!(
        call.input.len() == pixels * call.inputs,
        "whole pixels of input"
    );
    assert!(
        call.gradient.len() == pixels * call.outputs,
        "a pixel of gradient for each of the input"
    );
    assert!(
        sums.len() >= weights_len(call.outputs, call.inputs),
        "too few sums"
    );
}
