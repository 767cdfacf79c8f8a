//! The register tile of the depthwise convolution: neighbouring output columns of one vector of channels.

use crate::kernels::vector::{Vector, activate};
use crate::kernels::{Epilogue, PANEL};

/// Output columns of a tile.
pub(super) const COLUMNS: usize = 4;

/// What all tiles of one output row share.
pub(super) struct Row<'a> {
    /// First input row under the kernel.
    pub(super) input: *const f32,
    /// Weights of the kernel row that lies on it.
    pub(super) weights: *const f32,
    /// Kernel rows on the input.
    pub(super) taps: usize,
    /// Kernel columns.
    pub(super) kernel_width: usize,
    /// Columns of the input.
    pub(super) width: usize,
    /// Channels of input and output.
    pub(super) channels: usize,
    /// Of the layer.
    pub(super) epilogue: Epilogue<'a>,
}

impl Row<'_> {
    /// Input of a kernel row, column and channel; outside of the input for a column that is.
    #[inline(always)]
    pub(super) fn input(&self, tap: usize, column: isize, channel: usize) -> *const f32 {
        let row = self
            .input
            .wrapping_add(tap * self.width * self.channels + channel);
        row.wrapping_offset(column * self.channels as isize)
    }

    /// Weights of a kernel row and column from a channel on.
    #[inline(always)]
    pub(super) fn weights(&self, tap: usize, column: usize, channel: usize) -> *const f32 {
        let tap = tap * self.kernel_width + column;
        self.weights
            .wrapping_add(tap * self.channels.next_multiple_of(PANEL) + channel)
    }

    /// Scale, bias and activation of sums at a channel that starts a vector.
    ///
    /// # Safety
    /// `channel` is less than `channels`; the CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn finish<V: Vector>(&self, sums: &mut [V], channel: usize) {
        // SAFETY: the table has 16 scales, then 16 biases for each panel; a vector lies inside one panel.
        unsafe {
            let table = self.epilogue.table.as_ptr();
            let scale = table.add(channel / PANEL * 2 * PANEL + channel % PANEL);
            let (scale, bias) = (V::load(scale), V::load(scale.add(PANEL)));
            for sum in sums.iter_mut() {
                *sum = sum.mul_add(scale, bias);
            }
            activate(sums, self.epilogue.activation);
        }
    }
}

/// A tile with all of its input columns, channels and outputs in bounds.
///
/// # Safety
/// `SPAN` input columns from `column`, `LANES` channels from `channel` and [`COLUMNS`] pixels at `output` are there.
#[inline(always)]
pub(super) unsafe fn inner<
    V: Vector,
    const KERNEL: usize,
    const STRIDE: usize,
    const SPAN: usize,
>(
    row: &Row,
    column: isize,
    channel: usize,
    output: *mut f32,
) {
    // SAFETY: in bounds by the caller's promise.
    unsafe {
        let mut sums = [V::splat(0.0); COLUMNS];
        for tap in 0..row.taps {
            let mut inputs = [V::splat(0.0); SPAN];
            for (i, input) in inputs.iter_mut().enumerate() {
                *input = V::load(row.input(tap, column + i as isize, channel));
            }
            accumulate::<V, KERNEL, STRIDE, SPAN>(&mut sums, &inputs, row, tap, channel);
        }
        row.finish(&mut sums, channel);
        for (i, sum) in sums.iter().enumerate() {
            sum.store(output.add(i * row.channels + channel));
        }
    }
}

/// A tile with input columns on padding, outputs beyond the end of the row or channels beyond the last.
///
/// # Safety
/// `channel` is less than `row.channels`, and `outputs` pixels are at `output`.
#[inline(always)]
pub(super) unsafe fn edge<
    V: Vector,
    const KERNEL: usize,
    const STRIDE: usize,
    const SPAN: usize,
>(
    row: &Row,
    column: isize,
    channel: usize,
    output: *mut f32,
    outputs: usize,
) {
    let channels = row.channels - channel;
    // SAFETY: only columns of the input, channels below `row.channels` and the first `outputs` pixels are touched.
    unsafe {
        let mut sums = [V::splat(0.0); COLUMNS];
        for tap in 0..row.taps {
            let mut inputs = [V::splat(0.0); SPAN];
            for (i, input) in inputs.iter_mut().enumerate() {
                let column = column + i as isize;
                if (0..row.width as isize).contains(&column) {
                    *input = V::load_up_to(row.input(tap, column, channel), channels);
                }
            }
            accumulate::<V, KERNEL, STRIDE, SPAN>(&mut sums, &inputs, row, tap, channel);
        }
        row.finish(&mut sums, channel);
        for (i, sum) in sums.iter().enumerate().take(outputs) {
            sum.store_up_to(output.add(i * row.channels + channel), channels);
        }
    }
}

/// Adds one kernel row to the sums.
///
/// # Safety
/// `tap` and `channel` lie in the weights, which are padded to whole panels.
#[inline(always)]
unsafe fn accumulate<V: Vector, const KERNEL: usize, const STRIDE: usize, const SPAN: usize>(
    sums: &mut [V; COLUMNS],
    inputs: &[V; SPAN],
    row: &Row,
    tap: usize,
    channel: usize,
) {
    const { assert!(SPAN == (COLUMNS - 1) * STRIDE + KERNEL) };
    for k in 0..KERNEL {
        // SAFETY: in bounds by the caller's promise.
        unsafe {
            let weight = V::load(row.weights(tap, k, channel));
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = inputs[i * STRIDE + k].mul_add(weight, *sum);
            }
        }
    }
}
