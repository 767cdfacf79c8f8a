//! Matrix product for Cortex-M: two pixels are unpacked to halves of 16 bits once, then multiplied by all weights.

use core::ops::Range;

use graft_patches::layout::{PANEL, QUAD};
use zerocopy::IntoBytes;

use super::{check, check_linear};
use crate::kernels::int8::dsp::{Halves, Requantize, dot, read, unpack};
use crate::kernels::int8::{Epilogue, Pointwise};

/// Pixels that share the unpacked weights.
pub(in crate::kernels::int8) const ROWS: usize = 2;

pub(in crate::kernels::int8) fn pointwise(
    task: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check(task, first, out, scratch);
    let product = Product::new(task.inputs, task.weights, task.epilogue);
    let input = task.input[first * task.inputs..].as_bytes();
    let pixels = input.chunks(ROWS * task.inputs);
    for (pixels, out) in pixels.zip(out.chunks_mut(ROWS * task.outputs)) {
        product.rows(pixels, task.outputs, out, scratch);
    }
}

pub(in crate::kernels::int8) fn linear(
    task: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check_linear(task, first, out, scratch);
    let product = Product::new(task.inputs, task.weights, task.epilogue);
    let channels = first * PANEL..first * PANEL + out.len();
    product.tiles::<1, 4>(task.input.as_bytes(), channels, out, scratch);
}

/// A matrix product.
pub(in crate::kernels::int8) struct Product<'a> {
    inputs: usize,
    weights: &'a [i8],
    epilogue: Epilogue<'a>,
    requantize: Requantize,
}

impl<'a> Product<'a> {
    pub(in crate::kernels::int8) fn new(
        inputs: usize,
        weights: &'a [i8],
        epilogue: Epilogue<'a>,
    ) -> Self {
        let requantize = Requantize::new(epilogue.output);
        Self {
            inputs,
            weights,
            epilogue,
            requantize,
        }
    }

    /// All `outputs` channels of the pixels of `out`, at most [`ROWS`].
    pub(in crate::kernels::int8) fn rows(
        &self,
        input: &[u8],
        outputs: usize,
        out: &mut [i8],
        scratch: &mut [u8],
    ) {
        if out.len() == outputs {
            self.tiles::<1, 4>(input, 0..outputs, out, scratch);
        } else {
            self.tiles::<ROWS, 2>(input, 0..outputs, out, scratch);
        }
    }

    /// Some channels of `R` pixels, `C` at a time: with halves of inputs and weights, as many sums as there are
    /// registers for.
    fn tiles<const R: usize, const C: usize>(
        &self,
        input: &[u8],
        channels: Range<usize>,
        out: &mut [i8],
        scratch: &mut [u8],
    ) {
        let quads = self.unpack::<R>(input, scratch);
        let width = channels.len();
        for start in (0..width).step_by(C) {
            let channel = channels.start + start;
            let panel = &self.epilogue.table[channel / PANEL];
            let tile = channel % PANEL / C;
            // SAFETY: the channel is one of the layer's.
            let sums = unsafe { self.sums::<R, C>(quads, channel, panel.bias.as_chunks().0[tile]) };
            let multipliers = &panel.multiplier.as_chunks().0[tile];
            for (row, sums) in sums.into_iter().enumerate() {
                let out = &mut out[row * width..][..width][start..];
                self.requantize.store(sums, multipliers, out);
            }
        }
    }

    /// Unpacks `R` pixels, side by side, to whole quads; what is behind the last input meets weights of zero.
    fn unpack<'s, const R: usize>(&self, input: &[u8], scratch: &'s mut [u8]) -> &'s [[Halves; R]] {
        // SAFETY: words may hold any bytes.
        let quads = unsafe { scratch.align_to_mut::<[Halves; R]>().1 };
        let quads = &mut quads[..self.inputs.div_ceil(QUAD)];
        for (row, pixel) in input.chunks_exact(self.inputs).take(R).enumerate() {
            let (whole, rest) = pixel.as_chunks();
            for (quad, &bytes) in quads.iter_mut().zip(whole) {
                quad[row] = unpack(u32::from_le_bytes(bytes));
            }
            if let Some(last) = quads.get_mut(whole.len()) {
                let mut bytes = [0; QUAD];
                bytes[..rest.len()].copy_from_slice(rest);
                last[row] = unpack(u32::from_le_bytes(bytes));
            }
        }
        quads
    }

    /// The sums of `C` channels of one panel, from their bias on.
    ///
    /// # Safety
    /// The layer has the first of them; `C` divides a panel.
    #[inline(always)]
    unsafe fn sums<const R: usize, const C: usize>(
        &self,
        quads: &[[Halves; R]],
        channel: usize,
        bias: [i32; C],
    ) -> [[i32; C]; R] {
        let mut sums = [bias; R];
        let first = (channel / PANEL * PANEL * quads.len() + channel % PANEL) * QUAD;
        let mut weights = self.weights.as_ptr().wrapping_add(first);
        for quad in quads {
            for column in 0..C {
                // SAFETY: `check_dense` has seen to all quads of the panel.
                let word = unsafe { read(weights.add(column * QUAD)) };
                let halves = unpack(word);
                for (sums, &inputs) in sums.iter_mut().zip(quad) {
                    sums[column] = dot(sums[column], inputs, halves);
                }
            }
            weights = weights.wrapping_add(PANEL * QUAD);
        }
        sums
    }
}
