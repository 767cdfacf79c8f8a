//! The register tile of the matrix product: some pixels by some vectors of output channels.

use crate::kernels::f32::epilogue::simd::activate;
use crate::kernels::f32::{PANEL, Pointwise};
use crate::kernels::isa::vector::Vector;

/// Runs `rows` pixels in tiles of at most `ROWS`, as even as they come: a tile with few rows waits on its own sums.
///
/// # Safety
/// As for [`tile`], for `rows` pixels.
#[inline(always)]
pub(super) unsafe fn tiles<V: Vector, const ROWS: usize, const WIDTH: usize>(
    call: &Pointwise,
    channel: usize,
    mut input: *const f32,
    mut output: *mut f32,
    rows: usize,
) {
    const { assert!(ROWS <= 12) };
    let mut left = rows;
    while left > 0 {
        let rows = left.div_ceil(left.div_ceil(ROWS));
        // SAFETY: `rows <= left` pixels are there; after the last tile the pointers are at most one past the end.
        unsafe {
            match rows {
                1 => tile::<V, 1, WIDTH>(call, channel, input, output),
                2 => tile::<V, 2, WIDTH>(call, channel, input, output),
                3 => tile::<V, 3, WIDTH>(call, channel, input, output),
                4 => tile::<V, 4, WIDTH>(call, channel, input, output),
                5 => tile::<V, 5, WIDTH>(call, channel, input, output),
                6 => tile::<V, 6, WIDTH>(call, channel, input, output),
                7 if ROWS >= 7 => tile::<V, 7, WIDTH>(call, channel, input, output),
                8 if ROWS >= 8 => tile::<V, 8, WIDTH>(call, channel, input, output),
                9 if ROWS >= 9 => tile::<V, 9, WIDTH>(call, channel, input, output),
                10 if ROWS >= 10 => tile::<V, 10, WIDTH>(call, channel, input, output),
                11 if ROWS >= 11 => tile::<V, 11, WIDTH>(call, channel, input, output),
                12 if ROWS >= 12 => tile::<V, 12, WIDTH>(call, channel, input, output),
                _ => unreachable!("more rows than a tile has"),
            }
            input = input.add(rows * call.inputs);
            output = output.wrapping_add(rows * call.outputs);
        }
        left -= rows;
    }
}

/// `ROWS` pixels by `WIDTH` vectors: product, epilogue, store of the channels below `call.outputs`.
///
/// # Safety
/// `channel` starts a panel, and the panels of `WIDTH` vectors from there are in the weights and the table;
/// `ROWS` whole pixels are at `input`; `output` is at this channel of the first of `ROWS` pixels.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const ROWS: usize, const WIDTH: usize>(
    call: &Pointwise,
    channel: usize,
    input: *const f32,
    output: *mut f32,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        let weights = call.weights.as_ptr().add(channel * call.inputs);
        let table = call.epilogue.table.as_ptr().add(channel * 2);
        let mut sums = product::<V, ROWS, WIDTH>(input, weights, call.inputs);
        scale_and_bias(&mut sums, table);
        activate(sums.as_flattened_mut(), call.epilogue.activation);
        store(&sums, output, call.outputs, call.outputs - channel);
    }
}

/// `ROWS` pixels of `inputs` values times `WIDTH` vectors of the panels at `weights`.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn product<V: Vector, const ROWS: usize, const WIDTH: usize>(
    input: *const f32,
    weights: *const f32,
    inputs: usize,
) -> [[V; WIDTH]; ROWS] {
    // SAFETY: `i < inputs` floats into each pixel and 16 i into each panel, of which vector `v` is inside one.
    unsafe {
        let mut sums = [[V::splat(0.0); WIDTH]; ROWS];
        for i in 0..inputs {
            let mut column = [V::splat(0.0); WIDTH];
            for (v, column) in column.iter_mut().enumerate() {
                let (panel, lane) = place::<V>(v);
                *column = V::load(weights.add((panel * inputs + i) * PANEL + lane));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(*input.add(row * inputs + i));
                for (sum, &weight) in sums.iter_mut().zip(&column) {
                    *sum = x.mul_add(weight, *sum);
                }
            }
        }
        sums
    }
}

/// `scale * sum + bias`, from the table at the tile's first panel.
///
/// # Safety
/// The table holds the panels of `WIDTH` vectors.
#[inline(always)]
unsafe fn scale_and_bias<V: Vector, const ROWS: usize, const WIDTH: usize>(
    sums: &mut [[V; WIDTH]; ROWS],
    table: *const f32,
) {
    for v in 0..WIDTH {
        let (panel, lane) = place::<V>(v);
        // SAFETY: inside the table by the caller's promise.
        unsafe {
            let scale = V::load(table.add(panel * 2 * PANEL + lane));
            let bias = V::load(table.add(panel * 2 * PANEL + PANEL + lane));
            for sums in sums.iter_mut() {
                sums[v] = sums[v].mul_add(scale, bias);
            }
        }
    }
}

/// Stores the first `channels` channels of each row.
///
/// # Safety
/// `min(channels, WIDTH * LANES)` values may be written at each of `ROWS` times `stride` from `output`.
#[inline(always)]
unsafe fn store<V: Vector, const ROWS: usize, const WIDTH: usize>(
    sums: &[[V; WIDTH]; ROWS],
    output: *mut f32,
    stride: usize,
    channels: usize,
) {
    let whole = channels >= WIDTH * V::LANES;
    for (row, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            let channel = v * V::LANES;
            // SAFETY: `channel < channels`, and no more than the rest is written.
            unsafe {
                let to = output.wrapping_add(row * stride + channel);
                if whole {
                    sum.store(to);
                } else if channel < channels {
                    sum.store_up_to(to, channels - channel);
                }
            }
        }
    }
}

/// Panel and lane in it where a tile's vector `v` starts.
#[inline(always)]
const fn place<V: Vector>(v: usize) -> (usize, usize) {
    (v * V::LANES / PANEL, v * V::LANES % PANEL)
}
