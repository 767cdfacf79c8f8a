//! Fast matrix product: pixels are copied to scratch memory in whole quads, then multiplied in register tiles.

use graft_patches::layout::{PANEL, QUAD};

use crate::kernels::int8::{BLOCK, Epilogue, Pointwise, RequantizePanel};
use crate::kernels::isa::lanes::Lanes;

/// Pointwise convolution in tiles of at most `ROWS` pixels by `WIDE` panels.
///
/// # Safety
/// `check(call, first, out, scratch)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn pointwise<L: Lanes, const ROWS: usize, const WIDE: usize>(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    let depth = call.inputs.next_multiple_of(QUAD);
    let mut input = &call.input[first * call.inputs..];
    for out in out.chunks_mut(BLOCK * call.outputs) {
        let rows = out.len() / call.outputs;
        let (block, later) = input.split_at(rows * call.inputs);
        input = later;
        if depth == call.inputs {
            fill::<L>(&mut scratch[..block.len()], block);
        } else {
            let pixels = block.chunks_exact(call.inputs);
            for (to, from) in scratch.chunks_exact_mut(depth).zip(pixels) {
                fill::<L>(to, from);
            }
        }
        let product = Product::of(call, scratch);
        // SAFETY: `rows` pixels of `depth` inputs are in scratch memory, and as many of `outputs` in `out`.
        unsafe { product.block::<L, ROWS, WIDE>(rows, out.as_mut_ptr()) };
    }
}

/// Fully connected layer, four panels at a time: each waits on its own sums.
///
/// # Safety
/// `check_linear(call, first, out, scratch)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn linear<L: Lanes>(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    let depth = call.inputs.next_multiple_of(QUAD);
    fill::<L>(&mut scratch[..depth], &call.input[..call.inputs]);
    let product = Product::of(call, scratch);
    const WIDE: usize = 4;
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

/// Copies inputs as [`Lanes::quad`] reads them; what is behind the last input meets weights of zero.
#[inline(always)]
pub(in crate::kernels) fn fill<L: Lanes>(to: &mut [u8], from: &[i8]) {
    let (to, behind) = to.split_at_mut(from.len());
    behind.fill(0);
    let (lines, from) = from.as_chunks::<64>();
    let (line, to) = to.as_chunks_mut::<64>();
    for (to, from) in line.iter_mut().zip(lines) {
        *to = from.map(|input| input as u8 ^ L::OFFSET);
    }
    let (words, from) = from.as_chunks::<8>();
    let (word, to) = to.as_chunks_mut::<8>();
    for (to, from) in word.iter_mut().zip(words) {
        *to = from.map(|input| input as u8 ^ L::OFFSET);
    }
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from as u8 ^ L::OFFSET;
    }
}

const fn at_most(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// A matrix product of prepared pixels.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Product<'a> {
    /// `[rows][depth]`.
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
    /// So many pixels are there, with weights and table for `outputs`; the CPU has the instruction set of `L`.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn block<L: Lanes, const ROWS: usize, const WIDE: usize>(
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
                match (panels - panel).min(WIDE) {
                    1 => self.rows::<L, ROWS, WIDE, 1>(panel, rows, out),
                    2 if WIDE >= 2 => self.rows::<L, ROWS, WIDE, 2>(panel, rows, out),
                    3 if WIDE >= 3 => self.rows::<L, ROWS, WIDE, 3>(panel, rows, out),
                    4 if WIDE >= 4 => self.rows::<L, ROWS, WIDE, 4>(panel, rows, out),
                    _ => unreachable!("more panels than a tile has"),
                }
            }
        }
    }

    /// `WIDTH` panels of `rows` pixels, in tiles as even as they come: where they are narrower than `WIDE`, they are the
    /// taller.
    ///
    /// # Safety
    /// As for [`Self::block`]; `out` is at the first channel of these panels.
    #[inline(always)]
    unsafe fn rows<L: Lanes, const ROWS: usize, const WIDE: usize, const WIDTH: usize>(
        &self,
        panel: usize,
        rows: usize,
        out: *mut i8,
    ) {
        let most = const { at_most(ROWS * WIDE / WIDTH, 12) };
        // SAFETY: passed on from the caller.
        let start = unsafe { self.start::<L, WIDTH>(panel) };
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            let count = left.div_ceil(left.div_ceil(most));
            // SAFETY: `row + count <= rows`.
            unsafe {
                let out = out.add(row * self.outputs);
                match count {
                    1 => self.tile::<L, 1, WIDTH>(panel, row, start, out),
                    2 if most >= 2 => self.tile::<L, 2, WIDTH>(panel, row, start, out),
                    3 if most >= 3 => self.tile::<L, 3, WIDTH>(panel, row, start, out),
                    4 if most >= 4 => self.tile::<L, 4, WIDTH>(panel, row, start, out),
                    5 if most >= 5 => self.tile::<L, 5, WIDTH>(panel, row, start, out),
                    6 if most >= 6 => self.tile::<L, 6, WIDTH>(panel, row, start, out),
                    7 if most >= 7 => self.tile::<L, 7, WIDTH>(panel, row, start, out),
                    8 if most >= 8 => self.tile::<L, 8, WIDTH>(panel, row, start, out),
                    9 if most >= 9 => self.tile::<L, 9, WIDTH>(panel, row, start, out),
                    10 if most >= 10 => self.tile::<L, 10, WIDTH>(panel, row, start, out),
                    11 if most >= 11 => self.tile::<L, 11, WIDTH>(panel, row, start, out),
                    12 if most >= 12 => self.tile::<L, 12, WIDTH>(panel, row, start, out),
                    _ => unreachable!("more rows than a tile has"),
                }
            }
            row += count;
        }
    }

    /// The sums of some panels before any product, without what the offset of the inputs will add.
    ///
    /// # Safety
    /// The panels are in the weights.
    #[inline(always)]
    unsafe fn start<L: Lanes, const WIDTH: usize>(&self, panel: usize) -> [L::Sums; WIDTH] {
        // SAFETY: passed on from the caller.
        unsafe {
            let mut start = [L::zero(); WIDTH];
            for (start, panel) in start.iter_mut().zip(self.table::<WIDTH>(panel)) {
                *start = L::start(panel);
            }
            if L::OFFSET == 0 {
                return start;
            }
            let offset = L::quad([L::OFFSET; QUAD].as_ptr());
            let weights = self.weights.as_ptr().add(panel * PANEL * self.depth);
            // All panels at once, or each dot product waits for the one before.
            let mut sums = [L::zero(); WIDTH];
            for k in (0..self.depth).step_by(QUAD) {
                for (wide, sums) in sums.iter_mut().enumerate() {
                    let weights = L::weights(weights.add((wide * self.depth + k) * PANEL));
                    *sums = L::dot(*sums, offset, weights);
                }
            }
            for (start, sums) in start.iter_mut().zip(sums) {
                *start = L::subtract(*start, sums);
            }
            start
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
        start: [L::Sums; WIDTH],
        out: *mut i8,
    ) {
        let Self { depth, outputs, .. } = *self;
        let mut sums = [start; ROWS];
        // SAFETY: `k + 4 <= depth` inputs into each pixel, 16 k weights into each panel.
        unsafe {
            let input = self.input.as_ptr().add(row * depth);
            let weights = self.weights.as_ptr().add(panel * PANEL * depth);
            for k in (0..depth).step_by(QUAD) {
                // No closure: it would not be compiled for the instruction set.
                let mut columns = [L::weights(weights.add(k * PANEL)); WIDTH];
                for (wide, column) in columns.iter_mut().enumerate().skip(1) {
                    *column = L::weights(weights.add((wide * depth + k) * PANEL));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let quad = L::quad(input.add(row * depth + k));
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = L::dot(*sum, quad, column);
                    }
                }
            }
            let count = (outputs - panel * PANEL).min(WIDTH * PANEL);
            for (row, &sums) in sums.iter().enumerate() {
                let to = out.add(row * outputs);
                L::store_wide(sums, self.table(panel), self.epilogue.output, to, count);
            }
        }
    }
}
