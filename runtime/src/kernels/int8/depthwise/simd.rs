//! Fast depthwise convolution: sixteen channels at a time.

use core::ops::Range;

use graft_patches::layout::{PANEL, depthwise_index};

use crate::kernels::int8::{Conv, RequantizePanel};
use crate::kernels::isa::lanes::Lanes;
use crate::kernels::unrolled::unrolled;
use crate::kernels::window::{self, Sliding};

/// Depthwise convolution of output rows from `first`.
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn depthwise<L: Lanes>(call: &Conv, first: usize, out: &mut [i8]) {
    // SAFETY: passed on from the caller.
    unsafe {
        match call.window.kernel {
            [3, 3] => rows::<L, 3, 9, 5>(call, first, out),
            [5, 5] => rows::<L, 5, 25, 13>(call, first, out),
            _ => rows::<L, 0, 0, 0>(call, first, out),
        }
    }
}

/// As [`depthwise`], for kernels of `SIDE` x `SIDE` with `TAPS` taps in `PAIRS` pairs, or with zeros for any.
///
/// # Safety
/// As for [`depthwise`].
#[inline(always)]
unsafe fn rows<L: Lanes, const SIDE: usize, const TAPS: usize, const PAIRS: usize>(
    call: &Conv,
    first: usize,
    out: &mut [i8],
) {
    let (width, channels) = (call.output_shape.width, call.output_shape.channels);
    let padding = [call.padding; PANEL];
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for channel in (0..channels).step_by(PANEL) {
            let strip = Strip {
                call,
                channel,
                sliding: call.sliding(),
                padding: &padding,
            };
            let count = channels - channel;
            // SAFETY: `channel` is one of the layer's, `y` one of its rows, `row` its output.
            unsafe {
                let out = row.as_mut_ptr().add(channel);
                if TAPS == 0 {
                    for x in 0..width {
                        strip.any::<L>([y, x], out, count.min(PANEL));
                    }
                } else if count >= PANEL {
                    strip.row::<L, SIDE, TAPS, PAIRS>(y, out, PANEL);
                } else {
                    strip.row::<L, SIDE, TAPS, PAIRS>(y, out, count);
                }
            }
        }
    }
}

/// What meets an input that there is none of.
static NO_TAPS: [i8; PANEL] = [0; PANEL];

/// Up to sixteen channels of a layer.
struct Strip<'a> {
    call: &'a Conv<'a>,
    channel: usize,
    sliding: Sliding,
    padding: &'a [i8; PANEL],
}

impl<'a> Strip<'a> {
    /// An output row; `out` is at its first pixel.
    ///
    /// # Safety
    /// As for [`depthwise`]; there are `count` channels.
    #[inline(always)]
    unsafe fn row<L: Lanes, const SIDE: usize, const TAPS: usize, const PAIRS: usize>(
        &self,
        y: usize,
        out: *mut i8,
        count: usize,
    ) {
        let (input, output) = (self.call.input_shape, self.call.output_shape);
        let across = self.call.window.stride[1];
        let inside = self.inside(y);
        // SAFETY: the taps are the kernel's, and all of them lie on the input where `x` is inside.
        unsafe {
            let mut weights = [self.taps::<L>([0; 2]); PAIRS];
            for (pair, weights) in weights.iter_mut().enumerate() {
                *weights = self.taps::<L>([2 * pair, 2 * pair + 1]);
            }
            for x in (0..inside.start).chain(inside.end..output.width) {
                let mut from = [self.padding.as_ptr(); TAPS];
                for (tap, from) in from.iter_mut().enumerate() {
                    *from = self.input([y, x], [tap / SIDE.max(1), tap % SIDE.max(1)]);
                }
                let to = out.add(x * output.channels);
                self.pixel::<L, TAPS, PAIRS>(from, &weights, to, count);
            }
            if inside.is_empty() {
                return;
            }
            let mut corner = self.input([y, inside.start], [0; 2]);
            let mut to = out.add(inside.start * output.channels);
            for _ in inside {
                let mut from = [corner; TAPS];
                for (tap, from) in from.iter_mut().enumerate() {
                    let (ky, kx) = (tap / SIDE.max(1), tap % SIDE.max(1));
                    *from = corner.add((ky * input.width + kx) * input.channels);
                }
                self.pixel::<L, TAPS, PAIRS>(from, &weights, to, count);
                corner = corner.wrapping_add(across * input.channels);
                to = to.wrapping_add(output.channels);
            }
        }
    }

    /// An output pixel from the inputs under its taps.
    ///
    /// # Safety
    /// As for [`depthwise`]; `count` channels are there, and at `to`.
    #[inline(always)]
    unsafe fn pixel<L: Lanes, const TAPS: usize, const PAIRS: usize>(
        &self,
        from: [*const i8; TAPS],
        weights: &[L::Taps; PAIRS],
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let table = self.table();
            let mut sums = L::deep(table);
            unrolled!(pair of PAIRS, in 0 1 2 3 4 5 6 7 8 9 10 11 12 => {
                let first = L::inputs(from[2 * pair], count);
                let second = L::inputs(from[(2 * pair + 1).min(TAPS - 1)], count);
                sums = L::multiply(sums, [first, second], weights[pair]);
            });
            L::store_deep(sums, table, self.call.epilogue.output, to, count);
        }
    }

    /// An output pixel of an unusual kernel; `out` is at the row's first pixel.
    ///
    /// # Safety
    /// As for [`depthwise`]; the pixel is one of the output's, and has `count` channels here.
    #[inline(always)]
    unsafe fn any<L: Lanes>(&self, [y, x]: [usize; 2], out: *mut i8, count: usize) {
        let [height, width] = self.call.window.kernel;
        let last = height * width - 1;
        // SAFETY: taps are those of the kernel.
        unsafe {
            let table = self.table();
            let mut sums = L::deep(table);
            for tap in (0..=last).step_by(2) {
                let next = (tap + 1).min(last);
                let first = self.input([y, x], [tap / width, tap % width]);
                let second = self.input([y, x], [next / width, next % width]);
                let inputs = [L::inputs(first, count), L::inputs(second, count)];
                sums = L::multiply(sums, inputs, self.taps::<L>([tap, tap + 1]));
            }
            let to = out.add(x * self.call.output_shape.channels);
            L::store_deep(sums, table, self.call.epilogue.output, to, count);
        }
    }

    /// The output pixels of row `y` whose windows lie on the input.
    #[inline(always)]
    fn inside(&self, y: usize) -> Range<usize> {
        let output = self.call.output_shape;
        if self.sliding.inside(0, output.height).contains(&y) {
            self.sliding.inside(1, output.width)
        } else {
            0..0
        }
    }

    /// The requantisation of these channels.
    #[inline(always)]
    fn table(&self) -> &'a RequantizePanel {
        // SAFETY: `check` has seen to the table of all channels.
        unsafe { self.call.epilogue.table.get_unchecked(self.channel / PANEL) }
    }

    /// Weights of two taps, zeros of one behind the last.
    ///
    /// # Safety
    /// The first tap is one of the kernel's.
    #[inline(always)]
    unsafe fn taps<L: Lanes>(&self, taps: [usize; 2]) -> L::Taps {
        let mut from = [NO_TAPS.as_ptr(); 2];
        for (from, tap) in from.iter_mut().zip(taps) {
            if tap < window::taps(&self.call.window) {
                let index = depthwise_index(self.channel, tap, self.call.output_shape.channels);
                *from = self.call.weights[index..].as_ptr();
            }
        }
        // SAFETY: `check` has seen to the weights of all taps, padded to whole panels.
        unsafe { L::taps(from) }
    }

    /// These channels of the input under a tap of an output pixel, or padding.
    #[inline(always)]
    fn input(&self, [y, x]: [usize; 2], [ky, kx]: [usize; 2]) -> *const i8 {
        let (shape, [down, across]) = (self.call.input_shape, self.call.window.stride);
        let row = (y * down + ky).wrapping_sub(self.sliding.pad[0]);
        let column = (x * across + kx).wrapping_sub(self.sliding.pad[1]);
        if row < shape.height && column < shape.width {
            let index = (row * shape.width + column) * shape.channels + self.channel;
            // SAFETY: the pixel lies on the input, which `check` has seen to.
            unsafe { self.call.input.as_ptr().add(index) }
        } else {
            self.padding.as_ptr()
        }
    }
}
