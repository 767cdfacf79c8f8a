//! Depthwise convolution for Cortex-M: four channels at a time.

use core::ops::Range;

use graft_patches::layout::{PANEL, depthwise_index};

use super::{check, reference};
use crate::kernels::int8::Conv;
use crate::kernels::int8::epilogue::cortex_m::Requantize;
use crate::kernels::isa::cortex_m::{Halves, high, low, multiply_four, read, unpack};
use crate::kernels::window::{Sliding, Span};

mod framed;

use framed::Framed;

/// Channels of a word.
const WORD: usize = 4;

/// Taps of the largest kernel whose weights have room on the stack, 7 x 7.
const TAPS: usize = 49;

pub(in crate::kernels) fn depthwise(call: &Conv, first: usize, out: &mut [i8]) {
    let [height, width] = call.window.kernel;
    if height.saturating_mul(width) > TAPS {
        return reference::depthwise(call, first, out);
    }
    check(call, first, out);
    let channels = call.output_shape.channels;
    let sliding = call.sliding();
    let framed = Framed::new(call, sliding);
    let frame = usize::from(framed.is_some());
    let pitch = width + 2 * frame;
    let mut strip = Strip {
        call,
        sliding,
        offset: u32::from(-i16::from(call.padding) as u16) * 0x1_0001,
        requantize: Requantize::new(call.epilogue.output),
        weights: [[0; 2]; TAPS],
        corner: frame * (pitch + 1),
        pitch,
        channel: 0,
        start: [0; WORD],
        multipliers: &[0.0; WORD],
    };
    for channel in (0..channels).step_by(WORD) {
        strip.load(channel);
        match (call.window.kernel, &framed) {
            _ if channel + WORD > channels => strip.rows::<0, false>(first, out),
            (_, Some(framed)) => framed.strip(&strip, first, out),
            ([5, 5], _) => strip.rows::<5, true>(first, out),
            _ => strip.rows::<0, true>(first, out),
        }
    }
}

/// Up to four channels of a layer. Inputs are taken less the padding, which then adds nothing where a window lies on it;
/// what that changes in the sum of all taps is in `start`.
struct Strip<'a> {
    call: &'a Conv<'a>,
    /// That of `call`, here so that what is written to the output is not taken to change it.
    sliding: Sliding,
    /// The padding negated, in both halves.
    offset: u32,
    requantize: Requantize,
    /// Of these channels, one entry a tap; of layers that are [`Framed`], in a frame of zeros.
    weights: [Halves; TAPS],
    /// The entry of the first tap.
    corner: usize,
    /// From those of one row to the next.
    pitch: usize,
    channel: usize,
    /// Bias, and all weights times the padding.
    start: [i32; WORD],
    multipliers: &'a [f32; WORD],
}

impl Strip<'_> {
    /// Goes to the four channels from the given one.
    fn load(&mut self, channel: usize) {
        let call = self.call;
        self.channel = channel;
        let panel = &call.epilogue.table[channel / PANEL];
        let word = channel % PANEL / WORD;
        let mut start = panel.bias.as_chunks().0[word];
        self.multipliers = &panel.multiplier.as_chunks().0[word];
        let padding = i32::from(call.padding);
        let channels = call.output_shape.channels;
        let step = depthwise_index(0, 1, channels);
        let mut from = call.weights.as_ptr().wrapping_add(channel);
        let rows = self.weights[self.corner..].chunks_mut(self.pitch);
        for row in rows.take(call.window.kernel[0]) {
            for weights in &mut row[..call.window.kernel[1]] {
                // SAFETY: `check` has seen to the weights of all taps, padded to whole panels.
                let [even, odd] = unpack(unsafe { read(from) });
                *weights = [even, odd];
                start[0] = start[0].wrapping_add(padding * low(even));
                start[1] = start[1].wrapping_add(padding * low(odd));
                start[2] = start[2].wrapping_add(padding * high(even));
                start[3] = start[3].wrapping_add(padding * high(odd));
                from = from.wrapping_add(step);
            }
        }
        self.start = start;
    }

    /// Output rows from `first`, for kernels of `SIDE` x `SIDE` or with 0 for any; `IS_FULL` if there are four channels.
    fn rows<const SIDE: usize, const IS_FULL: bool>(&self, first: usize, out: &mut [i8]) {
        let width = self.call.output_shape.width;
        let inside = match SIDE {
            0 => 0..0,
            _ => self.sliding.inside(1, width),
        };
        for x in (0..inside.start).chain(inside.end..width) {
            self.clipped::<IS_FULL>(x, first, out);
        }
        if !inside.is_empty() {
            self.whole::<SIDE>(inside, first, out);
        }
    }

    /// Output columns `inside`, all of whose windows lie on the input.
    #[inline(never)]
    fn whole<const SIDE: usize>(&self, inside: Range<usize>, first: usize, out: &mut [i8]) {
        let (channels, stride) = (self.sliding.input.channels, self.sliding.window.stride[1]);
        let columns = Span {
            taps: 0..SIDE,
            start: inside.start * stride - self.sliding.pad[1],
        };
        let row = self.call.output_shape.width * channels;
        for (y, out) in (first..).zip(out.chunks_exact_mut(row)) {
            let mut place = self.place(y, &columns);
            let mut to = out[inside.start * channels + self.channel..].as_mut_ptr();
            for _ in inside.clone() {
                // SAFETY: the columns are inside; there are four channels.
                unsafe {
                    let sums = self.sums::<SIDE>(&place);
                    *to.cast() = self.requantize.four(sums, self.multipliers);
                }
                place.from = place.from.wrapping_add(stride * channels);
                to = to.wrapping_add(channels);
            }
        }
    }

    /// Output column `x`, whose windows may lie on padding.
    #[inline(never)]
    fn clipped<const IS_FULL: bool>(&self, x: usize, first: usize, out: &mut [i8]) {
        let shape = self.sliding.input;
        let columns = self.sliding.span(1, x);
        let row = self.call.output_shape.width * shape.channels;
        for (y, out) in (first..).zip(out.chunks_exact_mut(row)) {
            let place = self.place(y, &columns);
            let to = &mut out[x * shape.channels + self.channel..];
            // SAFETY: `clip` keeps to the input.
            unsafe {
                if IS_FULL {
                    let bytes = self
                        .requantize
                        .four(self.sums::<0>(&place), self.multipliers);
                    *to.as_mut_ptr().cast() = bytes;
                } else {
                    let count = shape.channels - self.channel;
                    let sums = self.some_sums(&place, count);
                    let bytes = self.requantize.four(sums, self.multipliers);
                    to[..count].copy_from_slice(&bytes[..count]);
                }
            }
        }
    }

    /// The place where the window of output row `y` and these columns begins.
    #[inline(always)]
    fn place(&self, y: usize, columns: &Span) -> Place {
        let shape = self.sliding.input;
        let rows = self.sliding.span(0, y);
        let tap = self.corner + rows.taps.start * self.pitch + columns.taps.start;
        let pixel = rows.start * shape.width + columns.start;
        let input = self.call.input.as_ptr();
        Place {
            columns: columns.taps.len(),
            row: shape.width * shape.channels,
            from: input.wrapping_add(pixel * shape.channels + self.channel),
            weights: self.weights.as_ptr().wrapping_add(tap),
            end: self
                .weights
                .as_ptr()
                .wrapping_add(tap + rows.taps.len() * self.pitch),
        }
    }

    /// The sums of a window, or of what of it is on the input; of kernels with `SIDE` columns, all of them.
    ///
    /// # Safety
    /// It lies on the input; there are four channels.
    #[inline(always)]
    unsafe fn sums<const SIDE: usize>(&self, place: &Place) -> [i32; WORD] {
        let (step, offset) = (self.sliding.input.channels, self.offset);
        let &Place {
            mut from,
            mut weights,
            ..
        } = place;
        let mut sums = self.start;
        while weights < place.end {
            // SAFETY: by the caller's promise; the weights are those of the taps.
            unsafe {
                let mut from = from;
                for _ in 0..place.columns {
                    sums = multiply_four(sums, &mut from, step, offset, &mut weights);
                }
            }
            from = from.wrapping_add(place.row);
            if SIDE == 0 {
                weights = weights.wrapping_add(self.pitch - place.columns);
            }
        }
        sums
    }

    /// The same of the first `count` channels.
    ///
    /// # Safety
    /// It lies on the input; there are `count` channels.
    unsafe fn some_sums(&self, place: &Place, count: usize) -> [i32; WORD] {
        let &Place {
            mut from,
            mut weights,
            ..
        } = place;
        let mut sums = self.start;
        while weights < place.end {
            for column in 0..place.columns {
                // SAFETY: by the caller's promise; the weights are those of the tap.
                unsafe {
                    let inputs = first(from.add(column * self.sliding.input.channels), count);
                    sums = multiply_four(sums, &mut inputs.as_ptr(), 0, self.offset, &mut weights);
                }
            }
            from = from.wrapping_add(place.row);
            weights = weights.wrapping_add(self.pitch - place.columns);
        }
        sums
    }
}

/// The place where the part of a window on the input begins.
struct Place {
    columns: usize,
    /// From one row of the input to the next.
    row: usize,
    from: *const i8,
    weights: *const Halves,
    /// Behind those of the last row.
    end: *const Halves,
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
