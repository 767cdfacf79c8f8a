//! AVX-512: vectors of 16 floats; for int8 VNNI, a dot product of four bytes in each of sixteen lanes, and VBMI, which
//! looks up by permutation.

use core::arch::x86_64::*;

use graft_patches::layout::PANEL;

use super::lanes::{Depthwise, Interleaved, Lanes};
use super::vector::Vector;
use super::{Candidate, cpu_has};
use crate::kernels::entry::simd_kernel;
use crate::kernels::f32::table::simd_kernels;
use crate::kernels::int8::table::{int8_kernels, tiled_lanes};
use crate::kernels::int8::{Conv, Quantized, RequantizePanel, depthwise, lookup};
use crate::kernels::{f32, int8};

/// 32 registers: 24 sums, 2 weights, 1 input.
static AVX512: f32::Kernels = simd_kernels!(
    "avx512", F32x16,
    tile: 12 x 2, tail: 12 x 1, panel: 1, linear: 4, features: "avx512f"
);

tiled_lanes!(Vnni, "avx512f,avx512bw,avx512vl,avx512vnni");

/// 32 registers: 24 sums, 4 weights, 1 input.
static VNNI: int8::Kernels = int8::Kernels {
    depthwise: simd_kernel!(
        depthwise::check, depthwise::interleaved::depthwise::<Vnni>,
        (call: &Conv, first: usize, out: &mut [i8]),
        "avx512f,avx512bw,avx512vl,avx512vnni"
    ),
    ..int8_kernels!(
        "avx512-vnni", Vnni, depthwise: Vnni,
        tile: 6 x 4, linear: 4, features: "avx512f,avx512bw,avx512vl,avx512vnni"
    )
};

/// The same with lookups by permutation.
static VBMI: int8::Kernels = int8::Kernels {
    name: "avx512-vbmi",
    lookup: lookup::avx512::lookup,
    ..VNNI
};

fn has_vnni() -> bool {
    cpu_has!("avx512f", "avx512bw", "avx512vl", "avx512vnni")
}

pub(in crate::kernels) static F32: &[Candidate<f32::Kernels>] =
    &[(&AVX512, || cpu_has!("avx512f"))];

pub(in crate::kernels) static INT8: &[Candidate<int8::Kernels>] = &[
    (&VBMI, || has_vnni() && cpu_has!("avx512vbmi")),
    (&VNNI, has_vnni),
];

/// 16 lanes.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32x16(__m512);

/// The mask of the first `count < 16` lanes.
#[inline(always)]
fn first_floats(count: usize) -> __mmask16 {
    (1 << count) - 1
}

// SAFETY of all methods: the caller vouches for AVX-512 F and the pointers (see the trait).
impl Vector for F32x16 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, count: usize) -> Self {
        // SAFETY: see the impl; masked lanes are not read.
        Self(unsafe { _mm512_maskz_loadu_ps(first_floats(count), from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the impl.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, count: usize) {
        // SAFETY: see the impl; masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(to, first_floats(count), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    unsafe fn min(self, bound: Self) -> Self {
        // SAFETY: see the impl. The instruction returns its second operand where either is NaN.
        Self(unsafe { _mm512_min_ps(bound.0, self.0) })
    }

    #[inline(always)]
    unsafe fn max(self, bound: Self) -> Self {
        // SAFETY: see the impl. The instruction returns its second operand where either is NaN.
        Self(unsafe { _mm512_max_ps(bound.0, self.0) })
    }
}

/// AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Vnni;

/// The mask of the first `count` (at most 64) bytes.
#[inline(always)]
fn first_bytes(count: usize) -> __mmask64 {
    u64::MAX.checked_shr(64 - count as u32).unwrap_or(0)
}

/// Scales sums that hold the bias, and rounds. What is too large for an integer stays large; what is too small becomes
/// the least integer, as it should.
///
/// # Safety
/// The CPU has AVX-512 F.
#[inline(always)]
unsafe fn scale(sums: __m512i, multiplier: __m512) -> __m512i {
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    // SAFETY: by the caller's promise.
    unsafe {
        let sums = _mm512_cvt_roundepi32_ps::<NEAREST>(sums);
        let scaled = _mm512_mul_round_ps::<NEAREST>(sums, multiplier);
        let large = _mm512_set1_ps(32768.0);
        _mm512_cvt_roundps_epi32::<NEAREST>(_mm512_min_ps(scaled, large))
    }
}

/// Packs four vectors of rounded values; of each quarter of the bytes, the first four come from the first vector.
///
/// # Safety
/// The CPU has AVX-512 F and BW.
#[inline(always)]
unsafe fn pack([a, b, c, d]: [__m512i; 4], output: Quantized) -> __m512i {
    // SAFETY: by the caller's promise.
    unsafe {
        let zero = _mm512_set1_epi16(output.zero_point.into());
        let low = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero);
        let high = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero);
        let bytes = _mm512_packs_epi16(low, high);
        let bytes = _mm512_max_epi8(bytes, _mm512_set1_epi8(output.min));
        _mm512_min_epi8(bytes, _mm512_set1_epi8(output.max))
    }
}

/// The bytes of each of sixteen channels, widened to 16 bits.
///
/// # Safety
/// The CPU has AVX-512 F and BW.
#[inline(always)]
unsafe fn side_by_side([a, b]: [__m128i; 2]) -> __m512i {
    // SAFETY: by the caller's promise.
    unsafe {
        let [low, high] = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
        _mm512_cvtepi8_epi16(_mm256_set_m128i(high, low))
    }
}

// SAFETY of all methods: the caller vouches for the instruction set and the pointers (see the trait).
impl Lanes for Vnni {
    const OFFSET: u8 = 128;
    const QUADS: usize = 1;
    type Quads = __m512i;
    type Sums = __m512i;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: see the impl.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn quads(from: *const u8, _count: usize) -> Self::Quads {
        // SAFETY: see the impl.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn dot<const ROWS: usize>(
        sums: &mut [Self::Sums; ROWS],
        inputs: &[Self::Quads; ROWS],
        weights: *const i8,
        _count: usize,
        _part: usize,
    ) {
        // SAFETY: see the impl.
        unsafe {
            let weights = _mm512_loadu_si512(weights.cast());
            for (sum, &inputs) in sums.iter_mut().zip(inputs) {
                *sum = _mm512_dpbusd_epi32(*sum, inputs, weights);
            }
        }
    }

    #[inline(always)]
    unsafe fn subtract(left: Self::Sums, right: Self::Sums) -> Self::Sums {
        // SAFETY: see the impl.
        unsafe { _mm512_sub_epi32(left, right) }
    }

    #[inline(always)]
    unsafe fn start(panel: &RequantizePanel) -> Self::Sums {
        // SAFETY: see the impl.
        unsafe { _mm512_loadu_si512(panel.bias.as_ptr().cast()) }
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
        unsafe { Self::store_wide([sums], core::array::from_ref(panel), output, to, count) }
    }

    #[inline(always)]
    unsafe fn store_wide<const WIDTH: usize>(
        sums: [Self::Sums; WIDTH],
        panels: &[RequantizePanel; WIDTH],
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: see the impl; masked lanes are not written.
        unsafe {
            let mut values = [_mm512_setzero_si512(); 4];
            for i in 0..WIDTH {
                let multiplier = _mm512_loadu_ps(panels[i].multiplier.as_ptr());
                values[i] = scale(sums[i], multiplier);
            }
            // Each quarter has four channels of each panel.
            let quarters = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
            let bytes = _mm512_permutexvar_epi32(quarters, pack(values, output));
            match WIDTH {
                1 if count >= 16 => _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(bytes)),
                2 if count >= 32 => _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(bytes)),
                4 if count >= 64 => _mm512_storeu_si512(to.cast(), bytes),
                _ => _mm512_mask_storeu_epi8(to, first_bytes(count), bytes),
            }
        }
    }
}

// SAFETY of all methods: as above.
impl Depthwise for Vnni {
    type Deep = __m512i;
    type Inputs = __m128i;
    type Taps = __m512i;

    #[inline(always)]
    unsafe fn deep(panel: &RequantizePanel) -> Self::Deep {
        // SAFETY: see the impl.
        unsafe { Self::start(panel) }
    }

    #[inline(always)]
    unsafe fn inputs(from: *const i8, count: usize) -> Self::Inputs {
        // SAFETY: see the impl; masked lanes are not read.
        unsafe {
            if count >= 16 {
                _mm_loadu_si128(from.cast())
            } else {
                _mm_maskz_loadu_epi8(first_bytes(count) as __mmask16, from)
            }
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
        unsafe { _mm512_dpwssd_epi32(sums, side_by_side(inputs), taps) }
    }

    #[inline(always)]
    unsafe fn store_deep(
        sums: Self::Deep,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: passed on from the caller.
        unsafe { Self::store(sums, panel, output, to, count) }
    }
}

// SAFETY of all methods: as above.
impl Interleaved for Vnni {
    type Depthwise = Self;
    const STRIP: usize = 64;
    type Bytes = __m512i;
    type Dots = __m512i;

    #[inline(always)]
    unsafe fn dots(from: &[i32; PANEL]) -> Self::Dots {
        // SAFETY: see the impl.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn input_bytes<const PIXELS: usize>(
        from: [*const i8; PIXELS],
        count: usize,
    ) -> Self::Bytes {
        // SAFETY: see the impl.
        unsafe {
            let bytes = Self::weight_bytes(from, count);
            _mm512_xor_si512(bytes, _mm512_set1_epi8(-128))
        }
    }

    #[inline(always)]
    unsafe fn weight_bytes<const PIXELS: usize>(
        from: [*const i8; PIXELS],
        count: usize,
    ) -> Self::Bytes {
        let mask = first_bytes(count);
        // SAFETY: see the impl; masked lanes are not read.
        unsafe {
            match *from.as_slice() {
                [a] => _mm512_maskz_loadu_epi8(mask, a),
                [a, b] => {
                    let a = _mm256_maskz_loadu_epi8(mask as __mmask32, a);
                    let b = _mm256_maskz_loadu_epi8(mask as __mmask32, b);
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b)
                }
                [a, b, c, d] => {
                    let a = _mm_maskz_loadu_epi8(mask as __mmask16, a);
                    let b = _mm_maskz_loadu_epi8(mask as __mmask16, b);
                    let c = _mm_maskz_loadu_epi8(mask as __mmask16, c);
                    let d = _mm_maskz_loadu_epi8(mask as __mmask16, d);
                    let ab = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b);
                    let cd = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(c), d);
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(ab), cd)
                }
                _ => unreachable!("pixels fill a vector"),
            }
        }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [Self::Bytes; 4]) -> [Self::Bytes; 4] {
        // SAFETY: see the impl.
        unsafe {
            let [ab, cd] = [_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d)];
            let [upper_ab, upper_cd] = [_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d)];
            [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(upper_ab, upper_cd),
                _mm512_unpackhi_epi16(upper_ab, upper_cd),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot_bytes(sums: Self::Dots, inputs: Self::Bytes, weights: Self::Bytes) -> Self::Dots {
        // SAFETY: see the impl.
        unsafe { _mm512_dpbusd_epi32(sums, inputs, weights) }
    }

    #[inline(always)]
    unsafe fn subtract_dots(left: Self::Dots, right: Self::Dots) -> Self::Dots {
        // SAFETY: passed on from the caller.
        unsafe { Self::subtract(left, right) }
    }

    #[inline(always)]
    unsafe fn store_bytes<const PIXELS: usize>(
        mut sums: [Self::Dots; 4],
        table: &[RequantizePanel; 4],
        output: Quantized,
        to: [*mut i8; PIXELS],
        [pixels, count]: [usize; 2],
    ) {
        let mask = first_bytes(count);
        // SAFETY: see the impl; masked lanes are not written.
        unsafe {
            for (sums, panel) in sums.iter_mut().zip(table) {
                *sums = scale(*sums, _mm512_loadu_ps(panel.multiplier.as_ptr()));
            }
            let bytes = pack(sums, output);
            let half = _mm512_extracti64x4_epi64::<1>(bytes);
            match *to.as_slice() {
                [a] => _mm512_mask_storeu_epi8(a, mask, bytes),
                [a, b] => {
                    _mm256_mask_storeu_epi8(a, mask as __mmask32, _mm512_castsi512_si256(bytes));
                    if pixels > 1 {
                        _mm256_mask_storeu_epi8(b, mask as __mmask32, half);
                    }
                }
                [a, b, c, d] => {
                    let mask = mask as __mmask16;
                    _mm_mask_storeu_epi8(a, mask, _mm512_castsi512_si128(bytes));
                    if pixels > 1 {
                        _mm_mask_storeu_epi8(b, mask, _mm512_extracti32x4_epi32::<1>(bytes));
                    }
                    if pixels > 2 {
                        _mm_mask_storeu_epi8(c, mask, _mm256_castsi256_si128(half));
                    }
                    if pixels > 3 {
                        _mm_mask_storeu_epi8(d, mask, _mm256_extracti128_si256::<1>(half));
                    }
                }
                _ => unreachable!("pixels fill a vector"),
            }
        }
    }
}
