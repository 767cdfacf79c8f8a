//! Depthwise convolution for Cortex-M: four channels at a time.

use core::ops::Range;

use graft_patches::layout::{PANEL, depthwise_index};

use super::{check, reference};
use crate::kernels::int8::Conv;
use crate::kernels::int8::dsp::{Halves, Requantize, read, smlabb, smlatt, unpack, unpack_add};
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
    let mut strip = Strip {
        task,
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
        self.start =
            task.epilogue.table[channel / PANEL].bias.as_chunks().0[channel % PANEL / WORD];
        let [height, width] = task.window.kernel;
        for (tap, weights) in self.weights[..height * width].iter_mut().enumerate() {
            let index = depthwise_index(channel, tap, task.output_shape.channels);
            // SAFETY: `check` has seen to the weights of all taps, padded to whole panels.
            *weights = unpack(unsafe { read(task.weights.as_ptr().add(index)) });
            let padding = u32::from(task.padding as i16 as u16) * 0x1_0001;
            self.start = multiply(self.start, [padding; 2], *weights);
        }
    }

    /// Output rows from `first`, for kernels of `SIDE` x `SIDE` or with 0 for any; `IS_FULL` if there are four channels.
    fn rows<const SIDE: usize, const IS_FULL: bool>(&self, first: usize, out: &mut [i8]) {
        let (output, window) = (self.task.output_shape, self.task.window);
        let height = self.task.input_shape.height;
        for (y, out) in (first..).zip(out.chunks_exact_mut(output.width * output.channels)) {
            let rows = clip(y, window.stride[0], self.pad[0], window.kernel[0], height);
            let is_inside = SIDE > 0 && rows.taps.len() == SIDE;
            let inside = if is_inside { self.inside() } else { 0..0 };
            for x in (0..inside.start).chain(inside.end..output.width) {
                self.clipped::<IS_FULL>(&rows, x, out);
            }
            if !inside.is_empty() {
                // SAFETY: these windows lie on the input.
                unsafe { self.whole::<SIDE>(rows.start, inside, out) };
            }
        }
    }

    /// The output columns whose windows lie on the input.
    fn inside(&self) -> Range<usize> {
        let (input, output) = (self.task.input_shape, self.task.output_shape);
        let (left, width, across) = (
            self.pad[1],
            self.task.window.kernel[1],
            self.task.window.stride[1],
        );
        let start = left.div_ceil(across).min(output.width);
        // The last window ends with the last column.
        match (input.width + left).checked_sub(width) {
            Some(last) => start..(last / across + 1).clamp(start, output.width),
            None => 0..0,
        }
    }

    /// Output columns whose windows lie on the input, from its row `top`.
    ///
    /// # Safety
    /// They do; there are four channels.
    #[inline(never)]
    unsafe fn whole<const SIDE: usize>(&self, top: usize, columns: Range<usize>, out: &mut [i8]) {
        let Conv {
            input_shape: shape,
            window,
            ..
        } = *self.task;
        let below = (shape.width - SIDE) * shape.channels;
        for x in columns {
            let mut from = self.pixel(top, x * window.stride[1] - self.pad[1]);
            let mut sums = self.start;
            for ky in 0..SIDE {
                for kx in 0..SIDE {
                    // SAFETY: by the caller's promise.
                    let inputs = unpack_add(unsafe { read(from) }, self.offset);
                    sums = multiply(sums, inputs, self.weights[ky * SIDE + kx]);
                    from = from.wrapping_add(shape.channels);
                }
                from = from.wrapping_add(below);
            }
            self.store::<true>(sums, x, out);
        }
    }

    /// Output column `x`, whose window may lie on padding; `rows` is its other axis.
    #[inline(never)]
    fn clipped<const IS_FULL: bool>(&self, rows: &Span, x: usize, out: &mut [i8]) {
        let (shape, window) = (self.task.input_shape, self.task.window);
        let columns = clip(
            x,
            window.stride[1],
            self.pad[1],
            window.kernel[1],
            shape.width,
        );
        let count = shape.channels - self.channel;
        let mut sums = self.start;
        for (row, ky) in (rows.start..).zip(rows.taps.clone()) {
            let mut from = self.pixel(row, columns.start);
            let first = ky * window.kernel[1] + columns.taps.start;
            for &weights in &self.weights[first..][..columns.taps.len()] {
                // SAFETY: `clip` has kept to the input, which has `count` more channels.
                let word = unsafe {
                    if IS_FULL {
                        read(from)
                    } else {
                        read_first(from, count)
                    }
                };
                sums = multiply(sums, unpack_add(word, self.offset), weights);
                from = from.wrapping_add(shape.channels);
            }
        }
        self.store::<IS_FULL>(sums, x, out);
    }

    /// Requantises output column `x`.
    #[inline(always)]
    fn store<const IS_FULL: bool>(&self, sums: [i32; WORD], x: usize, row: &mut [i8]) {
        let channels = self.task.output_shape.channels;
        let count = if IS_FULL {
            WORD
        } else {
            channels - self.channel
        };
        let panel = &self.task.epilogue.table[self.channel / PANEL];
        let multipliers = &panel.multiplier.as_chunks().0[self.channel % PANEL / WORD];
        let out = &mut row[x * channels + self.channel..][..count];
        self.requantize.store(sums, multipliers, out);
    }

    /// These channels of an input pixel.
    #[inline(always)]
    fn pixel(&self, row: usize, column: usize) -> *const i8 {
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

/// Reads the first `count` of four channels; others are 0.
///
/// # Safety
/// They are there.
unsafe fn read_first(from: *const i8, count: usize) -> u32 {
    let mut bytes = [0; WORD];
    for (i, byte) in bytes.iter_mut().enumerate().take(count) {
        // SAFETY: by the caller's promise.
        *byte = unsafe { from.add(i).cast::<u8>().read() };
    }
    u32::from_le_bytes(bytes)
}
