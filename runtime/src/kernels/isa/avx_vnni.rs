//! AVX-VNNI, the dot product of four bytes on vectors of 256 bits, which small x86 CPUs have without AVX-512; the rest is
//! that of AVX2.

use core::arch::x86_64::*;

use super::avx2::Avx2;
use super::lanes::{Depthwise, Lanes};
use super::{Candidate, cpu_has};
use crate::kernels::f32;
use crate::kernels::int8::table::{int8_kernels, tiled_lanes};
use crate::kernels::int8::{self, Quantized, RequantizePanel};

tiled_lanes!(AvxVnni, "avx2,avxvnni");

/// 16 registers: 8 sums, 4 inputs, 2 weights.
static AVX_VNNI: int8::Kernels = int8_kernels!(
    "avx-vnni", AvxVnni, depthwise: Avx2,
    tile: 4 x 1, linear: 4, features: "avx2,avxvnni"
);

/// None: AVX2 has those.
pub(in crate::kernels) static F32: &[Candidate<f32::Kernels>] = &[];

pub(in crate::kernels) static INT8: &[Candidate<int8::Kernels>] =
    &[(&AVX_VNNI, || cpu_has!("avx2", "avxvnni"))];

/// AVX2 and AVX-VNNI.
#[derive(Clone, Copy)]
struct AvxVnni;

// SAFETY of all methods: the caller vouches for the instruction set and the pointers (see the trait).
impl Lanes for AvxVnni {
    const OFFSET: u8 = 128;
    const QUADS: usize = 1;
    type Quads = __m256i;
    /// Eight channels in each vector.
    type Sums = <Avx2 as Depthwise>::Deep;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: see the impl.
        [unsafe { _mm256_setzero_si256() }; 2]
    }

    #[inline(always)]
    unsafe fn start(panel: &RequantizePanel) -> Self::Sums {
        // SAFETY: passed on from the caller.
        unsafe { Avx2::deep(panel) }
    }

    #[inline(always)]
    unsafe fn quads(from: *const u8, _count: usize) -> Self::Quads {
        // SAFETY: see the impl.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn dot<const ROWS: usize>(
        sums: &mut [Self::Sums; ROWS],
        inputs: &[Self::Quads; ROWS],
        weights: *const i8,
        _count: usize,
        _part: usize,
    ) {
        for i in 0..2 {
            // SAFETY: see the impl.
            unsafe {
                let weights = _mm256_loadu_si256(weights.cast::<__m256i>().add(i));
                for (sums, &inputs) in sums.iter_mut().zip(inputs) {
                    sums[i] = _mm256_dpbusd_avx_epi32(sums[i], inputs, weights);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn subtract(left: Self::Sums, right: Self::Sums) -> Self::Sums {
        // SAFETY: see the impl.
        unsafe {
            [
                _mm256_sub_epi32(left[0], right[0]),
                _mm256_sub_epi32(left[1], right[1]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store(
        sums: Self::Sums,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: passed on from the caller.
        unsafe { Avx2::store_deep(sums, panel, output, to, count) }
    }
}
