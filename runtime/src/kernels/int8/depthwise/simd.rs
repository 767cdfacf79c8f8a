//! Fast depthwise convolution: sixteen channels at a time.

use core::ops::Range;

use graft_patches::layout::{PANEL, depthwise_index};

use crate::kernels::int8::{Conv, RequantizePanel};
use crate::kernels::isa::lanes::Depthwise;
use crate::kernels::unrolled::unrolled;
use crate::kernels::window::{self, Sliding};

/// Columns of a [`Plane`].
const COLUMNS: usize = 72;

/// Input pixels of sixteen channels, padding too, so that no output is a special case: those of row `r` in row `r % SIDE`.
type Plane<const SIDE: usize> = [[[i8; PANEL]; COLUMNS]; SIDE];

/// Depthwise convolution of output rows from `first`.
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn depthwise<L: Depthwise>(
    call: &Conv,
    first: usize,
    out: &mut [i8],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match call.window.kernel {
            [3, 3] => square::<L, 3, 5>(call, first, out),
            [5, 5] => square::<L, 5, 13>(call, first, out),
            _ => any::<L>(call, first, out),
        }
    }
}

/// As [`depthwise`], for kernels of `SIDE` x `SIDE`, whose taps make `PAIRS` pairs.
///
/// # Safety
/// As for [`depthwise`].
#[inline(always)]
unsafe fn square<L: Depthwise, const SIDE: usize, const PAIRS: usize>(
    call: &Conv,
    first: usize,
    out: &mut [i8],
) {
    let output = call.output_shape;
    let mut plane = [[[0; PANEL]; COLUMNS]; SIDE];
    let most = (COLUMNS - SIDE) / call.window.stride[1] + 1;
    for channel in (0..output.channels).step_by(PANEL) {
        let strip = Strip::new(call, channel);
        for start in (0..output.width).step_by(most) {
            let columns = start..output.width.min(start + most);
            // SAFETY: `channel` is one of the layer's, and its inputs fit the plane.
            unsafe {
                if strip.count == PANEL {
                    strip.columns::<L, SIDE, PAIRS>(first, columns, out, &mut plane, PANEL);
                } else {
                    strip.columns::<L, SIDE, PAIRS>(first, columns, out, &mut plane, strip.count);
                }
            }
        }
    }
}

/// As [`depthwise`], for any kernel.
///
/// # Safety
/// As for [`depthwise`].
#[inline(always)]
unsafe fn any<L: Depthwise>(call: &Conv, first: usize, out: &mut [i8]) {
    let output = call.output_shape;
    let rows = out.chunks_exact_mut(output.width * output.channels);
    for (y, row) in (first..).zip(rows) {
        for channel in (0..output.channels).step_by(PANEL) {
            let strip = Strip::new(call, channel);
            for x in 0..output.width {
                // SAFETY: the channel, row and column are the output's.
                unsafe {
                    let to = row.as_mut_ptr().add(x * output.channels + channel);
                    strip.any::<L>([y, x], to);
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
    count: usize,
    sliding: Sliding,
    padding: [i8; PANEL],
}

impl<'a> Strip<'a> {
    #[inline(always)]
    fn new(call: &'a Conv<'a>, channel: usize) -> Self {
        Self {
            call,
            channel,
            count: (call.output_shape.channels - channel).min(PANEL),
            sliding: call.sliding(),
            padding: [call.padding; PANEL],
        }
    }

    /// Some columns of the output rows from `first`.
    ///
    /// # Safety
    /// As for [`depthwise`]; there are `count` channels, and the columns that these read fit the plane.
    #[inline(always)]
    unsafe fn columns<L: Depthwise, const SIDE: usize, const PAIRS: usize>(
        &self,
        first: usize,
        columns: Range<usize>,
        out: &mut [i8],
        plane: &mut Plane<SIDE>,
        count: usize,
    ) {
        let output = self.call.output_shape;
        let [down, across] = self.call.window.stride;
        let [start, length] = [columns.start * across, (columns.len() - 1) * across + SIDE];
        // SAFETY: the taps are the kernel's, and `length` columns of the plane are written.
        unsafe {
            let mut weights = [self.taps::<L>([0; 2]); PAIRS];
            for (pair, weights) in weights.iter_mut().enumerate() {
                *weights = self.taps::<L>([2 * pair, 2 * pair + 1]);
            }
            let mut there = 0;
            let rows = out.chunks_exact_mut(output.width * output.channels);
            for (y, row) in (first..).zip(rows).map(|(y, row)| (y * down, row)) {
                for new in y.max(there)..y + SIDE {
                    self.read(new, start, &mut plane[new % SIDE][..length], count);
                }
                there = y + SIDE;
                let mut from = [plane[0].as_ptr(); SIDE];
                for (ky, from) in from.iter_mut().enumerate() {
                    *from = plane[(y + ky) % SIDE].as_ptr();
                }
                let mut to = row
                    .as_mut_ptr()
                    .add(columns.start * output.channels + self.channel);
                for _ in columns.clone() {
                    self.pixel::<L, SIDE, PAIRS>(from, &weights, to, count);
                    for from in &mut from {
                        *from = from.wrapping_add(across);
                    }
                    to = to.wrapping_add(output.channels);
                }
            }
        }
    }

    /// Reads `count` channels of a row of the input from a column, both counted from the first of the padding.
    ///
    /// # Safety
    /// There are so many channels.
    #[inline(always)]
    unsafe fn read(&self, row: usize, column: usize, to: &mut [[i8; PANEL]], count: usize) {
        let (shape, [above, before]) = (self.call.input_shape, self.sliding.pad);
        let row = row.wrapping_sub(above);
        if row >= shape.height {
            return to.fill(self.padding);
        }
        let left = before.saturating_sub(column).min(to.len());
        let (left, to) = to.split_at_mut(left);
        let column = (column + left.len())
            .saturating_sub(before)
            .min(shape.width);
        let (to, right) = to.split_at_mut((shape.width - column).min(to.len()));
        left.fill(self.padding);
        right.fill(self.padding);
        let index = (row * shape.width + column) * shape.channels + self.channel;
        let mut from = self.call.input.as_ptr().wrapping_add(index);
        for to in to {
            // SAFETY: the pixel lies on the input.
            unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), count) };
            from = from.wrapping_add(shape.channels);
        }
    }

    /// An output pixel from the first columns at `from`, one for each row.
    ///
    /// # Safety
    /// As for [`depthwise`]; they are there, and `count` channels at `to`.
    #[inline(always)]
    unsafe fn pixel<L: Depthwise, const SIDE: usize, const PAIRS: usize>(
        &self,
        from: [*const [i8; PANEL]; SIDE],
        weights: &[L::Taps; PAIRS],
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let table = self.table();
            let mut sums = L::deep(table);
            unrolled!(pair of PAIRS, in 0 1 2 3 4 5 6 7 8 9 10 11 12 => {
                let (first, second) = (2 * pair, (2 * pair + 1).min(SIDE * SIDE - 1));
                let first = from[first / SIDE].add(first % SIDE);
                let second = from[second / SIDE].add(second % SIDE);
                let inputs = [L::inputs(first.cast(), PANEL), L::inputs(second.cast(), PANEL)];
                sums = L::multiply(sums, inputs, weights[pair]);
            });
            L::store_deep(sums, table, self.call.epilogue.output, to, count);
        }
    }

    /// An output pixel of any kernel.
    ///
    /// # Safety
    /// As for [`depthwise`]; the pixel is one of the output's, these channels of which are at `to`.
    #[inline(always)]
    unsafe fn any<L: Depthwise>(&self, [y, x]: [usize; 2], to: *mut i8) {
        let count = self.count;
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
            L::store_deep(sums, table, self.call.epilogue.output, to, count);
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
    unsafe fn taps<L: Depthwise>(&self, taps: [usize; 2]) -> L::Taps {
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
