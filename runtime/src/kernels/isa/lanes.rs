//! What an instruction set does with the sixteen channels of a panel.

use graft_patches::layout::PANEL;

use crate::kernels::int8::{Quantized, RequantizePanel};

/// Sixteen channels at a time.
///
/// # Safety
/// Of all methods: the CPU has the instruction set; pointers are good for as many bytes as each method says.
pub(in crate::kernels) trait Lanes: Copy {
    /// Every input of a dense product is taken exclusive-or this: with 128, which adds 128, where it takes them unsigned.
    const OFFSET: u8;
    /// Four inputs, for all channels.
    type Quad: Copy;
    /// Four weights of each channel.
    type Weights: Copy;
    /// The accumulators.
    type Sums: Copy;

    /// No products yet.
    unsafe fn zero() -> Self::Sums;
    /// The accumulators of a panel before any product: its bias, unless [`Self::store`] adds that.
    #[inline(always)]
    unsafe fn start(_panel: &RequantizePanel) -> Self::Sums {
        // SAFETY: passed on from the caller.
        unsafe { Self::zero() }
    }

    /// Reads four bytes.
    unsafe fn quad(from: *const u8) -> Self::Quad;
    /// Reads 64 bytes, `[16][4]`.
    unsafe fn weights(from: *const i8) -> Self::Weights;
    /// Adds the dot product of four inputs, with [`Self::OFFSET`], and the weights of each channel.
    unsafe fn dot(sums: Self::Sums, quad: Self::Quad, weights: Self::Weights) -> Self::Sums;
    /// `left - right`.
    unsafe fn subtract(left: Self::Sums, right: Self::Sums) -> Self::Sums;
    /// Requantises, and writes the first `count` (1 to 16) channels.
    unsafe fn store(
        sums: Self::Sums,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    );

    /// As [`Self::store`], for the first `count` channels of panels side by side; the last one has some of them.
    #[inline(always)]
    unsafe fn store_wide<const WIDTH: usize>(
        sums: [Self::Sums; WIDTH],
        panels: &[RequantizePanel; WIDTH],
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        for (wide, (sums, panel)) in sums.into_iter().zip(panels).enumerate() {
            let first = wide * PANEL;
            // SAFETY: passed on from the caller; `first < count`.
            unsafe {
                Self::store(
                    sums,
                    panel,
                    output,
                    to.add(first),
                    (count - first).min(PANEL),
                )
            };
        }
    }

    /// Accumulators of a depthwise layer.
    type Deep: Copy;
    /// One input of each channel.
    type Inputs: Copy;
    /// One weight of each channel.
    type Taps: Copy;

    /// No products yet.
    unsafe fn deep() -> Self::Deep;
    /// Reads the first `count` (1 to 16) channels; others are 0.
    unsafe fn inputs(from: *const i8, count: usize) -> Self::Inputs;
    /// Reads 16 weights.
    unsafe fn taps(from: *const i8) -> Self::Taps;
    /// Adds the product of each channel.
    unsafe fn multiply(sums: Self::Deep, inputs: Self::Inputs, taps: Self::Taps) -> Self::Deep;
    /// As [`Self::store`].
    unsafe fn store_deep(
        sums: Self::Deep,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    );
}

/// Bytes that fill [`Interleaved::Bytes`]: four times the sums of [`Lanes::Sums`].
#[cfg(any(test, target_arch = "x86_64"))]
pub(in crate::kernels) const STRIP: usize = 4 * PANEL;

/// Lanes with dot products of four bytes each, which take four rows of a depthwise layer at a time.
///
/// # Safety
/// As for [`Lanes`].
#[cfg(any(test, target_arch = "x86_64"))]
pub(in crate::kernels) trait Interleaved: Lanes {
    /// One byte of each channel of 1, 2 or 4 pixels side by side, or interleaved four bytes of every sum.
    type Bytes: Copy;

    /// Reads the first `count` channels of each pixel, with [`Lanes::OFFSET`].
    unsafe fn input_bytes<const PIXELS: usize>(
        from: [*const i8; PIXELS],
        count: usize,
    ) -> Self::Bytes;
    /// Reads the first `count` channels of each pixel; others are 0.
    unsafe fn weight_bytes<const PIXELS: usize>(
        from: [*const i8; PIXELS],
        count: usize,
    ) -> Self::Bytes;
    /// Puts the bytes of four rows side by side: lane `j` of vector `i` has those at `16 * (j / 4) + 4 * i + j % 4`.
    unsafe fn interleave(rows: [Self::Bytes; 4]) -> [Self::Bytes; 4];
    /// Adds the dot product of each four bytes.
    unsafe fn dot_bytes(sums: Self::Sums, inputs: Self::Bytes, weights: Self::Bytes) -> Self::Sums;
    /// Requantises interleaved sums with a table in their order, and writes of the first pixels the first channels, as
    /// `count` says.
    unsafe fn store_bytes<const PIXELS: usize>(
        sums: [Self::Sums; 4],
        table: &[RequantizePanel; 4],
        output: Quantized,
        to: [*mut i8; PIXELS],
        count: [usize; 2],
    );
}
