//! Depthwise convolution for Cortex-M: four channels at a time.

use core::ops::Range;

use graft_patches::layout::{PANEL, depthwise_index};

use super::{check, reference};
use crate::kernels::int8::Conv;
use crate::kernels::int8::dsp::{Halves, Requantize, multiply_four, read, unpack};
use crate::kernels::window::{Span, clip};
use crate::kernels::{Shape, Window};

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
    let mut strip = Strip {
        task,
        shape: task.input_shape,
        window: task.window,
        pad: task.window.pad_before(task.input_shape),
        offset: u32::from(-i16::from(task.padding) as u16) * 0x1_0001,
        requantize: Requantize::new(task.epilogue.output),
        weights: [[0; 2]; TAPS],
        channel: 0,
        start: [0; WORD],
    };
    for channel in (0..channels).step_by(WORD) {
        strip.load(channel);
        match task.window.kernel {
            _ if channel + WORD > channels => strip.rows::<0, false>(first, out),
            [3, 3] => strip.rows::<3, true>(first, out),
            [5, 5] => strip.rows::<5, true>(first, out),
            _ => strip.rows::<0, true>(first, out),
        }
    }
}

/// Up to four channels of a layer. Inputs are taken less the padding, which then adds nothing where a window lies on it;
/// what that changes in the sum of all taps is in `start`.
struct Strip<'a> {
    task: &'a Conv<'a>,
    /// Those of `task`, here so that what is written to the output is not taken to change them.
    shape: Shape,
    window: Window,
    /// Rows of padding above, columns to the left.
    pad: [usize; 2],
    /// The padding negated, in both halves.
    offset: u32,
    requantize: Requantize,
    /// Of these channels, one entry a tap.
    weights: [Halves; TAPS],
    channel: usize,
    /// Bias, and all weights times the padding.
    start: [i32; WORD],
}

impl Strip<'_> {
    /// Goes to the four channels from the given one.
    fn load(&mut self, channel: usize) {
        let task = self.task;
        self.channel = channel;
        let bias = &task.epilogue.table[channel / PANEL].bias;
        self.start = bias.as_chunks().0[channel % PANEL / WORD];
        let [height, width] = task.window.kernel;
        let padding = [task.padding; WORD];
        for (tap, weights) in self.weights[..height * width].iter_mut().enumerate() {
            let index = depthwise_index(channel, tap, task.output_shape.channels);
            // SAFETY: `check` has seen to the weights of all taps, padded to whole panels.
            unsafe {
                *weights = unpack(read(task.weights.as_ptr().add(index)));
                let (mut from, mut weights) = (padding.as_ptr(), &raw const *weights);
                self.start = multiply_four(self.start, &mut from, 0, 0, &mut weights);
            }
        }
    }

    /// Output rows from `first`, for kernels of `SIDE` x `SIDE` or with 0 for any; `IS_FULL` if there are four channels.
    fn rows<const SIDE: usize, const IS_FULL: bool>(&self, first: usize, out: &mut [i8]) {
        let (output, window) = (self.task.output_shape, self.window);
        let height = self.shape.height;
        let inside = if SIDE > 0 { self.inside() } else { 0..0 };
        for (y, out) in (first..).zip(out.chunks_exact_mut(output.width * output.channels)) {
            let rows = clip(y, window.stride[0], self.pad[0], window.kernel[0], height);
            for x in (0..inside.start).chain(inside.end..output.width) {
                self.clipped::<IS_FULL>(&rows, x, out);
            }
            self.whole::<SIDE>(&rows, inside.clone(), out);
        }
    }

    /// The output columns all of whose taps lie on the input.
    fn inside(&self) -> Range<usize> {
        let (input, output) = (self.shape, self.task.output_shape);
        let (left, window) = (self.pad[1], self.window);
        let start = left.div_ceil(window.stride[1]).min(output.width);
        // The last window ends with the last column.
        match (input.width + left).checked_sub(window.kernel[1]) {
            Some(last) => start..(last / window.stride[1] + 1).clamp(start, output.width),
            None => 0..0,
        }
    }

    /// Output columns that are [`Self::inside`]; `rows` is the other axis.
    #[inline(never)]
    fn whole<const SIDE: usize>(&self, rows: &Span, inside: Range<usize>, out: &mut [i8]) {
        for x in inside {
            let columns = Span {
                taps: 0..SIDE,
                start: x * self.window.stride[1] - self.pad[1],
            };
            // SAFETY: the column is inside.
            let sums = unsafe { self.sums::<SIDE, true>(rows, &columns) };
            self.store::<true>(sums, x, out);
        }
    }

    /// Output column `x`, whose window may lie on padding; `rows` is the other axis.
    #[inline(never)]
    fn clipped<const IS_FULL: bool>(&self, rows: &Span, x: usize, out: &mut [i8]) {
        let window = self.window;
        let size = self.shape.width;
        let columns = clip(x, window.stride[1], self.pad[1], window.kernel[1], size);
        // SAFETY: `clip` keeps to the input.
        let sums = unsafe { self.sums::<0, IS_FULL>(rows, &columns) };
        self.store::<IS_FULL>(sums, x, out);
    }

    /// The sums of the taps of these rows and columns, for kernels of `SIDE` columns all of them.
    ///
    /// # Safety
    /// They lie on the input; there are four channels if `IS_FULL`.
    #[inline(always)]
    unsafe fn sums<const SIDE: usize, const IS_FULL: bool>(
        &self,
        rows: &Span,
        columns: &Span,
    ) -> [i32; WORD] {
        let shape = self.shape;
        let (width, count) = match SIDE {
            0 => (self.window.kernel[1], columns.taps.len()),
            _ => (SIDE, SIDE),
        };
        let pixel = (rows.start * shape.width + columns.start) * shape.channels + self.channel;
        let mut from = self.task.input.as_ptr().wrapping_add(pixel);
        let tap = rows.taps.start * width + columns.taps.start;
        let mut weights = self.weights.as_ptr().wrapping_add(tap);
        let mut sums = self.start;
        for _ in rows.taps.clone() {
            for _ in 0..count {
                // SAFETY: by the caller's promise; the weights are those of the tap.
                sums = unsafe {
                    if IS_FULL {
                        multiply_four(sums, &mut from, shape.channels, self.offset, &mut weights)
                    } else {
                        let inputs = first(from, shape.channels - self.channel);
                        from = from.wrapping_add(shape.channels);
                        multiply_four(sums, &mut inputs.as_ptr(), 0, self.offset, &mut weights)
                    }
                };
            }
            from = from.wrapping_add((shape.width - count) * shape.channels);
            weights = weights.wrapping_add(width - count);
        }
        sums
    }

    /// Requantises output column `x`.
    #[inline(always)]
    fn store<const IS_FULL: bool>(&self, sums: [i32; WORD], x: usize, row: &mut [i8]) {
        let channels = self.shape.channels;
        let count = match IS_FULL {
            true => WORD,
            false => channels - self.channel,
        };
        let panel = &self.task.epilogue.table[self.channel / PANEL];
        let multipliers = &panel.multiplier.as_chunks().0[self.channel % PANEL / WORD];
        let out = &mut row[x * channels + self.channel..][..count];
        self.requantize.store(sums, multipliers, out);
    }
}

/// The first `count` of four channels; others are 0.
///
/// # Safety
/// They are there.
unsafe fn first(from: *const i8, count: usize) -> [i8; WORD] {
    let mut channels = [0; WORD];
    for (i, channel) in channels.iter_mut().enumerate().take(count) {
        // SAFETY: by the caller's promise.
        *channel = unsafe { from.add(i).read() };
    }
    channels
}
