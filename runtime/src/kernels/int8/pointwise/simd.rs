//! Fast matrix product in register tiles, of pixels in whole quads: where theirs are not, they are copied to scratch memory.

use core::ops::Range;

use graft_patches::layout::{PANEL, QUAD};
use zerocopy::IntoBytes;

use crate::kernels::int8::{BLOCK, Epilogue, Pointwise, RequantizePanel, Scratch};
use crate::kernels::isa::lanes::Lanes;
use crate::kernels::unrolled::{only, unrolled};

/// Lanes with functions for tiles that are compiled for their instruction set, one for each shape of a tile: all tiles in
/// one kernel would take minutes to compile, and convolution and pointwise layers share them.
pub(in crate::kernels) trait Tiled: Lanes {
    /// [`Product::tiles`].
    ///
    /// # Safety
    /// As for [`Product::tile`]; the CPU has the instruction set.
    unsafe fn tiles<const ROWS: usize, const WIDTH: usize>(
        product: &Product,
        panel: usize,
        rows: Range<usize>,
        excess: &[Self::Sums; WIDTH],
        out: *mut i8,
    );
}

/// Pointwise convolution in tiles of at most `ROWS` pixels by `WIDE` panels.
///
/// # Safety
/// `check(call, first, out, scratch)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn pointwise<L: Tiled, const ROWS: usize, const WIDE: usize>(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    let mut input = &call.input[first * call.inputs..];
    for out in out.chunks_mut(BLOCK / L::BYTES * call.outputs) {
        let rows = out.len() / call.outputs;
        let (block, later) = input.split_at(rows * call.inputs);
        input = later;
        let product = Product::of(call, prepared::<L>(block, call.inputs, scratch));
        // SAFETY: `rows` pixels are prepared, and `rows` pixels of `outputs` are in `out`.
        unsafe { product.block::<L, ROWS, WIDE>(rows, out.as_mut_ptr()) };
    }
}

/// Pixels that are prepared: in place if they need no change, else in scratch memory.
#[inline(always)]
fn prepared<'a, L: Lanes>(pixels: &'a [i8], inputs: usize, scratch: &'a mut [u8]) -> &'a [u8] {
    let depth = inputs.next_multiple_of(QUAD);
    if depth == inputs && L::OFFSET == 0 && L::BYTES == 1 {
        return pixels.as_bytes();
    }
    if depth == inputs {
        fill::<L>(&mut scratch[..pixels.len() * L::BYTES], pixels);
    } else {
        let pixels = pixels.chunks_exact(inputs);
        for (to, from) in scratch.chunks_exact_mut(depth * L::BYTES).zip(pixels) {
            fill::<L>(to, from);
        }
    }
    scratch
}

/// Fully connected layer, `WIDE` panels at a time: each waits on its own sums.
///
/// # Safety
/// `check_linear(call, first, out, scratch)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn linear<L: Tiled, const WIDE: usize>(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    let input = prepared::<L>(&call.input[..call.inputs], call.inputs, scratch);
    let product = Product::of(call, input);
    for (panel, out) in (first..).step_by(WIDE).zip(out.chunks_mut(WIDE * PANEL)) {
        // SAFETY: the panels are in the weights and the table, and `out` ends with a panel or with the layer.
        unsafe {
            if out.len() > (WIDE - 1) * PANEL {
                product.rows::<L, 1, WIDE, WIDE>(panel, 1, out.as_mut_ptr());
                continue;
            }
            for (panel, out) in (panel..).zip(out.chunks_mut(PANEL)) {
                product.rows::<L, 1, 1, 1>(panel, 1, out.as_mut_ptr());
            }
        }
    }
}

/// Prepares inputs; what is behind the last of them meets weights of zero.
#[inline(always)]
pub(in crate::kernels) fn fill<L: Lanes>(to: &mut [u8], from: &[i8]) {
    const { assert!(L::BYTES <= Scratch::VECTOR.linear) };
    let (to, behind) = to.split_at_mut(from.len() * L::BYTES);
    behind.fill(0);
    let (words, rest) = from.as_chunks::<PANEL>();
    let mut prepared = to.chunks_exact_mut(PANEL * L::BYTES);
    for (to, from) in (&mut prepared).zip(words) {
        // SAFETY: both have room for 16 inputs.
        unsafe { L::prepare(from.as_ptr(), to.as_mut_ptr()) };
    }
    let (mut last, mut bytes) = ([0; PANEL], [0; Scratch::VECTOR.linear * PANEL]);
    last[..rest.len()].copy_from_slice(rest);
    // SAFETY: as above.
    unsafe { L::prepare(last.as_ptr(), bytes.as_mut_ptr()) };
    let to = prepared.into_remainder();
    to.copy_from_slice(&bytes[..to.len()]);
}

const fn at_most(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// A matrix product of prepared pixels.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Product<'a> {
    /// `[rows][depth]`, prepared.
    pub(in crate::kernels) input: &'a [u8],
    /// Whole quads.
    pub(in crate::kernels) depth: usize,
    pub(in crate::kernels) outputs: usize,
    pub(in crate::kernels) weights: &'a [i8],
    pub(in crate::kernels) epilogue: Epilogue<'a>,
}

impl<'a> Product<'a> {
    fn of(call: &Pointwise<'a>, input: &'a [u8]) -> Self {
        Self {
            input,
            depth: call.inputs.next_multiple_of(QUAD),
            outputs: call.outputs,
            weights: call.weights,
            epilogue: call.epilogue,
        }
    }

    /// All output channels of the first `rows` pixels, to `[rows][outputs]` at `out`.
    ///
    /// # Safety
    /// `rows` pixels are there, with weights and table for `outputs`; the CPU has the instruction set of `L`.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn block<L: Tiled, const ROWS: usize, const WIDE: usize>(
        &self,
        rows: usize,
        out: *mut i8,
    ) {
        const { assert!(WIDE <= 4) };
        let panels = self.outputs.div_ceil(PANEL);
        for panel in (0..panels).step_by(WIDE) {
            // SAFETY: the panels are below `panels`; `out` is at their first channel of the first pixel.
            unsafe {
                let out = out.add(panel * PANEL);
                let width = (panels - panel).min(WIDE);
                only!(width of WIDE, in 1 2 3 4 => WIDTH {
                    self.rows::<L, ROWS, WIDE, WIDTH>(panel, rows, out);
                });
            }
        }
    }

    /// `WIDTH` panels of `rows` pixels, in tiles as even as they come: where they are narrower than `WIDE`, they are the
    /// taller.
    ///
    /// # Safety
    /// As for [`Self::block`]; `out` is at the first channel of these panels.
    #[inline(always)]
    unsafe fn rows<L: Tiled, const ROWS: usize, const WIDE: usize, const WIDTH: usize>(
        &self,
        panel: usize,
        rows: usize,
        out: *mut i8,
    ) {
        let most = const { at_most(ROWS * WIDE / WIDTH, 12) };
        // SAFETY: passed on from the caller.
        let excess = unsafe { self.excess::<L, WIDTH>(panel) };
        let tiles = rows.div_ceil(most);
        let (low, taller) = (rows / tiles, rows % tiles);
        let mut row = 0;
        for (count, tiles) in [(low + 1, taller), (low, tiles - taller)] {
            if tiles == 0 {
                continue;
            }
            let range = row..row + count * tiles;
            row = range.end;
            // SAFETY: `row <= rows`.
            unsafe {
                let out = out.add(range.start * self.outputs);
                only!(count of at_most(ROWS * WIDE / WIDTH, 12), in 1 2 3 4 5 6 7 8 9 10 11 12 => COUNT {
                    L::tiles::<COUNT, WIDTH>(self, panel, range.clone(), &excess, out);
                });
            }
        }
    }

    /// The tiles of some pixels, `ROWS` in each.
    ///
    /// # Safety
    /// As for [`Self::tile`].
    #[inline(always)]
    pub(in crate::kernels) unsafe fn tiles<L: Lanes, const ROWS: usize, const WIDTH: usize>(
        &self,
        panel: usize,
        rows: Range<usize>,
        excess: &[L::Sums; WIDTH],
        mut out: *mut i8,
    ) {
        for row in rows.step_by(ROWS) {
            // SAFETY: passed on from the caller.
            unsafe {
                self.tile::<L, ROWS, WIDTH>(panel, row, excess, out);
                out = out.add(ROWS * self.outputs);
            }
        }
    }

    /// What the offset of the inputs adds to the sums of some panels.
    ///
    /// # Safety
    /// The panels are in the weights.
    #[inline(always)]
    unsafe fn excess<L: Lanes, const WIDTH: usize>(&self, panel: usize) -> [L::Sums; WIDTH] {
        // Sums of all channels at once, over bytes.
        const { assert!(L::OFFSET == 0 || (L::PARTS == 1 && L::BYTES == 1)) };
        // SAFETY: passed on from the caller.
        unsafe {
            let mut excess = [[L::zero()]; WIDTH];
            if L::OFFSET != 0 {
                let offset = [L::quads([L::OFFSET; QUAD].as_ptr(), 1)];
                let weights = self.weights.as_ptr().add(panel * PANEL * self.depth);
                // All panels at once, or each dot product waits for the one before.
                for k in (0..self.depth).step_by(QUAD) {
                    for (wide, sums) in excess.iter_mut().enumerate() {
                        let weights = weights.add((wide * self.depth + k) * PANEL);
                        L::dot(sums, &offset, weights, 1, 0);
                    }
                }
            }
            let mut sums = [L::zero(); WIDTH];
            for (sums, [excess]) in sums.iter_mut().zip(excess) {
                *sums = excess;
            }
            sums
        }
    }

    /// The table of some panels.
    ///
    /// # Safety
    /// They are in it.
    #[inline(always)]
    unsafe fn table<const WIDTH: usize>(&self, panel: usize) -> &'a [RequantizePanel; WIDTH] {
        // SAFETY: by the caller's promise.
        unsafe { &*self.epilogue.table.as_ptr().add(panel).cast() }
    }

    /// `ROWS` pixels from `row` by `WIDTH` panels from `panel`: product, requantisation, store of the channels below
    /// `outputs`.
    ///
    /// # Safety
    /// They are all there; `out` is at the first channel of the panel in the first of the pixels.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const ROWS: usize, const WIDTH: usize>(
        &self,
        panel: usize,
        row: usize,
        excess: &[L::Sums; WIDTH],
        out: *mut i8,
    ) {
        let Self { depth, outputs, .. } = *self;
        // SAFETY: `k + 4 * count <= depth` inputs into each pixel, 16 k weights into each panel.
        unsafe {
            let input = self.input.as_ptr().add(row * depth * L::BYTES);
            let weights = self.weights.as_ptr().add(panel * PANEL * depth);
            let table = self.table::<WIDTH>(panel);
            let mut sums = [[excess[0]; ROWS]; WIDTH];
            for ((sums, panel), &excess) in sums.iter_mut().zip(table).zip(excess) {
                let start = L::start(panel);
                *sums = match L::OFFSET {
                    0 => [start; ROWS],
                    _ => [L::subtract(start, excess); ROWS],
                };
                L::turn(sums);
            }
            unrolled!(part of L::PARTS, in 0 1 => {
                let mut k = 0;
                while k + L::QUADS * QUAD <= depth {
                    let quads = [depth, k, L::QUADS];
                    Self::quads::<L, ROWS, WIDTH>(&mut sums, input, weights, quads, part);
                    k += L::QUADS * QUAD;
                }
                while L::QUADS > 1 && k < depth {
                    let quads = [depth, k, 1];
                    Self::quads::<L, ROWS, WIDTH>(&mut sums, input, weights, quads, part);
                    k += QUAD;
                }
            });
            for sums in &mut sums {
                L::turn(sums);
            }
            let count = (outputs - panel * PANEL).min(WIDTH * PANEL);
            unrolled!(row of ROWS, in 0 1 2 3 4 5 6 7 8 9 10 11 => {
                let mut pixel = *excess;
                for (pixel, sums) in pixel.iter_mut().zip(&sums) {
                    *pixel = sums[row];
                }
                let to = out.add(row * outputs);
                L::store_wide(pixel, table, self.epilogue.output, to, count);
            });
        }
    }

    /// Adds the products of `count` quads from input `k` on.
    ///
    /// # Safety
    /// They are there in each of the pixels from `input` and the panels from `weights`.
    #[inline(always)]
    unsafe fn quads<L: Lanes, const ROWS: usize, const WIDTH: usize>(
        sums: &mut [[L::Sums; ROWS]; WIDTH],
        input: *const u8,
        weights: *const i8,
        [depth, k, count]: [usize; 3],
        part: usize,
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            // No closure: it would not be compiled for the instruction set.
            let mut inputs = [L::quads(input.add(k * L::BYTES), count); ROWS];
            for (row, inputs) in inputs.iter_mut().enumerate().skip(1) {
                *inputs = L::quads(input.add((row * depth + k) * L::BYTES), count);
            }
            for (wide, sums) in sums.iter_mut().enumerate() {
                let weights = weights.add((wide * depth + k) * PANEL);
                L::dot(sums, &inputs, weights, count, part);
            }
        }
    }
}
