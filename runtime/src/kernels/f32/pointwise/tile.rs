//! The register tile of the matrix product: some pixels by some vectors of output channels.

use crate::kernels::f32::epilogue::simd::{Destination, finish};
use crate::kernels::f32::{Epilogue, PANEL};
use crate::kernels::isa::vector::Vector;

/// Windows of equal size at equal distances, each of which becomes an output pixel. A pixel of a pointwise convolution
/// is a window of one row.
#[derive(Clone, Copy)]
pub(in crate::kernels::f32) struct Windows<'a> {
    /// First value of the first window.
    pub(in crate::kernels::f32) input: *const f32,
    /// Values from a window to the next.
    pub(in crate::kernels::f32) step: usize,
    /// Rows of a window.
    pub(in crate::kernels::f32) rows: usize,
    /// Values in a row of a window.
    pub(in crate::kernels::f32) length: usize,
    /// Values from a row of the input to the next.
    pub(in crate::kernels::f32) pitch: usize,
    /// Weights of the first value, of the first panel.
    pub(in crate::kernels::f32) weights: *const f32,
    /// Weights of an output channel.
    pub(in crate::kernels::f32) terms: usize,
    /// Of these, from a row of a window to the next.
    pub(in crate::kernels::f32) row_terms: usize,
    /// Output channels.
    pub(in crate::kernels::f32) outputs: usize,
    /// Of the layer.
    pub(in crate::kernels::f32) epilogue: Epilogue<'a>,
}

/// Computes `pixels` pixels in tiles of at most `ROWS`, as even as they come: a tile with few rows waits on its own
/// sums.
///
/// # Safety
/// As for [`tile`], for `pixels` windows.
#[inline(always)]
pub(super) unsafe fn tiles<V: Vector, const ROWS: usize, const WIDTH: usize>(
    mut windows: Windows,
    channel: usize,
    mut output: *mut f32,
    pixels: usize,
) {
    const { assert!(ROWS <= 12) };
    let count = pixels.div_ceil(ROWS).max(1);
    let (least, more) = (pixels / count, pixels % count);
    for i in 0..count {
        let rows = least + usize::from(i < more);
        // SAFETY: these are no more than `pixels` in all; after the last tile the pointers are not used.
        unsafe {
            match rows {
                1 => tile::<V, 1, WIDTH>(&windows, channel, output),
                2 => tile::<V, 2, WIDTH>(&windows, channel, output),
                3 => tile::<V, 3, WIDTH>(&windows, channel, output),
                4 => tile::<V, 4, WIDTH>(&windows, channel, output),
                5 => tile::<V, 5, WIDTH>(&windows, channel, output),
                6 => tile::<V, 6, WIDTH>(&windows, channel, output),
                7 if ROWS >= 7 => tile::<V, 7, WIDTH>(&windows, channel, output),
                8 if ROWS >= 8 => tile::<V, 8, WIDTH>(&windows, channel, output),
                9 if ROWS >= 9 => tile::<V, 9, WIDTH>(&windows, channel, output),
                10 if ROWS >= 10 => tile::<V, 10, WIDTH>(&windows, channel, output),
                11 if ROWS >= 11 => tile::<V, 11, WIDTH>(&windows, channel, output),
                12 if ROWS >= 12 => tile::<V, 12, WIDTH>(&windows, channel, output),
                _ => unreachable!("more rows than a tile has"),
            }
            windows.input = windows.input.wrapping_add(rows * windows.step);
            output = output.wrapping_add(rows * windows.outputs);
        }
    }
}

/// `ROWS` pixels by `WIDTH` vectors: product, epilogue, store of the channels below `windows.outputs`.
///
/// # Safety
/// `channel` starts a panel, and the panels of `WIDTH` vectors from there are in the weights and the table;
/// `ROWS` windows lie on the input; `output` is the first of `ROWS` pixels, at channel 0.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const ROWS: usize, const WIDTH: usize>(
    windows: &Windows,
    channel: usize,
    output: *mut f32,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut sums = [[V::splat(0.0); WIDTH]; ROWS];
        let weights = windows.weights.add(channel * windows.terms);
        for row in 0..windows.rows {
            let input = windows.input.add(row * windows.pitch);
            let weights = weights.add(row * windows.row_terms * PANEL);
            add_row(&mut sums, windows, input, weights);
        }
        let to = Destination {
            pixel: output,
            channels: windows.outputs,
            channel,
            pixels: ROWS,
        };
        finish(sums, &windows.epilogue, to);
    }
}

/// Adds a row of each of `ROWS` windows, the first at `input`, times `WIDTH` vectors of the panels at `weights`.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn add_row<V: Vector, const ROWS: usize, const WIDTH: usize>(
    sums: &mut [[V; WIDTH]; ROWS],
    windows: &Windows,
    input: *const f32,
    weights: *const f32,
) {
    const { assert!(V::FACTORS == 1 || V::FACTORS == 4) };
    let (length, step) = (windows.length, windows.step);
    let panel = windows.terms * PANEL;
    let mut i = 0;
    // SAFETY: `i < length` values into each row, and 16 i into the panels.
    unsafe {
        if V::FACTORS == 4 {
            let mut factors = [sums[0][0]; ROWS];
            while i + V::FACTORS <= length {
                for (row, factors) in factors.iter_mut().enumerate() {
                    *factors = V::factors(input.add(row * step + i));
                }
                let weights = weights.add(i * PANEL);
                add_products::<V, ROWS, WIDTH, 0>(sums, &factors, weights, panel);
                add_products::<V, ROWS, WIDTH, 1>(sums, &factors, weights, panel);
                add_products::<V, ROWS, WIDTH, 2>(sums, &factors, weights, panel);
                add_products::<V, ROWS, WIDTH, 3>(sums, &factors, weights, panel);
                i += V::FACTORS;
            }
        }
        for i in i..length {
            let mut column = [sums[0][0]; WIDTH];
            for (v, column) in column.iter_mut().enumerate() {
                *column = V::load(weights.add(place::<V>(v, panel) + i * PANEL));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(*input.add(row * step + i));
                for (sum, &weight) in sums.iter_mut().zip(&column) {
                    *sum = x.mul_add(weight, *sum);
                }
            }
        }
    }
}

/// Adds the products of the factor at `INDEX` of each row and the `INDEX`th weights of each channel from `weights`,
/// where a panel has the length `panel`.
///
/// # Safety
/// The panels of `WIDTH` vectors are in the weights.
#[inline(always)]
unsafe fn add_products<V: Vector, const ROWS: usize, const WIDTH: usize, const INDEX: usize>(
    sums: &mut [[V; WIDTH]; ROWS],
    factors: &[V; ROWS],
    weights: *const f32,
    panel: usize,
) {
    for v in 0..WIDTH {
        // SAFETY: the vector is inside one panel.
        unsafe {
            let weights = V::load(weights.add(place::<V>(v, panel) + INDEX * PANEL));
            for (sums, &factors) in sums.iter_mut().zip(factors) {
                sums[v] = weights.mul_add_factor::<INDEX>(factors, sums[v]);
            }
        }
    }
}

/// Where the weights of a tile's vector `v` start, if a panel has the length `panel`.
#[inline(always)]
const fn place<V: Vector>(v: usize, panel: usize) -> usize {
    v * V::LANES / PANEL * panel + v * V::LANES % PANEL
}
