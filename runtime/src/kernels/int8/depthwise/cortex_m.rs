//! Depthwise convolution for Cortex-M: four channels at a time.

use graft_patches::layout::{PANEL, depthwise_index};
use zerocopy::IntoBytes;

use super::{check, reference};
use crate::kernels::int8::Conv;
use crate::kernels::int8::dsp::{Halves, Requantize, smlabb, smlatt, unpack};
use crate::kernels::window::{Span, clip};

/// Channels of a word.
const WORD: usize = 4;

/// Taps of the largest kernel whose weights have room on the stack, 7 x 7.
const TAPS: usize = 49;

pub(in crate::kernels::int8) fn depthwise(task: &Conv, first: usize, out: &mut [i8]) {
    let [height, width] = task.window.kernel;
    if height.saturating_mul(width) > TAPS {
        return reference::depthwise(task, first, out);
    }
    check(task, first, out);
    let channels = task.output_shape.channels;
    let mut weights = [Halves::default(); TAPS];
    let weights = &mut weights[..height * width];
    for channel in (0..channels).step_by(WORD) {
        for (tap, halves) in weights.iter_mut().enumerate() {
            let bytes = task.weights[depthwise_index(channel, tap, channels)..].as_bytes();
            *halves = bytes.first_chunk().map_or([0; 2], |&bytes| unpack(bytes));
        }
        let strip = Strip {
            task,
            channel,
            weights,
            pad: task.window.pad_before(task.input_shape),
            requantize: Requantize::new(task.epilogue.output),
        };
        match task.window.kernel {
            _ if channel + WORD > channels => strip.rows::<0, false>(first, out),
            [3, 3] => strip.rows::<3, true>(first, out),
            [5, 5] => strip.rows::<5, true>(first, out),
            _ => strip.rows::<0, true>(first, out),
        }
    }
}

/// Up to four channels of a layer.
struct Strip<'a> {
    task: &'a Conv<'a>,
    channel: usize,
    /// Of these channels, one entry a tap.
    weights: &'a [Halves],
    /// Rows of padding above, columns to the left.
    pad: [usize; 2],
    requantize: Requantize,
}

impl Strip<'_> {
    /// Output rows from `first`, for kernels of `SIDE` x `SIDE` or with 0 for any; `IS_FULL` if there are four channels.
    fn rows<const SIDE: usize, const IS_FULL: bool>(&self, first: usize, out: &mut [i8]) {
        let Conv {
            input_shape: input,
            output_shape: output,
            window,
            ..
        } = *self.task;
        let table = &self.task.epilogue.table[self.channel / PANEL];
        let lanes = self.channel % PANEL..;
        for (y, out) in (first..).zip(out.chunks_exact_mut(output.width * output.channels)) {
            let rows = clip(
                y,
                window.stride[0],
                self.pad[0],
                window.kernel[0],
                input.height,
            );
            // Positions from which a window lies on the input.
            let inside = match SIDE > 0 && rows.taps.len() == SIDE {
                true => (input.width + 1).saturating_sub(SIDE),
                false => 0,
            };
            for (x, out) in out.chunks_exact_mut(output.channels).enumerate() {
                let column = (x * window.stride[1]).wrapping_sub(self.pad[1]);
                let sums = if column < inside {
                    // SAFETY: all taps are on the input.
                    unsafe { self.whole::<SIDE>([rows.start, column]) }
                } else {
                    self.clipped::<IS_FULL>(&rows, x)
                };
                for ((lane, sum), out) in lanes.clone().zip(sums).zip(&mut out[self.channel..]) {
                    *out = self.requantize.apply(sum, table, lane);
                }
            }
        }
    }

    /// The sums of a window that lies on the input, from its first pixel.
    ///
    /// # Safety
    /// All taps of `SIDE` x `SIDE` are on the input; there are four channels.
    #[inline(always)]
    unsafe fn whole<const SIDE: usize>(&self, first: [usize; 2]) -> [i32; WORD] {
        let shape = self.task.input_shape;
        let mut from = self.pixel(first);
        let mut sums = [0; WORD];
        for weights in self.weights.chunks_exact(SIDE) {
            for (kx, &weights) in weights.iter().enumerate().take(SIDE) {
                // SAFETY: passed on from the caller.
                let inputs = unsafe { read::<true>(from, WORD) };
                sums = multiply(sums, inputs, weights);
                let step = if kx + 1 < SIDE {
                    1
                } else {
                    shape.width + 1 - SIDE
                };
                from = from.wrapping_add(step * shape.channels);
            }
        }
        sums
    }

    /// The sums of output column `x`, whose window may lie on padding; `rows` is its other axis.
    #[inline(never)]
    fn clipped<const IS_FULL: bool>(&self, rows: &Span, x: usize) -> [i32; WORD] {
        let (shape, window) = (self.task.input_shape, self.task.window);
        let columns = clip(
            x,
            window.stride[1],
            self.pad[1],
            window.kernel[1],
            shape.width,
        );
        let padding = [self.task.padding; WORD];
        let mut sums = [0; WORD];
        for (ky, weights) in self.weights.chunks_exact(window.kernel[1]).enumerate() {
            let taps = if rows.taps.contains(&ky) {
                columns.taps.clone()
            } else {
                0..0
            };
            let mut from = self.pixel([
                (rows.start + ky).wrapping_sub(rows.taps.start),
                columns.start,
            ]);
            for (kx, &weights) in weights.iter().enumerate() {
                // SAFETY: the tap is on the input, or there is a word of padding.
                unsafe {
                    if taps.contains(&kx) {
                        sums = multiply(
                            sums,
                            read::<IS_FULL>(from, shape.channels - self.channel),
                            weights,
                        );
                        from = from.wrapping_add(shape.channels);
                    } else {
                        sums = multiply(sums, read::<true>(padding.as_ptr(), WORD), weights);
                    }
                }
            }
        }
        sums
    }

    /// These channels of an input pixel.
    #[inline(always)]
    fn pixel(&self, [row, column]: [usize; 2]) -> *const i8 {
        let shape = self.task.input_shape;
        let pixel = row.wrapping_mul(shape.width).wrapping_add(column);
        let index = pixel
            .wrapping_mul(shape.channels)
            .wrapping_add(self.channel);
        self.task.input.as_ptr().wrapping_add(index)
    }
}

/// Adds the product of each channel.
#[inline(always)]
fn multiply(sums: [i32; WORD], inputs: Halves, weights: Halves) -> [i32; WORD] {
    [
        smlabb(sums[0], inputs[0], weights[0]),
        smlabb(sums[1], inputs[1], weights[1]),
        smlatt(sums[2], inputs[0], weights[0]),
        smlatt(sums[3], inputs[1], weights[1]),
    ]
}

/// Reads four channels, or if not `IS_FULL` the first `count`; others are 0.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn read<const IS_FULL: bool>(from: *const i8, count: usize) -> Halves {
    let mut bytes = [0; WORD];
    // SAFETY: by the caller's promise.
    unsafe {
        if IS_FULL {
            bytes = from.cast::<[u8; WORD]>().read();
        } else {
            for (i, byte) in bytes.iter_mut().enumerate().take(count) {
                *byte = from.add(i).cast::<u8>().read();
            }
        }
    }
    unpack(bytes)
}
