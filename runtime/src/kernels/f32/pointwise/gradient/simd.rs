//! Fast sum of outer products.

use super::Outer;
use crate::kernels::PANEL;
use crate::kernels::isa::vector::Vector;

/// Pixels that pass before the sums are written back: their gradients of one panel stay in the first-level cache.
const BLOCK: usize = 192;

/// Adds the outer products to the packed `sums`, in tiles of at most 6 inputs by one panel.
///
/// # Safety
/// `check(call, sums)` holds; the CPU has the instruction set of `V`; `PANEL = WIDTH * LANES`.
#[inline(always)]
pub(in crate::kernels) unsafe fn outer<V: Vector, const WIDTH: usize>(
    call: &Outer,
    sums: &mut [f32],
) {
    const { assert!(WIDTH * V::LANES == PANEL, "a tile is one panel wide") };
    let blocks = call.input.chunks(BLOCK * call.inputs);
    for (input, gradient) in blocks.zip(call.gradient.chunks(BLOCK * call.outputs)) {
        let block = Outer {
            input,
            gradient,
            ..*call
        };
        for first in (0..call.outputs).step_by(PANEL) {
            for k in (0..call.inputs).step_by(6) {
                // SAFETY: `first` starts a panel, rows `k` to `k + n` are inputs.
                unsafe {
                    match call.inputs - k {
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
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const WIDTH: usize>(
    call: &Outer,
    first: usize,
    k: usize,
    sums: &mut [f32],
) {
    let pixels = call.input.len() / call.inputs;
    let lanes = call.outputs - first;
    // SAFETY: row `p` of both operands is in bounds; loads stop at the last output; packed sums have whole panels.
    unsafe {
        let to = sums.as_mut_ptr().add((first * call.inputs) + k * PANEL);
        let mut acc = [[V::splat(0.0); WIDTH]; ROWS];
        let mut x = call.input.as_ptr().add(k);
        let mut d = call.gradient.as_ptr().add(first);
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
            x = x.wrapping_add(call.inputs);
            d = d.wrapping_add(call.outputs);
        }
        for (row, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                let to = to.add(row * PANEL + v * V::LANES);
                V::load(to).add(*acc).store(to);
            }
        }
    }
}
