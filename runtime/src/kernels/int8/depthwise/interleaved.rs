//! Depthwise convolution on dot products: the bytes of four rows of a column side by side make four taps of a channel.
//!
//! A strip of 64, 32 or 16 channels fills a vector of 64 bytes with 1, 2 or 4 pixels, one of 16 channels a vector of 16
//! bytes. All that some outputs of a strip read is interleaved first, padding too, so that no output is a special case.

use core::mem::MaybeUninit;
use core::ops::Range;

use graft_patches::layout::{PANEL, depthwise_index};

use super::simd;
use crate::kernels::int8::{Conv, RequantizePanel};
use crate::kernels::isa::lanes::Interleaved;

/// Vectors of interleaved inputs: 64 columns of two groups of rows.
const VECTORS: usize = 2 * 4 * (64 + 2);

/// The most bytes of a strip.
const MOST: usize = 4 * PANEL;

/// Interleaved inputs. Those of each column of a stride, group and vector are a plane, where neighbouring outputs find
/// their inputs side by side.
type Planes<L> = [MaybeUninit<<L as Interleaved>::Bytes>; VECTORS];

/// Depthwise convolution of output rows from `first`.
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn depthwise<L: Interleaved>(
    call: &Conv,
    first: usize,
    out: &mut [i8],
) {
    // Output rows are taken in twos where their input rows fill the groups better so.
    // SAFETY: passed on from the caller.
    unsafe {
        match (call.window.kernel, call.window.stride) {
            ([3, 3], [1, 1]) => strips::<L, 3, 1, 2, 1>(call, first, out),
            ([3, 3], [2, 2]) => strips::<L, 3, 2, 1, 1>(call, first, out),
            ([5, 5], [1, 1]) => strips::<L, 5, 1, 2, 2>(call, first, out),
            ([5, 5], [2, 2]) => strips::<L, 5, 2, 2, 2>(call, first, out),
            _ => simd::depthwise::<L::Depthwise>(call, first, out),
        }
    }
}

/// Kernels of `SIDE` x `SIDE`, `ROWS` output rows at a time from `GROUPS` groups of four input rows.
///
/// # Safety
/// As for [`depthwise`].
#[inline(always)]
unsafe fn strips<
    L: Interleaved,
    const SIDE: usize,
    const STRIDE: usize,
    const ROWS: usize,
    const GROUPS: usize,
>(
    call: &Conv,
    first: usize,
    out: &mut [i8],
) {
    let channels = call.output_shape.channels;
    let mut planes: Planes<L> = [const { MaybeUninit::uninit() }; VECTORS];
    let mut channel = 0;
    while channel < channels {
        // SAFETY: `channel` is one of the layer's.
        unsafe {
            let planes = &mut planes;
            channel += if const { L::STRIP == PANEL } {
                Strip::<L, SIDE, STRIDE, ROWS, GROUPS, 1>::run(call, channel, planes, first, out)
            } else {
                match (channels - channel).div_ceil(PANEL) {
                    1 => Strip::<L, SIDE, STRIDE, ROWS, GROUPS, 4>::run(
                        call, channel, planes, first, out,
                    ),
                    2 | 3 => Strip::<L, SIDE, STRIDE, ROWS, GROUPS, 2>::run(
                        call, channel, planes, first, out,
                    ),
                    _ => Strip::<L, SIDE, STRIDE, ROWS, GROUPS, 1>::run(
                        call, channel, planes, first, out,
                    ),
                }
            };
        }
    }
}

/// Up to [`Interleaved::STRIP`]` / PIXELS` channels of a layer.
struct Strip<
    'a,
    L: Interleaved,
    const SIDE: usize,
    const STRIDE: usize,
    const ROWS: usize,
    const GROUPS: usize,
    const PIXELS: usize,
> {
    call: &'a Conv<'a>,
    channel: usize,
    count: usize,
    /// Rows of padding above, columns to the left.
    pad: [usize; 2],
    /// For each output row and kernel column.
    weights: [[[[L::Bytes; 4]; GROUPS]; SIDE]; ROWS],
    start: [L::Dots; 4],
    /// In the order of interleaved channels.
    table: [RequantizePanel; 4],
}

impl<
    'a,
    L: Interleaved,
    const SIDE: usize,
    const STRIDE: usize,
    const ROWS: usize,
    const GROUPS: usize,
    const PIXELS: usize,
> Strip<'a, L, SIDE, STRIDE, ROWS, GROUPS, PIXELS>
{
    /// Input rows that `ROWS` output rows read.
    const HEIGHT: usize = (ROWS - 1) * STRIDE + SIDE;
    /// Channels, and bytes of a pixel in a vector.
    const WIDTH: usize = L::STRIP / PIXELS;
    /// Vectors of a plane; with one more, planes do not start at the same places of cache pages.
    const PLANE: usize = 64 / STRIDE + 1;
    /// Columns of a plane that an output reads beside its first.
    const BESIDE: usize = (SIDE - 1) / STRIDE;

    /// All outputs of these channels; returns how many channels may be in the strip.
    ///
    /// # Safety
    /// As for [`depthwise`]; `channel` is one of the layer's.
    #[inline(always)]
    unsafe fn run(
        call: &'a Conv<'a>,
        channel: usize,
        planes: &mut Planes<L>,
        first: usize,
        out: &mut [i8],
    ) -> usize {
        const { assert!(STRIDE * GROUPS * 4 * Self::PLANE <= VECTORS) };
        let (width, channels) = (call.output_shape.width, call.output_shape.channels);
        let rows = out.chunks_mut(ROWS * width * channels);
        let most = ((Self::PLANE - 1) * PIXELS - Self::BESIDE) / PIXELS * PIXELS;
        // SAFETY: passed on from the caller; the planes hold what `most` outputs read.
        unsafe {
            let strip = Self::new(call, channel);
            for (y, out) in (first..).step_by(ROWS).zip(rows) {
                for x in (0..width).step_by(most) {
                    let range = x..width.min(x + most);
                    strip.interleave(y, range.clone(), planes);
                    strip.outputs(planes, range, out);
                }
            }
        }
        Self::WIDTH
    }

    /// # Safety
    /// As for [`Self::run`].
    #[inline(always)]
    unsafe fn new(call: &'a Conv<'a>, channel: usize) -> Self {
        let channels = call.output_shape.channels;
        let table = interleaved_table(Self::WIDTH / PANEL, &call.epilogue.table[channel / PANEL..]);
        // SAFETY: passed on from the caller.
        unsafe {
            let weights = Self::weights(call, channel);
            let none = L::dots(&[0; PANEL]);
            let offset = L::input_bytes([[0; MOST].as_ptr()], L::STRIP);
            let mut start = [none; 4];
            for (i, start) in start.iter_mut().enumerate() {
                *start = L::dots(&table[i].bias);
                if L::OFFSET != 0 {
                    let mut excess = none;
                    for group in weights[0].as_flattened() {
                        excess = L::dot_bytes(excess, offset, group[i]);
                    }
                    *start = L::subtract_dots(*start, excess);
                }
            }
            Self {
                call,
                channel,
                count: (channels - channel).min(Self::WIDTH),
                pad: call.window.pad_before(call.input_shape),
                weights,
                start,
                table,
            }
        }
    }

    /// Weights as the inputs of a column meet them.
    ///
    /// # Safety
    /// As for [`Self::run`].
    #[inline(always)]
    unsafe fn weights(call: &Conv, channel: usize) -> [[[[L::Bytes; 4]; GROUPS]; SIDE]; ROWS] {
        let channels = call.output_shape.channels;
        let count = (channels.next_multiple_of(PANEL) - channel).min(Self::WIDTH);
        // SAFETY: weights are as long as all taps of the padded channels.
        unsafe {
            let none = [L::weight_bytes([[].as_ptr()], 0); 4];
            let mut weights = [[[none; GROUPS]; SIDE]; ROWS];
            for (place, weights) in weights
                .as_flattened_mut()
                .as_flattened_mut()
                .iter_mut()
                .enumerate()
            {
                let (row, kx, group) =
                    (place / GROUPS / SIDE, place / GROUPS % SIDE, place % GROUPS);
                let mut taps = none;
                for (i, taps) in taps.iter_mut().enumerate() {
                    let ky = (4 * group + i).wrapping_sub(row * STRIDE);
                    if ky < SIDE {
                        let tap = depthwise_index(channel, ky * SIDE + kx, channels);
                        *taps = L::weight_bytes([call.weights.as_ptr().add(tap); PIXELS], count);
                    }
                }
                *weights = L::interleave(taps);
            }
            weights
        }
    }

    /// Interleaves the columns that outputs `range` of row `y` and those after it read.
    ///
    /// # Safety
    /// As for [`depthwise`]; the outputs are the layer's.
    #[inline(always)]
    unsafe fn interleave(&self, y: usize, range: Range<usize>, planes: &mut Planes<L>) {
        let shape = self.call.input_shape;
        let padding = [self.call.padding; MOST];
        // Rows of padding stay where they are from column to column.
        let mut rows = [[(padding.as_ptr(), 0); 4]; GROUPS];
        for (i, from) in rows.as_flattened_mut().iter_mut().enumerate() {
            let row = (y * STRIDE + i).wrapping_sub(self.pad[0]);
            if row < shape.height {
                let start = row * shape.width * shape.channels + self.channel;
                *from = (self.call.input[start..].as_ptr(), shape.channels);
            }
        }
        let vectors = (range.len().next_multiple_of(PIXELS) + Self::BESIDE).div_ceil(PIXELS);
        for vector in 0..vectors {
            for plane in 0..STRIDE {
                let first = (range.start + vector * PIXELS) * STRIDE + plane;
                for (group, rows) in rows.iter().enumerate() {
                    // SAFETY: rows and columns are on the input or are padding; `run` has seen to the planes.
                    unsafe {
                        let mut bytes = [L::weight_bytes([[].as_ptr()], 0); 4];
                        for (i, bytes) in bytes.iter_mut().enumerate() {
                            if 4 * group + i < Self::HEIGHT {
                                let (row, step) = rows[i];
                                let mut from = [padding.as_ptr(); PIXELS];
                                for (pixel, from) in from.iter_mut().enumerate() {
                                    let column = (first + pixel * STRIDE).wrapping_sub(self.pad[1]);
                                    if column < shape.width {
                                        *from = row.add(column * step);
                                    }
                                }
                                *bytes = L::input_bytes(from, self.count);
                            }
                        }
                        for (i, bytes) in L::interleave(bytes).into_iter().enumerate() {
                            let at = ((plane * GROUPS + group) * 4 + i) * Self::PLANE + vector;
                            planes.get_unchecked_mut(at).write(bytes);
                        }
                    }
                }
            }
        }
    }

    /// The outputs `range` of the rows `out`, from planes that begin with the first output's columns.
    ///
    /// # Safety
    /// As for [`depthwise`]; the planes are interleaved.
    #[inline(always)]
    unsafe fn outputs(&self, planes: &Planes<L>, range: Range<usize>, out: &mut [i8]) {
        let shape = self.call.output_shape;
        let output = self.call.epilogue.output;
        let plane = Self::PLANE * size_of::<L::Bytes>();
        // A length that the compiler does not know, or it opens the loop and keeps all columns at once.
        let side = self.call.window.kernel[1];
        for x in range.clone().step_by(PIXELS) {
            // SAFETY: passed on from the caller; `out` has whole rows.
            unsafe {
                let first = planes.as_ptr().byte_add((x - range.start) * Self::WIDTH);
                let mut sums = [self.start; ROWS];
                for kx in 0..side {
                    let column = kx % STRIDE * GROUPS * 4 * plane + kx / STRIDE * Self::WIDTH;
                    for place in 0..GROUPS * 4 {
                        let (group, i) = (place / 4, place % 4);
                        let bytes = first.byte_add(column + place * plane);
                        let bytes = bytes.cast::<L::Bytes>().read_unaligned();
                        for (sums, weights) in sums.iter_mut().zip(&self.weights) {
                            let weights = weights.get_unchecked(kx)[group][i];
                            sums[i] = L::dot_bytes(sums[i], bytes, weights);
                        }
                    }
                }
                let count = [(range.end - x).min(PIXELS), self.count];
                let rows = out.chunks_exact_mut(shape.width * shape.channels);
                for (sums, row) in sums.into_iter().zip(rows) {
                    let to = row.as_mut_ptr().add(x * shape.channels + self.channel);
                    let mut pixels = [to; PIXELS];
                    for (pixel, to) in pixels.iter_mut().enumerate() {
                        *to = to.wrapping_add(pixel * shape.channels);
                    }
                    L::store_bytes(sums, &self.table, output, pixels, count);
                }
            }
        }
    }
}

/// The table of a strip of some panels, in the order of interleaved channels, for each pixel; zeros where it ends.
#[inline(always)]
fn interleaved_table(panels: usize, table: &[RequantizePanel]) -> [RequantizePanel; 4] {
    let mut interleaved = [RequantizePanel::default(); 4];
    for (i, to) in interleaved.iter_mut().enumerate() {
        for quarter in 0..4 {
            if let Some(from) = table.get(quarter % panels.max(1)) {
                let (to_lanes, from_lanes) = (4 * quarter..4 * quarter + 4, 4 * i..4 * i + 4);
                to.multiplier[to_lanes.clone()]
                    .copy_from_slice(&from.multiplier[from_lanes.clone()]);
                to.bias[to_lanes].copy_from_slice(&from.bias[from_lanes]);
            }
        }
    }
    interleaved
}
