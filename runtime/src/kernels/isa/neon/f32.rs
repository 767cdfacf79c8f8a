//! Vectors of 4 floats.

use core::arch::aarch64::*;

use crate::kernels::f32;
use crate::kernels::f32::table::simd_kernels;
use crate::kernels::isa::Candidate;
use crate::kernels::isa::vector::Vector;

/// 32 registers: 24 sums, 4 weights, 1 input.
static NEON_F32: f32::Kernels = simd_kernels!(
    "neon", F32x4,
    tile: 6 x 4, tail: 12 x 2, panel: 4, linear: 8
);

pub(in crate::kernels) static F32: &[Candidate<f32::Kernels>] = &[(&NEON_F32, || true)];

/// 4 lanes.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32x4(float32x4_t);

// SAFETY of all methods: NEON is in the AArch64 baseline; the caller vouches for the pointers (see the trait).
impl Vector for F32x4 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { vdupq_n_f32(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 4];
        // SAFETY: `count < 4` values at `from`, by the trait; 4 in `lanes`.
        unsafe {
            core::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            Self::load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the impl.
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0; 4];
        // SAFETY: 4 values in `lanes`; `count < 4` at `to`, by the trait.
        unsafe {
            self.store(lanes.as_mut_ptr());
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { vfmaq_f32(addend.0, self.0, factor.0) })
    }

    /// Two instructions: the one that does both adds to the register of `bias`, of which it would need a copy.
    #[inline(always)]
    unsafe fn scale(self, scale: Self, bias: Self) -> Self {
        // SAFETY: see the impl.
        unsafe { self.mul(scale).add(bias) }
    }

    const FACTORS: usize = 4;

    #[inline(always)]
    unsafe fn factors(from: *const f32) -> Self {
        // SAFETY: see the impl.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn mul_add_factor<const INDEX: usize>(self, factors: Self, addend: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe {
            match INDEX {
                0 => vfmaq_laneq_f32::<0>(addend.0, self.0, factors.0),
                1 => vfmaq_laneq_f32::<1>(addend.0, self.0, factors.0),
                2 => vfmaq_laneq_f32::<2>(addend.0, self.0, factors.0),
                _ => vfmaq_laneq_f32::<3>(addend.0, self.0, factors.0),
            }
        })
    }

    #[inline(always)]
    unsafe fn min(self, bound: Self) -> Self {
        // SAFETY: see the impl. The instruction propagates NaN.
        Self(unsafe { vminq_f32(self.0, bound.0) })
    }

    #[inline(always)]
    unsafe fn max(self, bound: Self) -> Self {
        // SAFETY: see the impl. The instruction propagates NaN.
        Self(unsafe { vmaxq_f32(self.0, bound.0) })
    }
}
