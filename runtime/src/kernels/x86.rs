//! Kernels for x86-64.

use super::Kernels;
use super::table::simd_kernels;
use super::vector::{Avx2, Avx512};

/// 16 registers: 12 sums, 2 weights, 1 input.
pub(super) static AVX2: Kernels = simd_kernels!(
    "avx2", Avx2,
    tile: 6 x 2, tail: 12 x 1, panel: 2, linear: 8, features: "avx2,fma"
);

/// 32 registers: 24 sums, 2 weights, 1 input.
pub(super) static AVX512: Kernels = simd_kernels!(
    "avx512", Avx512,
    tile: 12 x 2, tail: 12 x 1, panel: 1, linear: 4, features: "avx512f"
);
