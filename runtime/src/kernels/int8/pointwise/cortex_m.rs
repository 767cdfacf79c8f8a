//! Matrix product for Cortex-M: a few pixels are unpacked to halves of 16 bits once, then multiplied by all weights.

use core::slice::ChunksExact;

use graft_patches::layout::{PANEL, QUAD};
use graft_patches::requantize::RequantizePanel;
use zerocopy::IntoBytes;

use super::{check, check_linear};
use crate::kernels::int8::epilogue::cortex_m::Requantize;
use crate::kernels::int8::{Epilogue, Pointwise};
use crate::kernels::isa::cortex_m::{dot, read, unpack};

#[cfg(all(arm_dsp, target_abi = "eabihf"))]
mod tile;

/// Pixels that share the unpacked weights.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
use tile::{ROWS, panel as group_panel};

/// Pixels that share the unpacked weights.
#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
const ROWS: usize = PAIR;
#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
use plain as group_panel;

/// Pixels that share them of what is left.
const PAIR: usize = 2;

pub(in crate::kernels) fn pointwise(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check(call, first, out, scratch);
    let product = Product::new(call.inputs, call.weights, call.epilogue);
    let input = call.input[first * call.inputs..].as_bytes();
    let mut pixels = input.chunks_exact(call.inputs);
    product.all(&mut pixels, call.outputs, out, scratch);
}

pub(in crate::kernels) fn linear(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check_linear(call, first, out, scratch);
    let product = Product::new(call.inputs, call.weights, call.epilogue);
    product.row(call.input.as_bytes(), first, out, scratch);
}

/// Bytes of a panel's weights for a quad of inputs.
const LINE: usize = PANEL * QUAD;

/// Channels that [`plain`] computes at a time.
const CHANNELS: usize = 4;

/// Four inputs of `R` pixels as halves of 16 bits: inputs 0 and 2 of each pixel, then 1 and 3.
type Quad<const R: usize> = [[u32; R]; 2];

/// The pixels of a matrix product, one after the other.
pub(in crate::kernels) trait Pixels {
    /// The inputs of the next pixel.
    fn pixel(&mut self) -> &[u8];
}

impl Pixels for ChunksExact<'_, u8> {
    #[inline(always)]
    fn pixel(&mut self) -> &[u8] {
        self.next().unwrap_or_default()
    }
}

/// A matrix product.
pub(in crate::kernels) struct Product<'a> {
    inputs: usize,
    weights: &'a [i8],
    table: &'a [RequantizePanel],
    requantize: Requantize,
}

impl<'a> Product<'a> {
    pub(in crate::kernels) fn new(
        inputs: usize,
        weights: &'a [i8],
        epilogue: Epilogue<'a>,
    ) -> Self {
        Self {
            inputs,
            weights,
            table: epilogue.table,
            requantize: Requantize::new(epilogue.output),
        }
    }

    /// All `outputs` channels of the pixels of `out`.
    #[inline(always)]
    pub(in crate::kernels) fn all(
        &self,
        pixels: &mut impl Pixels,
        outputs: usize,
        out: &mut [i8],
        scratch: &mut [u8],
    ) {
        let mut rest = out;
        // Words of weights are read side by side, which only words may be. Those of files are.
        if self.weights.as_ptr().cast::<u32>().is_aligned() {
            rest = self.groups::<ROWS>(pixels, outputs, rest, scratch);
            if PAIR < ROWS {
                rest = self.groups::<PAIR>(pixels, outputs, rest, scratch);
            }
        }
        for out in rest.chunks_exact_mut(outputs) {
            self.row(pixels.pixel(), 0, out, scratch);
        }
    }

    /// All channels of `R` pixels at a time; returns what is left for fewer.
    #[inline(always)]
    fn groups<'o, const R: usize>(
        &self,
        pixels: &mut impl Pixels,
        outputs: usize,
        out: &'o mut [i8],
        scratch: &mut [u8],
    ) -> &'o mut [i8] {
        let mut groups = out.chunks_exact_mut(R * outputs);
        for out in &mut groups {
            let quads = self.quads::<R>(scratch);
            for row in 0..R {
                unpack_row(pixels.pixel(), row, quads);
            }
            self.group(quads, out);
        }
        groups.into_remainder()
    }

    /// All channels of `R` pixels.
    #[inline(never)]
    fn group<const R: usize>(&self, quads: &[Quad<R>], out: &mut [i8]) {
        self.panels(quads, 0, out, group_panel);
    }

    /// The channels of one pixel from the panel `first`.
    #[inline(never)]
    fn row(&self, pixel: &[u8], first: usize, out: &mut [i8], scratch: &mut [u8]) {
        let quads = self.quads::<1>(scratch);
        unpack_row(pixel, 0, quads);
        self.panels(quads, first, out, plain);
    }

    /// Room for the quads of `R` pixels.
    fn quads<'s, const R: usize>(&self, scratch: &'s mut [u8]) -> &'s mut [Quad<R>] {
        // SAFETY: words may hold any bytes.
        let quads = unsafe { scratch.align_to_mut::<Quad<R>>().1 };
        &mut quads[..self.inputs.div_ceil(QUAD)]
    }

    /// The channels of `R` pixels from the panel `first`.
    #[inline(always)]
    fn panels<const R: usize>(
        &self,
        quads: &[Quad<R>],
        first: usize,
        out: &mut [i8],
        compute: Compute<R>,
    ) {
        let pitch = out.len() / R;
        let mut weights = self.weights[first * quads.len() * LINE..].as_ptr();
        let (mut to, mut left) = (out.as_mut_ptr(), pitch);
        for table in &self.table[first..][..pitch.div_ceil(PANEL)] {
            let channels = left.min(PANEL);
            let panel = Panel {
                quads,
                weights,
                table,
                requantize: &self.requantize,
            };
            // SAFETY: the weights of all inputs and whole panels are there, and so are the channels in each row of `out`.
            unsafe { compute(&panel, to, pitch, channels) };
            weights = weights.wrapping_add(quads.len() * LINE);
            to = to.wrapping_add(channels);
            left -= channels;
        }
    }
}

/// Unpacks a pixel to whole quads; what is behind the last input meets weights of zero.
#[inline(always)]
fn unpack_row<const R: usize>(pixel: &[u8], row: usize, quads: &mut [Quad<R>]) {
    let (whole, rest) = pixel.as_chunks();
    let (quads, last) = quads.split_at_mut(whole.len());
    for ([even, odd], &bytes) in quads.iter_mut().zip(whole) {
        [even[row], odd[row]] = unpack(u32::from_le_bytes(bytes));
    }
    if let [[even, odd]] = last {
        let mut bytes = [0; QUAD];
        bytes[..rest.len()].copy_from_slice(rest);
        [even[row], odd[row]] = unpack(u32::from_le_bytes(bytes));
    }
}

/// The inputs of `R` pixels, and what makes the channels of a panel of them.
struct Panel<'a, const R: usize> {
    quads: &'a [Quad<R>],
    /// The first of the panel's lines, of which there is one for each quad.
    weights: *const i8,
    table: &'a RequantizePanel,
    requantize: &'a Requantize,
}

/// Writes a number of channels of each pixel of a panel, the one so many bytes behind the other.
///
/// # Safety
/// The panel's weights are there, and memory for the channels of each pixel.
type Compute<const R: usize> = unsafe fn(&Panel<R>, *mut i8, usize, usize);

/// As [`Compute`] says, four channels at a time.
#[inline(always)]
unsafe fn plain<const R: usize>(panel: &Panel<R>, to: *mut i8, pitch: usize, channels: usize) {
    let biases = panel.table.bias.as_chunks::<CHANNELS>().0;
    let multipliers = panel.table.multiplier.as_chunks::<CHANNELS>().0;
    for start in (0..channels).step_by(CHANNELS) {
        let mut sums = [biases[start / CHANNELS]; R];
        let mut weights = panel.weights.wrapping_add(start * QUAD);
        for quad in panel.quads {
            for column in 0..CHANNELS {
                // SAFETY: by the caller's promise.
                let halves = unpack(unsafe { read(weights.add(column * QUAD)) });
                for (row, sums) in sums.iter_mut().enumerate() {
                    let inputs = quad.map(|halves| halves[row]);
                    sums[column] = dot(sums[column], inputs, halves);
                }
            }
            weights = weights.wrapping_add(LINE);
        }
        for (row, &sums) in sums.iter().enumerate() {
            let bytes = panel.requantize.four(sums, &multipliers[start / CHANNELS]);
            let left = channels - start;
            // SAFETY: by the caller's promise.
            unsafe {
                let to = to.add(row * pitch + start);
                if left < CHANNELS {
                    to.copy_from_nonoverlapping(bytes.as_ptr(), left);
                } else {
                    *to.cast() = bytes;
                }
            }
        }
    }
}
