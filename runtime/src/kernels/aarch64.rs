//! Kernels for AArch64.

use super::Kernels;
use super::table::simd_kernels;
use super::vector::Neon;

/// 32 registers: 24 sums, 4 weights, 1 input.
pub(super) static NEON: Kernels = simd_kernels!(
    "neon", Neon,
    tile: 6 x 4, tail: 12 x 2, panel: 4, linear: 8
);
