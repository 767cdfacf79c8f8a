//! The register tile of the depthwise convolution: neighbouring output columns of one vector of channels.

use crate::kernels::f32::epilogue::simd::{Destination, finish};
use crate::kernels::f32::{Epilogue, PANEL};
use crate::kernels::isa::vector::Vector;

/// Output columns of a tile.
pub(super) const COLUMNS: usize = 4;

/// The operands that all tiles of one output row share.
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
    /// Columns of padding to the left.
    pub(super) left: usize,
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
}

/// The columns of a tile.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    /// First input column, negative on padding.
    column: isize,
    /// Output columns, at most [`COLUMNS`].
    outputs: usize,
    /// A bit for each input column from the first that lies on the input and is under the kernel at an output.
    inside: u32,
}

impl Columns {
    /// A tile of `outputs` columns of which the first is at `x`, for kernels of `KERNEL` columns.
    #[inline(always)]
    pub(super) fn new<const KERNEL: usize, const STRIDE: usize>(
        row: &Row,
        x: usize,
        outputs: usize,
    ) -> Self {
        const { assert!((COLUMNS - 1) * STRIDE + KERNEL < 32) };
        let column = (x * STRIDE) as isize - row.left as isize;
        let under = (outputs - 1) * STRIDE + KERNEL;
        let low = row.left.saturating_sub(x * STRIDE).min(under);
        let high = (row.width + row.left)
            .saturating_sub(x * STRIDE)
            .clamp(low, under);
        Self {
            column,
            outputs,
            inside: (1 << high) - (1 << low),
        }
    }

    /// Whether all of a whole tile's input columns lie on the input.
    #[inline(always)]
    pub(super) fn is_whole<const KERNEL: usize, const STRIDE: usize>(&self) -> bool {
        self.inside == (1 << ((COLUMNS - 1) * STRIDE + KERNEL)) - 1
    }
}

/// Computes a tile of `WIDTH` vectors of channels from `channel` on.
///
/// Without `EDGE`, the columns are whole. With `PARTIAL`, there may be fewer channels than lanes.
///
/// # Safety
/// Columns and channels are as said; `output` is at channel 0 of the tile's first pixel.
#[inline(always)]
pub(super) unsafe fn tile<
    V: Vector,
    const WIDTH: usize,
    const KERNEL: usize,
    const STRIDE: usize,
    const EDGE: bool,
    const PARTIAL: bool,
>(
    row: &Row,
    columns: Columns,
    channel: usize,
    output: *mut f32,
) {
    let lanes = if PARTIAL {
        row.channels - channel
    } else {
        V::LANES
    };
    // SAFETY: only columns of the input, channels below `row.channels` and the tile's outputs are touched.
    unsafe {
        let mut sums = [[V::splat(0.0); WIDTH]; COLUMNS];
        for tap in 0..row.taps {
            let mut input = row.input(tap, columns.column, channel);
            let weights = row.kernel_row::<V, WIDTH, KERNEL>(tap, channel);
            for i in 0..const { (COLUMNS - 1) * STRIDE + KERNEL } {
                if !EDGE || columns.inside & (1 << i) != 0 {
                    let mut x = [V::splat(0.0); WIDTH];
                    for (v, x) in x.iter_mut().enumerate() {
                        *x = V::load_up_to(input.add(v * V::LANES), lanes);
                    }
                    accumulate::<V, WIDTH, KERNEL, STRIDE>(&mut sums, x, i, &weights);
                }
                input = input.wrapping_add(row.channels);
            }
        }
        let to = Destination {
            pixel: output,
            channels: row.channels,
            channel,
            pixels: if EDGE { columns.outputs } else { COLUMNS },
        };
        finish(sums, &row.epilogue, to);
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
