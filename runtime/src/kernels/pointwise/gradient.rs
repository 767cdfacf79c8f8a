//! Gradients of the matrix product. The input's is a pointwise convolution with the transposed weights; the weights'
//! is a sum of outer products.

use graft_patches::layout::{dense_index, weights_len};

use crate::kernels::PANEL;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
use crate::kernels::vector::Vector;

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

/// Panics unless the operands have as many pixels and the sums are packed weights.
pub(in crate::kernels) fn check(task: &Outer, sums: &[f32]) {
    let pixels = task.input.len() / task.inputs.max(1);
    assert!(
        task.input.len() == pixels * task.inputs,
        "whole pixels of input"
    );
    assert!(
        task.gradient.len() == pixels * task.outputs,
        "as many pixels of gradient"
    );
    assert!(
        sums.len() >= weights_len(task.outputs, task.inputs),
        "too few sums"
    );
}

/// Adds the outer products to the packed `sums`, plainly.
pub(in crate::kernels) fn reference(task: &Outer, sums: &mut [f32]) {
    check(task, sums);
    let pixels = task.input.chunks_exact(task.inputs);
    for (x, d) in pixels.zip(task.gradient.chunks_exact(task.outputs)) {
        for (n, d) in d.iter().enumerate() {
            for (k, x) in x.iter().enumerate() {
                sums[dense_index(n, k, task.inputs)] += x * d;
            }
        }
    }
}

/// Pixels that pass before the sums are written back: their gradients of one panel stay in the first-level cache.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
const BLOCK: usize = 192;

/// Adds the outer products to the packed `sums`, in tiles of at most 6 inputs by one panel.
///
/// # Safety
/// `check(task, sums)` holds; the CPU has the instruction set of `V`; `PANEL = WIDTH * LANES`.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(in crate::kernels) unsafe fn outer<V: Vector, const WIDTH: usize>(
    task: &Outer,
    sums: &mut [f32],
) {
    const { assert!(WIDTH * V::LANES == PANEL, "a tile is one panel wide") };
    let blocks = task.input.chunks(BLOCK * task.inputs);
    for (input, gradient) in blocks.zip(task.gradient.chunks(BLOCK * task.outputs)) {
        let block = Outer {
            input,
            gradient,
            ..*task
        };
        for first in (0..task.outputs).step_by(PANEL) {
            for k in (0..task.inputs).step_by(6) {
                // SAFETY: `first` starts a panel, rows `k` to `k + n` are inputs.
                unsafe {
                    match task.inputs - k {
                        1 => tile::<V, 1, WIDTH>(&block, first, k, sums),
                        2 => tile::<V, 2, WIDTH>(&block, first, k, sums),
                        3 => tile::<V, 3, WIDTH>(&block, first, k, sums),
                        4 => tile::<V, 4, WIDTH>(&block, first, k, sums),
                        5 => tile::<V, 5, WIDTH>(&block, first, k, sums),
                        _ => tile::<V, 6, WIDTH>(&block, first, k, sums),
                    }
                }
            }
        }
    }
}

/// `ROWS` inputs from `k` by the panel of output `first`.
///
/// # Safety
/// As for [`outer`]; `k + ROWS <= inputs`, `first` starts a panel below `outputs`.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const WIDTH: usize>(
    task: &Outer,
    first: usize,
    k: usize,
    sums: &mut [f32],
) {
    let pixels = task.input.len() / task.inputs;
    let lanes = task.outputs - first;
    // SAFETY: row `p` of both operands is in bounds; loads stop at the last output; packed sums have whole panels.
    unsafe {
        let to = sums.as_mut_ptr().add((first * task.inputs) + k * PANEL);
        let mut acc = [[V::splat(0.0); WIDTH]; ROWS];
        let mut x = task.input.as_ptr().add(k);
        let mut d = task.gradient.as_ptr().add(first);
        for _ in 0..pixels {
            let mut column = [V::splat(0.0); WIDTH];
            for (v, column) in column.iter_mut().enumerate() {
                let lane = v * V::LANES;
                if lanes >= PANEL {
                    *column = V::load(d.add(lane));
                } else if lane < lanes {
                    *column = V::load_up_to(d.add(lane), lanes - lane);
                }
            }
            for (row, acc) in acc.iter_mut().enumerate() {
                let x = V::splat(*x.add(row));
                for (acc, &column) in acc.iter_mut().zip(&column) {
                    *acc = x.mul_add(column, *acc);
                }
            }
            x = x.wrapping_add(task.inputs);
            d = d.wrapping_add(task.outputs);
        }
        for (row, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                let to = to.add(row * PANEL + v * V::LANES);
                V::load(to).add(*acc).store(to);
            }
        }
    }
}
