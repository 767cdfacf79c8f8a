//! AVX2: vectors of 8 floats, with FMA; for int8 products of 16 bits, since VPMADDUBSW saturates sums of two products of
//! bytes.

use core::arch::x86_64::*;

use super::lanes::{Depthwise, Lanes};
use super::vector::Vector;
use super::{Candidate, cpu_has};
use crate::kernels::f32::table::simd_kernels;
use crate::kernels::int8::table::{int8_kernels, tiled_lanes};
use crate::kernels::int8::{Quantized, RequantizePanel};
use crate::kernels::{f32, int8};

/// 16 registers: 12 sums, 2 weights, 1 input.
static AVX2_F32: f32::Kernels = simd_kernels!(
    "avx2", F32x8,
    tile: 6 x 2, tail: 12 x 1, panel: 2, linear: 8, features: "avx2,fma"
);

tiled_lanes!(Avx2, "avx2");

/// 16 registers: 10 sums, 2 weights, 1 input, 1 product.
static AVX2_INT8: int8::Kernels =
    int8_kernels!("avx2", Avx2, depthwise: Avx2, tile: 5 x 1, linear: 1, features: "avx2");

pub(in crate::kernels) static F32: &[Candidate<f32::Kernels>] =
    &[(&AVX2_F32, || cpu_has!("avx2", "fma"))];

pub(in crate::kernels) static INT8: &[Candidate<int8::Kernels>] =
    &[(&AVX2_INT8, || cpu_has!("avx2"))];

/// 8 lanes.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32x8(__m256);

/// A window of 8 words that starts at `8 - count` has its first `count` words set.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// The mask of the first `count <= 8` lanes.
#[inline(always)]
unsafe fn first(count: usize) -> __m256i {
    debug_assert!(count <= 8);
    // SAFETY: `8 - count + 8 <= 16` words.
    unsafe { _mm256_loadu_si256(MASK.as_ptr().add(8 - count).cast()) }
}

// SAFETY of all methods: the caller vouches for AVX2, FMA and the pointers (see the trait).
impl Vector for F32x8 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, count: usize) -> Self {
        // SAFETY: see the impl; masked lanes are not read.
        Self(unsafe { _mm256_maskload_ps(from, first(count)) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the impl.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize) {
        // SAFETY: see the impl; masked lanes are not written.
        unsafe { _mm256_maskstore_ps(to, first(count), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    unsafe fn min(self, bound: Self) -> Self {
        // SAFETY: see the impl. The instruction returns its second operand where either is NaN.
        Self(unsafe { _mm256_min_ps(bound.0, self.0) })
    }

    #[inline(always)]
    unsafe fn max(self, bound: Self) -> Self {
        // SAFETY: see the impl. The instruction returns its second operand where either is NaN.
        Self(unsafe { _mm256_max_ps(bound.0, self.0) })
    }
}

/// AVX2.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx2;

/// Sixteen sums, eight in each vector, in the order of the channels.
type Ordered = [__m256i; 2];

// Functions instead of closures, here and in what calls these: a closure is not compiled for the instruction set, and its
// intrinsics would be calls.

/// Sixteen bytes as 16 bits each.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn widen(bytes: __m128i) -> __m256i {
    // SAFETY: by the caller's promise.
    unsafe { _mm256_cvtepi8_epi16(bytes) }
}

/// The bytes of each of sixteen channels, widened.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn side_by_side([a, b]: [__m128i; 2]) -> [__m256i; 2] {
    // SAFETY: by the caller's promise.
    unsafe {
        [
            widen(_mm_unpacklo_epi8(a, b)),
            widen(_mm_unpackhi_epi8(a, b)),
        ]
    }
}

/// Adds the two sums of each channel, which lie side by side.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn join(a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: by the caller's promise. Each half of a vector is added by itself.
    unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(a, b)) }
}

/// Requantises eight channels from the given one.
///
/// # Safety
/// The CPU has AVX2; the panel has the channels.
#[inline(always)]
unsafe fn requantize(
    sums: __m256i,
    panel: &RequantizePanel,
    channel: usize,
    output: Quantized,
) -> __m256i {
    let [low, high] = output.bounds();
    // SAFETY: by the caller's promise. Conversions round to nearest, ties to even: Rust keeps the control register so.
    unsafe {
        let multiplier = _mm256_loadu_ps(panel.multiplier.as_ptr().add(channel));
        let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), multiplier);
        let clamped = _mm256_max_ps(scaled, _mm256_set1_ps(low));
        let clamped = _mm256_min_ps(clamped, _mm256_set1_ps(high));
        let zero = _mm256_set1_epi32(output.zero_point.into());
        _mm256_add_epi32(_mm256_cvtps_epi32(clamped), zero)
    }
}

// SAFETY of all methods: the caller vouches for the instruction set and the pointers (see the trait).
impl Lanes for Avx2 {
    const OFFSET: u8 = 0;
    const BYTES: usize = 2;
    const PARTS: usize = 2;
    const QUADS: usize = 1;
    /// Where they are: read for each row, they need one register.
    type Quads = *const i64;
    /// Two sums a channel, four channels a vector.
    type Sums = [__m256i; 4];

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: see the impl.
        [unsafe { _mm256_setzero_si256() }; 4]
    }

    #[inline(always)]
    unsafe fn start(panel: &RequantizePanel) -> Self::Sums {
        let bias = panel.bias.as_ptr().cast::<__m128i>();
        // SAFETY: passed on from the caller.
        let mut sums = unsafe { Self::zero() };
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: see the impl. The second sum of a channel starts at zero.
            *sum = unsafe { _mm256_cvtepu32_epi64(_mm_loadu_si128(bias.add(i))) };
        }
        sums
    }

    #[inline(always)]
    unsafe fn prepare(from: *const i8, to: *mut u8) {
        // SAFETY: see the impl.
        unsafe { _mm256_storeu_si256(to.cast(), widen(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn quads(from: *const u8, _count: usize) -> Self::Quads {
        from.cast()
    }

    #[inline(always)]
    unsafe fn dot<const ROWS: usize>(
        sums: &mut [Self::Sums; ROWS],
        inputs: &[Self::Quads; ROWS],
        weights: *const i8,
        _count: usize,
        part: usize,
    ) {
        let [first, second] = [2 * part, 2 * part + 1];
        // SAFETY: see the impl.
        unsafe {
            let a = widen(_mm_loadu_si128(weights.add(16 * first).cast()));
            let b = widen(_mm_loadu_si128(weights.add(16 * second).cast()));
            for (sums, input) in sums.iter_mut().zip(inputs) {
                let quad = _mm256_set1_epi64x(input.read_unaligned());
                sums[first] = _mm256_add_epi32(sums[first], _mm256_madd_epi16(quad, a));
                sums[second] = _mm256_add_epi32(sums[second], _mm256_madd_epi16(quad, b));
            }
        }
    }

    #[inline(always)]
    unsafe fn subtract(mut left: Self::Sums, right: Self::Sums) -> Self::Sums {
        for (left, right) in left.iter_mut().zip(right) {
            // SAFETY: see the impl.
            *left = unsafe { _mm256_sub_epi32(*left, right) };
        }
        left
    }

    #[inline(always)]
    unsafe fn store(
        sums: Self::Sums,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: see the impl. The sums of two channels lie side by side in each half of a vector.
        unsafe {
            let ordered = [join(sums[0], sums[1]), join(sums[2], sums[3])];
            Self::store_deep(ordered, panel, output, to, count);
        }
    }
}

// SAFETY of all methods: as above.
impl Depthwise for Avx2 {
    type Deep = Ordered;
    type Inputs = __m128i;
    type Taps = [__m256i; 2];

    #[inline(always)]
    unsafe fn deep(panel: &RequantizePanel) -> Self::Deep {
        let bias = panel.bias.as_ptr().cast::<__m256i>();
        // SAFETY: see the impl.
        unsafe { [_mm256_loadu_si256(bias), _mm256_loadu_si256(bias.add(1))] }
    }

    #[inline(always)]
    unsafe fn inputs(from: *const i8, count: usize) -> Self::Inputs {
        // SAFETY: see the impl; no more than `count` bytes are read.
        unsafe {
            if count >= 16 {
                return _mm_loadu_si128(from.cast());
            }
            let mut bytes = [0i8; 16];
            from.copy_to_nonoverlapping(bytes.as_mut_ptr(), count);
            _mm_loadu_si128(bytes.as_ptr().cast())
        }
    }

    #[inline(always)]
    unsafe fn taps([a, b]: [*const i8; 2]) -> Self::Taps {
        // SAFETY: see the impl.
        unsafe { side_by_side([Self::inputs(a, 16), Self::inputs(b, 16)]) }
    }

    #[inline(always)]
    unsafe fn multiply(
        sums: Self::Deep,
        inputs: [Self::Inputs; 2],
        taps: Self::Taps,
    ) -> Self::Deep {
        // SAFETY: see the impl.
        unsafe {
            let inputs = side_by_side(inputs);
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(inputs[0], taps[0])),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(inputs[1], taps[1])),
            ]
        }
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
        unsafe {
            let a = requantize(sums[0], panel, 0, output);
            let b = requantize(sums[1], panel, 8, output);
            // Each half of a vector is packed by itself.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a, b));
            let bytes = _mm_packs_epi16(
                _mm256_castsi256_si128(words),
                _mm256_extracti128_si256::<1>(words),
            );
            if count >= 16 {
                _mm_storeu_si128(to.cast(), bytes);
            } else {
                let mut array = [0i8; 16];
                _mm_storeu_si128(array.as_mut_ptr().cast(), bytes);
                array.as_ptr().copy_to_nonoverlapping(to, count);
            }
        }
    }
}
