//! What an instruction set does with the sixteen channels of a panel.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod vnni;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;
pub(super) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(super) use vnni::Vnni;

use super::{Quantized, RequantizePanel};

/// Sixteen channels at a time.
///
/// # Safety
/// Of all methods: the CPU has the instruction set; pointers are good for as many bytes as each method says.
pub(super) trait Lanes: Copy {
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

/// A [`Kernels`](super::Kernels) table of the kernels on one kind of [`Lanes`]; `tile` is pixels by panels.
macro_rules! int8_kernels {
    ($name:literal, $lanes:ty, tile: $rows:literal x $wide:literal $(, features: $features:literal)?) => {{
        use $crate::kernels::int8::{Conv, Kernels, Pointwise, conv, depthwise, pointwise};
        use $crate::kernels::table::simd_kernel as kernel;
        Kernels {
            name: $name,
            conv: kernel!(
                conv::check, conv::simd::conv::<$lanes, $rows, $wide>,
                (task: &Conv, first: usize, out: &mut [i8], scratch: &mut [u8]) $(, $features)?
            ),
            depthwise: kernel!(
                depthwise::check, depthwise::simd::depthwise::<$lanes>,
                (task: &Conv, first: usize, out: &mut [i8]) $(, $features)?
            ),
            pointwise: kernel!(
                pointwise::check, pointwise::simd::pointwise::<$lanes, $rows, $wide>,
                (task: &Pointwise, first: usize, out: &mut [i8], scratch: &mut [u8]) $(, $features)?
            ),
            linear: kernel!(
                pointwise::check_linear, pointwise::simd::linear::<$lanes>,
                (task: &Pointwise, first: usize, out: &mut [i8], scratch: &mut [u8]) $(, $features)?
            ),
        }
    }};
}

pub(super) use int8_kernels;
