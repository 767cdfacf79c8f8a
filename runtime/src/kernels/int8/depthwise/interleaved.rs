//! Depthwise convolution on dot products: the bytes of four rows of a column side by side make four taps of a channel.

use core::array::from_fn;
use core::mem::MaybeUninit;

use graft_patches::layout::{PANEL, depthwise_index};

use super::simd;
use crate::kernels::int8::lanes::{Interleaved, STRIP};
use crate::kernels::int8::{Conv, RequantizePanel};

/// Columns that are interleaved at a time.
const COLUMNS: usize = 64;

/// A column of a strip, four rows in each group.
type Column<L, const GROUPS: usize> = [[<L as Interleaved>::Bytes; 4]; GROUPS];

/// Depthwise convolution of output rows from `first`.
///
/// # Safety
/// `check(task, first, out)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels::int8) unsafe fn depthwise<L: Interleaved>(
    task: &Conv,
    first: usize,
    out: &mut [i8],
) {
    // Output rows are taken in twos where their input rows fill the groups better so.
    // SAFETY: passed on from the caller.
    unsafe {
        match (task.window.kernel, task.window.stride) {
            ([3, 3], [1, 1]) => strips::<L, 3, 1, 2, 1>(task, first, out),
            ([3, 3], [2, 2]) => strips::<L, 3, 2, 1, 1>(task, first, out),
            ([5, 5], [1, 1]) => strips::<L, 5, 1, 2, 2>(task, first, out),
            ([5, 5], [2, 2]) => strips::<L, 5, 2, 2, 2>(task, first, out),
            _ => simd::depthwise::<L>(task, first, out),
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
    task: &Conv,
    first: usize,
    out: &mut [i8],
) {
    let mut columns = [const { MaybeUninit::uninit() }; COLUMNS];
    let (width, channels) = (task.output_shape.width, task.output_shape.channels);
    let most = (COLUMNS - SIDE) / STRIDE + 1;
    for channel in (0..channels).step_by(STRIP) {
        // SAFETY: `channel` is one of the layer's; the columns are those that the outputs from `x` read.
        unsafe {
            let strip = Strip::<L, SIDE, STRIDE, ROWS, GROUPS>::new(task, channel);
            for (y, out) in (first..)
                .step_by(ROWS)
                .zip(out.chunks_mut(ROWS * width * channels))
            {
                for x in (0..width).step_by(most) {
                    let count = (width - x).min(most);
                    strip.interleave([y, x], &mut columns[..(count - 1) * STRIDE + SIDE]);
                    strip.outputs(&columns, x..x + count, out);
                }
            }
        }
    }
}

/// Up to [`STRIP`] channels of a layer.
struct Strip<
    'a,
    L: Interleaved,
    const SIDE: usize,
    const STRIDE: usize,
    const ROWS: usize,
    const GROUPS: usize,
> {
    task: &'a Conv<'a>,
    channel: usize,
    count: usize,
    /// Rows of padding above, columns to the left.
    pad: [usize; 2],
    /// For each output row and kernel column.
    weights: [[Column<L, GROUPS>; SIDE]; ROWS],
    start: [L::Sums; 4],
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
> Strip<'a, L, SIDE, STRIDE, ROWS, GROUPS>
{
    /// Input rows that `ROWS` output rows read.
    const HEIGHT: usize = (ROWS - 1) * STRIDE + SIDE;

    /// # Safety
    /// As for [`depthwise`]; `channel` is one of the layer's.
    #[inline(always)]
    unsafe fn new(task: &'a Conv<'a>, channel: usize) -> Self {
        let channels = task.output_shape.channels;
        let padded = channels.next_multiple_of(PANEL) - channel;
        let table = interleaved_table(&task.epilogue.table[channel / PANEL..]);
        // SAFETY: weights are as long as all taps of the padded channels.
        unsafe {
            let none = [L::weight_bytes([].as_ptr(), 0); 4];
            let mut weights = [[[none; GROUPS]; SIDE]; ROWS];
            for (row, weights) in weights.iter_mut().enumerate() {
                for (kx, weights) in weights.iter_mut().enumerate() {
                    for (group, weights) in weights.iter_mut().enumerate() {
                        let mut taps = none;
                        for (i, taps) in taps.iter_mut().enumerate() {
                            let ky = (4 * group + i).wrapping_sub(row * STRIDE);
                            if ky < SIDE {
                                let tap = depthwise_index(channel, ky * SIDE + kx, channels);
                                let from = task.weights.as_ptr().add(tap);
                                *taps = L::weight_bytes(from, padded.min(STRIP));
                            }
                        }
                        *weights = L::interleave(taps);
                    }
                }
            }
            let offset = L::input_bytes([0; STRIP].as_ptr(), STRIP);
            let mut start = [L::zero(); 4];
            for (i, start) in start.iter_mut().enumerate() {
                let mut sums = L::zero();
                for group in weights[0].as_flattened() {
                    sums = L::dot_bytes(sums, offset, group[i]);
                }
                *start = L::subtract(L::start(&table[i]), sums);
            }
            Self {
                task,
                channel,
                count: (channels - channel).min(STRIP),
                pad: task.window.pad_before(task.input_shape),
                weights,
                start,
                table,
            }
        }
    }

    /// Interleaves the columns that output row `y` and those after it read, from output column `x` on.
    ///
    /// # Safety
    /// As for [`depthwise`]; the output is one of the layer's.
    #[inline(always)]
    unsafe fn interleave(
        &self,
        [y, x]: [usize; 2],
        columns: &mut [MaybeUninit<Column<L, GROUPS>>],
    ) {
        let shape = self.task.input_shape;
        let padding = [self.task.padding; STRIP];
        // Rows of padding stay where they are from column to column.
        let rows: [[(*const i8, usize); 4]; GROUPS] = from_fn(|group| {
            from_fn(|i| {
                let row = (y * STRIDE + 4 * group + i).wrapping_sub(self.pad[0]);
                if row < shape.height {
                    let start = row * shape.width * shape.channels + self.channel;
                    (self.task.input[start..].as_ptr(), shape.channels)
                } else {
                    (padding.as_ptr(), 0)
                }
            })
        });
        for (column, to) in (x * STRIDE..).zip(columns) {
            let column = column.wrapping_sub(self.pad[1]);
            // SAFETY: rows and columns are on the input or are padding.
            unsafe {
                let mut groups = [[L::weight_bytes([].as_ptr(), 0); 4]; GROUPS];
                for (group, bytes) in groups.iter_mut().enumerate() {
                    for (i, bytes) in bytes.iter_mut().enumerate() {
                        if 4 * group + i < Self::HEIGHT {
                            let (row, step) = rows[group][i];
                            let from = if column < shape.width {
                                row.add(column * step)
                            } else {
                                padding.as_ptr()
                            };
                            *bytes = L::input_bytes(from, self.count);
                        }
                    }
                    *bytes = L::interleave(*bytes);
                }
                to.write(groups);
            }
        }
    }

    /// The outputs `range` of the rows `out`, from columns that begin with the first output's.
    ///
    /// # Safety
    /// As for [`depthwise`]; the columns are there.
    #[inline(always)]
    unsafe fn outputs(
        &self,
        columns: &[MaybeUninit<Column<L, GROUPS>>],
        range: core::ops::Range<usize>,
        out: &mut [i8],
    ) {
        let shape = self.task.output_shape;
        let output = self.task.epilogue.output;
        // A length that the compiler does not know, or it opens the loop and keeps all columns at once.
        let side = self.task.window.kernel[1];
        for (x, columns) in range.zip((0..).step_by(STRIDE).map(|i| &columns[i..])) {
            // SAFETY: passed on from the caller; `out` has whole rows.
            unsafe {
                let mut sums = [self.start; ROWS];
                for kx in 0..side {
                    let column = columns.get_unchecked(kx).assume_init_ref();
                    let weights: [_; ROWS] = from_fn(|row| self.weights[row].as_ptr().add(kx));
                    for (group, bytes) in column.iter().enumerate() {
                        for (i, &bytes) in bytes.iter().enumerate() {
                            for (sums, &weights) in sums.iter_mut().zip(&weights) {
                                sums[i] = L::dot_bytes(sums[i], bytes, (*weights)[group][i]);
                            }
                        }
                    }
                }
                let rows = out.chunks_exact_mut(shape.width * shape.channels);
                for (sums, row) in sums.into_iter().zip(rows) {
                    let to = row.as_mut_ptr().add(x * shape.channels + self.channel);
                    L::store_bytes(sums, &self.table, output, to, self.count);
                }
            }
        }
    }
}

/// The table of a strip, in the order of interleaved channels; zeros where it ends.
#[inline(always)]
fn interleaved_table(table: &[RequantizePanel]) -> [RequantizePanel; 4] {
    let mut interleaved = [RequantizePanel::default(); 4];
    for (i, to) in interleaved.iter_mut().enumerate() {
        for (quarter, from) in table.iter().take(4).enumerate() {
            let (to_lanes, from_lanes) = (4 * quarter..4 * quarter + 4, 4 * i..4 * i + 4);
            to.multiplier[to_lanes.clone()].copy_from_slice(&from.multiplier[from_lanes.clone()]);
            to.bias[to_lanes].copy_from_slice(&from.bias[from_lanes]);
        }
    }
    interleaved
}
