//! The register tile of the depthwise convolution: neighbouring output columns of one vector of channels.

use crate::kernels::f32::epilogue::simd::activate;
use crate::kernels::f32::{Epilogue, PANEL};
use crate::kernels::isa::vector::Vector;

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

    /// Weights of a kernel row, `WIDTH` vectors of channels.
    ///
    /// # Safety
    /// `tap` and all vectors of channels lie in the weights, which are padded to whole panels.
    #[inline(always)]
    unsafe fn kernel_row<V: Vector, const WIDTH: usize, const KERNEL: usize>(
        &self,
        tap: usize,
        channel: usize,
    ) -> [[V; WIDTH]; KERNEL] {
        // SAFETY: in bounds by the caller's promise.
        unsafe {
            let mut weights = [[V::splat(0.0); WIDTH]; KERNEL];
            for (k, weights) in weights.iter_mut().enumerate() {
                for (v, weight) in weights.iter_mut().enumerate() {
                    *weight = V::load(self.weights(tap, k, channel + v * V::LANES));
                }
            }
            weights
        }
    }

    /// Scale, bias and activation of the sums of channels from one that starts a vector.
    ///
    /// # Safety
    /// All vectors of channels start below `channels`; the CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn finish<V: Vector, const WIDTH: usize, const COUNT: usize>(
        &self,
        sums: &mut [[V; WIDTH]; COUNT],
        channel: usize,
    ) {
        for v in 0..WIDTH {
            let channel = channel + v * V::LANES;
            let scale = channel / PANEL * 2 * PANEL + channel % PANEL;
            // SAFETY: the table has 16 scales, then 16 biases for each panel; a vector lies inside one panel.
            unsafe {
                let scale = self.epilogue.table.as_ptr().add(scale);
                let (scale, bias) = (V::load(scale), V::load(scale.add(PANEL)));
                for sums in sums.iter_mut() {
                    sums[v] = sums[v].mul_add(scale, bias);
                }
            }
        }
        // SAFETY: arithmetic; the caller vouches for the instruction set.
        unsafe { activate(sums.as_flattened_mut(), self.epilogue.activation) };
    }
}

/// Stands for an input column on padding.
static ZEROS: [f32; 2 * PANEL] = [0.0; 2 * PANEL];

/// Where a tile lies.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// First input column, negative on padding.
    pub(super) column: isize,
    /// First channel.
    pub(super) channel: usize,
    /// Output pixels, at most [`COLUMNS`].
    pub(super) outputs: usize,
}

/// Computes a tile of `WIDTH` vectors of channels.
///
/// Without `EDGE`, all of it lies in bounds. With `EDGE`, there may be input columns on padding, fewer outputs than
/// [`COLUMNS`] and, for a `WIDTH` of 1, fewer channels than lanes.
///
/// # Safety
/// The place is as `EDGE` says; `output` is at channel 0 of its first pixel.
#[inline(always)]
pub(super) unsafe fn tile<
    V: Vector,
    const WIDTH: usize,
    const KERNEL: usize,
    const STRIDE: usize,
    const EDGE: bool,
>(
    row: &Row,
    place: Place,
    output: *mut f32,
) {
    let Place {
        column,
        channel,
        outputs,
    } = place;
    let lanes = if EDGE && WIDTH == 1 {
        row.channels - channel
    } else {
        V::LANES
    };
    let outputs = if EDGE { outputs } else { COLUMNS };
    // SAFETY: only columns of the input, channels below `row.channels` and the first `outputs` pixels are touched.
    unsafe {
        let mut sums = [[V::splat(0.0); WIDTH]; COLUMNS];
        for tap in 0..row.taps {
            let mut input = row.input(tap, column, channel);
            let weights = row.kernel_row::<V, WIDTH, KERNEL>(tap, channel);
            for i in 0..const { (COLUMNS - 1) * STRIDE + KERNEL } {
                let outside = EDGE && !(0..row.width as isize).contains(&(column + i as isize));
                let from = if outside { ZEROS.as_ptr() } else { input };
                let mut x = [V::splat(0.0); WIDTH];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = V::load_up_to(from.add(v * V::LANES), lanes);
                }
                accumulate::<V, WIDTH, KERNEL, STRIDE>(&mut sums, x, i, &weights);
                input = input.wrapping_add(row.channels);
            }
        }
        row.finish(&mut sums, channel);
        for (i, sums) in sums.iter().enumerate().take(outputs) {
            for (v, sum) in sums.iter().enumerate() {
                let channel = channel + v * V::LANES;
                sum.store_up_to(output.add(i * row.channels + channel), lanes);
            }
        }
    }
}

/// Adds what the tile's input column `i` gives to each output column.
///
/// # Safety
/// As for every method of [`Vector`].
#[inline(always)]
unsafe fn accumulate<V: Vector, const WIDTH: usize, const KERNEL: usize, const STRIDE: usize>(
    sums: &mut [[V; WIDTH]; COLUMNS],
    x: [V; WIDTH],
    i: usize,
    weights: &[[V; WIDTH]; KERNEL],
) {
    for (column, sums) in sums.iter_mut().enumerate() {
        let k = i.wrapping_sub(column * STRIDE);
        if k < KERNEL {
            for v in 0..WIDTH {
                // SAFETY: arithmetic; the caller vouches for the instruction set.
                unsafe { sums[v] = x[v].mul_add(weights[k][v], sums[v]) };
            }
        }
    }
}
