//! The sixteen channels of a panel in int8, as an instruction set computes them.

use graft_patches::layout::PANEL;

use crate::kernels::int8::{Quantized, RequantizePanel};

/// Sixteen channels at a time.
///
/// # Safety
/// Of all methods: the CPU has the instruction set; pointers are good for the bytes that each method names.
pub(in crate::kernels) trait Lanes: Copy {
    /// Every input of a dense product is taken exclusive-or this: with 128, which adds 128, where it takes them unsigned.
    const OFFSET: u8;
    /// Bytes of an input that is prepared for a dense product: two where it is widened, which only signed ones are.
    const BYTES: usize = 1;
    /// Parts of the channels that a dense product takes one after the other, where not all sums of a tile fit registers.
    const PARTS: usize = 1;
    /// The most quads (four inputs) of a pixel that are taken at a time.
    const QUADS: usize;
    /// Some quads of a pixel.
    type Quads: Copy;
    /// The accumulators.
    type Sums: Copy;

    /// No products yet, nor a bias.
    unsafe fn zero() -> Self::Sums;
    /// The accumulators of a panel before any product: its bias.
    unsafe fn start(panel: &RequantizePanel) -> Self::Sums;
    /// Prepares 16 inputs: with [`Self::OFFSET`], in [`Self::BYTES`] each.
    #[inline(always)]
    unsafe fn prepare(from: *const i8, to: *mut u8) {
        // SAFETY: passed on from the caller; a word is 16 bytes.
        unsafe {
            let word = from.cast::<u128>().read_unaligned();
            let word = word ^ u128::from_ne_bytes([Self::OFFSET; PANEL]);
            to.cast::<u128>().write_unaligned(word);
        }
    }
    /// Reads `count` quads that are prepared: one, or [`Self::QUADS`].
    unsafe fn quads(from: *const u8, count: usize) -> Self::Quads;
    /// Adds the dot products of `count` quads of each row, with [`Self::OFFSET`], and the weights of each channel
    /// of a part, `[count][16][4]`.
    unsafe fn dot<const ROWS: usize>(
        sums: &mut [Self::Sums; ROWS],
        inputs: &[Self::Quads; ROWS],
        weights: *const i8,
        count: usize,
        part: usize,
    );
    /// Turns sums of rows into the order in which [`Self::dot`] adds to them, or back.
    #[inline(always)]
    unsafe fn turn<const ROWS: usize>(_sums: &mut [Self::Sums; ROWS]) {}
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
}

/// Sixteen channels of a depthwise layer at a time.
///
/// # Safety
/// As for [`Lanes`].
pub(in crate::kernels) trait Depthwise: Copy {
    /// The accumulators.
    type Deep: Copy;
    /// One input of each channel.
    type Inputs: Copy;
    /// Two weights of each channel.
    type Taps: Copy;

    /// The accumulators of a panel before any product: its bias.
    unsafe fn deep(panel: &RequantizePanel) -> Self::Deep;
    /// Reads the first `count` (1 to 16) channels; others are 0.
    unsafe fn inputs(from: *const i8, count: usize) -> Self::Inputs;
    /// Reads 16 weights of each of two taps.
    unsafe fn taps(from: [*const i8; 2]) -> Self::Taps;
    /// Adds two products of each channel.
    unsafe fn multiply(sums: Self::Deep, inputs: [Self::Inputs; 2], taps: Self::Taps)
    -> Self::Deep;
    /// As [`Self::store`].
    unsafe fn store_deep(
        sums: Self::Deep,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    );
}

/// Lanes with dot products of four bytes each, which take four rows of a depthwise layer at a time.
///
/// # Safety
/// As for [`Lanes`].
pub(in crate::kernels) trait Interleaved: Lanes {
    /// What computes layers of other kernels.
    type Depthwise: Depthwise;
    /// Bytes that fill [`Self::Bytes`]: of 1 or 4 panels.
    const STRIP: usize;
    /// One byte of each channel of 1, 2 or 4 pixels side by side, or interleaved four bytes of every sum.
    type Bytes: Copy;
    /// A sum for each four of them.
    type Dots: Copy;

    /// Reads as many sums as there are.
    unsafe fn dots(from: &[i32; PANEL]) -> Self::Dots;
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
    unsafe fn dot_bytes(sums: Self::Dots, inputs: Self::Bytes, weights: Self::Bytes) -> Self::Dots;
    /// `left - right`.
    unsafe fn subtract_dots(left: Self::Dots, right: Self::Dots) -> Self::Dots;
    /// Requantises interleaved sums with a table in their order, and writes of the first pixels the first channels, as
    /// `count` says.
    unsafe fn store_bytes<const PIXELS: usize>(
        sums: [Self::Dots; 4],
        table: &[RequantizePanel; 4],
        output: Quantized,
        to: [*mut i8; PIXELS],
        count: [usize; 2],
    );
}
