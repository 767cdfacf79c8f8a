//! AVX-512 with VNNI: a dot product of four bytes in each of sixteen lanes.

use core::arch::x86_64::*;

use super::Lanes;
use crate::kernels::int8::{Quantized, RequantizePanel};

/// AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy)]
pub(in crate::kernels::int8) struct Vnni;

/// The mask of the first `count <= 16` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

// SAFETY of all methods: the caller vouches for the instruction set and the pointers (see the trait).
impl Lanes for Vnni {
    const OFFSET: u8 = 128;
    type Quad = __m512i;
    type Weights = __m512i;
    type Sums = __m512i;
    type Deep = __m512i;
    type Inputs = __m512i;
    type Taps = __m512i;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: see the impl.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn quad(from: *const u8) -> Self::Quad {
        // SAFETY: see the impl.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> Self::Weights {
        // SAFETY: see the impl.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn dot(sums: Self::Sums, quad: Self::Quad, weights: Self::Weights) -> Self::Sums {
        // SAFETY: see the impl.
        unsafe { _mm512_dpbusd_epi32(sums, quad, weights) }
    }

    #[inline(always)]
    unsafe fn subtract(left: Self::Sums, right: Self::Sums) -> Self::Sums {
        // SAFETY: see the impl.
        unsafe { _mm512_sub_epi32(left, right) }
    }

    #[inline(always)]
    unsafe fn store(
        sums: Self::Sums,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        let [low, high] = output.bounds();
        // SAFETY: see the impl; masked lanes are not written.
        unsafe {
            let bias = _mm512_loadu_si512(panel.bias.as_ptr().cast());
            let sums = _mm512_cvt_roundepi32_ps::<NEAREST>(_mm512_add_epi32(sums, bias));
            let scaled =
                _mm512_mul_round_ps::<NEAREST>(sums, _mm512_loadu_ps(panel.multiplier.as_ptr()));
            let clamped = _mm512_min_ps(
                _mm512_max_ps(scaled, _mm512_set1_ps(low)),
                _mm512_set1_ps(high),
            );
            let rounded = _mm512_cvt_roundps_epi32::<NEAREST>(clamped);
            let zero = _mm512_set1_epi32(output.zero_point.into());
            let bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(rounded, zero));
            if count >= 16 {
                _mm_storeu_si128(to.cast(), bytes);
            } else {
                _mm_mask_storeu_epi8(to, first(count), bytes);
            }
        }
    }

    #[inline(always)]
    unsafe fn deep() -> Self::Deep {
        // SAFETY: see the impl.
        unsafe { Self::zero() }
    }

    #[inline(always)]
    unsafe fn inputs(from: *const i8, count: usize) -> Self::Inputs {
        // SAFETY: see the impl; masked lanes are not read.
        unsafe {
            _mm512_cvtepi8_epi32(if count >= 16 {
                _mm_loadu_si128(from.cast())
            } else {
                _mm_maskz_loadu_epi8(first(count), from)
            })
        }
    }

    #[inline(always)]
    unsafe fn taps(from: *const i8) -> Self::Taps {
        // SAFETY: see the impl. The upper half of an input, its sign, meets zero.
        unsafe { _mm512_and_si512(Self::inputs(from, 16), _mm512_set1_epi32(0xffff)) }
    }

    #[inline(always)]
    unsafe fn multiply(sums: Self::Deep, inputs: Self::Inputs, taps: Self::Taps) -> Self::Deep {
        // SAFETY: see the impl.
        unsafe { _mm512_dpwssd_epi32(sums, inputs, taps) }
    }

    #[inline(always)]
    unsafe fn store_deep(
        sums: Self::Deep,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: see the impl.
        unsafe { Self::store(sums, panel, output, to, count) }
    }
}
