//! Fast depthwise convolution: sixteen channels at a time.

use core::ops::Range;

use graft_patches::layout::{PANEL, depthwise_index};

use crate::kernels::int8::Conv;
use crate::kernels::isa::lanes::Lanes;
use crate::kernels::window;

/// The body once for each of the numbers that are below the count: a loop would keep weights and offsets in memory, and
/// the compiler does not open it.
macro_rules! unrolled {
    ($index:ident of $count:ident in $($number:literal)* => $body:block) => {
        $(
            if $number < $count {
                let $index = $number;
                $body
            }
        )*
    };
}

/// Depthwise convolution of output rows from `first`.
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn depthwise<L: Lanes>(call: &Conv, first: usize, out: &mut [i8]) {
    // SAFETY: passed on from the caller.
    unsafe {
        match call.window.kernel {
            [3, 3] => rows::<L, 3, 9>(call, first, out),
            [5, 5] => rows::<L, 5, 25>(call, first, out),
            _ => rows::<L, 0, 0>(call, first, out),
        }
    }
}

/// As [`depthwise`], for kernels of `SIDE` x `SIDE` with `TAPS` taps, or with zeros for any.
///
/// # Safety
/// As for [`depthwise`].
#[inline(always)]
unsafe fn rows<L: Lanes, const SIDE: usize, const TAPS: usize>(
    call: &Conv,
    first: usize,
    out: &mut [i8],
) {
    let (width, channels) = (call.output_shape.width, call.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for channel in (0..channels).step_by(PANEL) {
            let strip = Strip {
                call,
                channel,
                pad: call.window.pad_before(call.input_shape),
                count: (channels - channel).min(PANEL),
            };
            // SAFETY: `channel` is one of the layer's, `y` one of its rows, `row` its output.
            unsafe {
                let out = row.as_mut_ptr().add(channel);
                let inside = if TAPS == 0 { 0..0 } else { strip.inside(y) };
                for x in (0..inside.start).chain(inside.end..width) {
                    strip.clipped::<L, SIDE>([y, x], out);
                }
                if strip.count == PANEL {
                    strip.whole::<L, SIDE, TAPS, true>(y, inside, out);
                } else {
                    strip.whole::<L, SIDE, TAPS, false>(y, inside, out);
                }
            }
        }
    }
}

/// Up to sixteen channels of a layer.
struct Strip<'a> {
    call: &'a Conv<'a>,
    channel: usize,
    /// Rows of padding above, columns to the left.
    pad: [usize; 2],
    count: usize,
}

impl Strip<'_> {
    /// The output pixels of row `y` whose windows lie on the input.
    #[inline(always)]
    fn inside(&self, y: usize) -> Range<usize> {
        let Conv {
            input_shape: input,
            output_shape: output,
            window,
            ..
        } = *self.call;
        let [top, left] = self.pad;
        let [height, width] = window.kernel;
        let [down, across] = window.stride;
        if !window::inside(down, top, height, input.height, output.height).contains(&y) {
            return 0..0;
        }
        window::inside(across, left, width, input.width, output.width)
    }

    /// Outputs at `inside`, whose windows lie on the input; `out` is at the row's first pixel.
    ///
    /// # Safety
    /// As for [`depthwise`]; `IS_FULL` if there are sixteen channels.
    #[inline(always)]
    unsafe fn whole<L: Lanes, const SIDE: usize, const TAPS: usize, const IS_FULL: bool>(
        &self,
        y: usize,
        inside: Range<usize>,
        out: *mut i8,
    ) {
        let Self { call, channel, .. } = *self;
        let (input, output) = (call.input_shape, call.output_shape);
        let count = if IS_FULL { PANEL } else { self.count };
        let [top, left] = self.pad;
        let [down, across] = call.window.stride;
        if inside.is_empty() {
            return;
        }
        // SAFETY: the taps are the kernel's, and all of them lie on the input for each `x`.
        unsafe {
            let mut weights = [self.taps::<L>(0); TAPS];
            for (tap, weights) in weights.iter_mut().enumerate() {
                *weights = self.taps::<L>(tap);
            }
            let table = call.epilogue.table.get_unchecked(channel / PANEL);
            let row = input.width * input.channels;
            for x in inside {
                let from = self.pixel([y * down - top, x * across - left]);
                let mut sums = L::deep();
                unrolled!(tap of TAPS in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 => {
                    let at = tap / SIDE.max(1) * row + tap % SIDE.max(1) * input.channels;
                    sums = L::multiply(sums, L::inputs(from.add(at), count), weights[tap]);
                });
                let to = out.add(x * output.channels);
                L::store_deep(sums, table, call.epilogue.output, to, count);
            }
        }
    }

    /// An output pixel whose window may lie on padding, or whose kernel is an unusual one; `out` is at the row's first
    /// pixel.
    ///
    /// # Safety
    /// As for [`depthwise`]; the pixel is one of the output's.
    #[inline(always)]
    unsafe fn clipped<L: Lanes, const SIDE: usize>(&self, [y, x]: [usize; 2], out: *mut i8) {
        let Self { call, channel, .. } = *self;
        let padding = [call.padding; PANEL];
        let [height, width] = match SIDE {
            0 => call.window.kernel,
            _ => [SIDE; 2],
        };
        let [down, across] = call.window.stride;
        let shape = call.input_shape;
        // SAFETY: taps are those of the kernel; the input is read where it is.
        unsafe {
            let mut sums = L::deep();
            for ky in 0..height {
                let row = (y * down + ky).wrapping_sub(self.pad[0]);
                for kx in 0..width {
                    let column = (x * across + kx).wrapping_sub(self.pad[1]);
                    let from = if row < shape.height && column < shape.width {
                        self.pixel([row, column])
                    } else {
                        padding.as_ptr()
                    };
                    let taps = self.taps::<L>(ky * width + kx);
                    sums = L::multiply(sums, L::inputs(from, self.count), taps);
                }
            }
            let table = call.epilogue.table.get_unchecked(channel / PANEL);
            let to = out.add(x * call.output_shape.channels);
            L::store_deep(sums, table, call.epilogue.output, to, self.count);
        }
    }

    /// Weights of a tap.
    ///
    /// # Safety
    /// The tap is one of the kernel's.
    #[inline(always)]
    unsafe fn taps<L: Lanes>(&self, tap: usize) -> L::Taps {
        let index = depthwise_index(self.channel, tap, self.call.output_shape.channels);
        // SAFETY: `check` has seen to the weights of all taps, padded to whole panels.
        unsafe { L::taps(self.call.weights.as_ptr().add(index)) }
    }

    /// These channels of an input pixel.
    ///
    /// # Safety
    /// The pixel is on the input.
    #[inline(always)]
    unsafe fn pixel(&self, [row, column]: [usize; 2]) -> *const i8 {
        let shape = self.call.input_shape;
        let index = (row * shape.width + column) * shape.channels + self.channel;
        // SAFETY: by the caller's promise.
        unsafe { self.call.input.as_ptr().add(index) }
    }
}
