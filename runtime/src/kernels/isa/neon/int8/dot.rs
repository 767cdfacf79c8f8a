//! Panels on the dot product of four bytes, and on products of matrices of two rows by eight bytes where those are.

use core::arch::aarch64::*;

use graft_patches::layout::PANEL;

use super::channels::{self, Ordered, clamp, ordered};
use super::plain::Plain;
use crate::kernels::int8::{Quantized, RequantizePanel};
use crate::kernels::isa::lanes::{Interleaved, Lanes};

/// NEON with its dot product; `MATRIX` says whether the CPU has products of matrices (i8mm), too.
#[derive(Clone, Copy)]
pub(super) struct Dot<const MATRIX: bool>;

/// 1.5 * 2^23: beside it an f32 has no room for a fraction, and its bits count on as integers do.
const NO_FRACTION: f32 = 12_582_912.0;

/// Adds the dot products of four weights of each sum and quad `QUAD` of the inputs.
///
/// # Safety
/// The CPU has the dot product instructions.
#[inline(always)]
unsafe fn sdot<const QUAD: usize>(
    mut sums: int32x4_t,
    weights: int8x16_t,
    inputs: int8x16_t,
) -> int32x4_t {
    // SAFETY: the instruction touches nothing but its operands. Its intrinsic is not stable.
    unsafe {
        core::arch::asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {inputs:v}.4b[{quad}]",
            sums = inout(vreg) sums, weights = in(vreg) weights, inputs = in(vreg) inputs,
            quad = const QUAD, options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Adds the dot product of each four bytes.
///
/// # Safety
/// The CPU has the dot product instructions.
#[inline(always)]
unsafe fn sdot_each(mut sums: int32x4_t, left: int8x16_t, right: int8x16_t) -> int32x4_t {
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "sdot {sums:v}.4s, {left:v}.16b, {right:v}.16b",
            sums = inout(vreg) sums, left = in(vreg) left, right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Adds the products of one quad of each row.
///
/// # Safety
/// The CPU has the dot product instructions; 64 weights are there.
#[inline(always)]
unsafe fn quad<const QUAD: usize, const ROWS: usize>(
    sums: &mut [Ordered; ROWS],
    inputs: &[int8x16_t; ROWS],
    weights: *const i8,
) {
    for i in 0..4 {
        // SAFETY: by the caller's promise.
        unsafe {
            let weights = vld1q_s8(weights.add(64 * QUAD + 16 * i));
            for (sums, &inputs) in sums.iter_mut().zip(inputs) {
                sums[i] = sdot::<QUAD>(sums[i], weights, inputs);
            }
        }
    }
}

/// Adds the product of two rows of eight bytes and the transpose of two others.
///
/// # Safety
/// The CPU has the matrix product instructions.
#[inline(always)]
unsafe fn smmla(mut sums: int32x4_t, left: int8x16_t, right: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction touches nothing but its operands. Its intrinsic is not stable.
    unsafe {
        core::arch::asm!(
            "smmla {sums:v}.4s, {left:v}.16b, {right:v}.16b",
            sums = inout(vreg) sums, left = in(vreg) left, right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Adds the products of one or two quads of each row, of two rows at a time: their sums are turned ([`Lanes::turn`]). Two
/// quads of four channels side by side make two matrices; one is followed by inputs of zero.
///
/// # Safety
/// The CPU has the matrix product instructions; `64 * count` weights are there.
#[inline(always)]
unsafe fn matrix<const ROWS: usize>(
    sums: &mut [Ordered; ROWS],
    inputs: &[int8x16_t; ROWS],
    weights: *const i8,
    count: usize,
) {
    let (input_pairs, input) = inputs.as_chunks::<2>();
    let (sum_pairs, sum) = sums.as_chunks_mut::<2>();
    for i in 0..4 {
        // SAFETY: by the caller's promise.
        unsafe {
            let first = vld1q_s8(weights.add(16 * i));
            let second = vld1q_s8(weights.add(64 * (count - 1) + 16 * i));
            let quads = (vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(second));
            let low = vreinterpretq_s8_s32(vzip1q_s32(quads.0, quads.1));
            let high = vreinterpretq_s8_s32(vzip2q_s32(quads.0, quads.1));
            for ([a, b], &[left, right]) in sum_pairs.iter_mut().zip(input_pairs) {
                let (left, right) = (vreinterpretq_s64_s8(left), vreinterpretq_s64_s8(right));
                let rows = vreinterpretq_s8_s64(vzip1q_s64(left, right));
                a[i] = smmla(a[i], rows, low);
                b[i] = smmla(b[i], rows, high);
            }
            for (sums, &inputs) in sum.iter_mut().zip(input) {
                sums[i] = sdot::<0>(sums[i], first, inputs);
                sums[i] = sdot::<1>(sums[i], second, inputs);
            }
        }
    }
}

/// Requantises four channels from the given one, saturated to 32 bits.
///
/// # Safety
/// The panel has them; the CPU has NEON.
#[inline(always)]
unsafe fn requantize(
    sums: int32x4_t,
    panel: &RequantizePanel,
    channel: usize,
    output: Quantized,
) -> int32x4_t {
    // A value with another exponent or sign has bits beyond any byte, on its side.
    let zero = NO_FRACTION.to_bits() as i32 - i32::from(output.zero_point);
    // SAFETY: by the caller's promise. Conversion and sum round as the control register says, which Rust keeps at nearest,
    // ties to even: the sum takes a fourth of the time of a conversion.
    unsafe {
        let multiplier = vld1q_f32(panel.multiplier.as_ptr().add(channel));
        let scaled = vmulq_f32(vcvtq_f32_s32(sums), multiplier);
        let rounded = vaddq_f32(scaled, vdupq_n_f32(NO_FRACTION));
        vqsubq_s32(vreinterpretq_s32_f32(rounded), vdupq_n_s32(zero))
    }
}

/// Saturates to bytes and keeps them to the bounds.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn narrow([a, b, c, d]: Ordered, output: Quantized) -> int8x16_t {
    // SAFETY: by the caller's promise.
    unsafe {
        let low = vqmovn_high_s32(vqmovn_s32(a), b);
        let high = vqmovn_high_s32(vqmovn_s32(c), d);
        clamp(vqmovn_high_s16(vqmovn_s16(low), high), output)
    }
}

// SAFETY of all methods: the caller vouches for the instruction set and the pointers (see the trait).
impl<const MATRIX: bool> Lanes for Dot<MATRIX> {
    const OFFSET: u8 = 0;
    const QUADS: usize = if MATRIX { 2 } else { 4 };
    type Quads = int8x16_t;
    type Sums = Ordered;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: see the impl.
        [unsafe { vdupq_n_s32(0) }; 4]
    }

    #[inline(always)]
    unsafe fn start(panel: &RequantizePanel) -> Self::Sums {
        // SAFETY: see the impl.
        unsafe { ordered(&panel.bias) }
    }

    #[inline(always)]
    unsafe fn quads(from: *const u8, count: usize) -> Self::Quads {
        // SAFETY: see the impl.
        unsafe {
            match count {
                1 => {
                    let quad = from.cast::<i32>().read_unaligned();
                    vreinterpretq_s8_s32(vsetq_lane_s32::<0>(quad, vdupq_n_s32(0)))
                }
                2 => vcombine_s8(vld1_s8(from.cast()), vdup_n_s8(0)),
                _ => vld1q_s8(from.cast()),
            }
        }
    }

    #[inline(always)]
    unsafe fn dot<const ROWS: usize>(
        sums: &mut [Self::Sums; ROWS],
        inputs: &[Self::Quads; ROWS],
        weights: *const i8,
        count: usize,
        _part: usize,
    ) {
        // SAFETY: see the impl.
        unsafe {
            if MATRIX {
                return matrix(sums, inputs, weights, count);
            }
            quad::<0, ROWS>(sums, inputs, weights);
            if count == Self::QUADS {
                quad::<1, ROWS>(sums, inputs, weights);
                quad::<2, ROWS>(sums, inputs, weights);
                quad::<3, ROWS>(sums, inputs, weights);
            }
        }
    }

    #[inline(always)]
    unsafe fn turn<const ROWS: usize>(sums: &mut [Self::Sums; ROWS]) {
        if !MATRIX {
            return;
        }
        for [a, b] in sums.as_chunks_mut::<2>().0 {
            for (a, b) in a.iter_mut().zip(b) {
                // SAFETY: see the impl.
                unsafe {
                    let (first, second) = (vreinterpretq_s64_s32(*a), vreinterpretq_s64_s32(*b));
                    *a = vreinterpretq_s32_s64(vzip1q_s64(first, second));
                    *b = vreinterpretq_s32_s64(vzip2q_s64(first, second));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn subtract(mut left: Self::Sums, right: Self::Sums) -> Self::Sums {
        for (left, right) in left.iter_mut().zip(right) {
            // SAFETY: see the impl.
            *left = unsafe { vsubq_s32(*left, right) };
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
        // SAFETY: see the impl. No closure: it would be a call.
        unsafe {
            let a = requantize(sums[0], panel, 0, output);
            let b = requantize(sums[1], panel, 4, output);
            let c = requantize(sums[2], panel, 8, output);
            let d = requantize(sums[3], panel, 12, output);
            channels::store(narrow([a, b, c, d], output), to, count);
        }
    }
}

// SAFETY of all methods: as above.
impl<const MATRIX: bool> Interleaved for Dot<MATRIX> {
    type Depthwise = Plain;
    const STRIP: usize = 16;
    type Bytes = int8x16_t;
    type Dots = int32x4_t;

    #[inline(always)]
    unsafe fn dots(from: &[i32; PANEL]) -> Self::Dots {
        // SAFETY: see the impl.
        unsafe { vld1q_s32(from.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn input_bytes<const PIXELS: usize>(
        from: [*const i8; PIXELS],
        count: usize,
    ) -> Self::Bytes {
        // SAFETY: see the impl.
        unsafe { Self::weight_bytes(from, count) }
    }

    #[inline(always)]
    unsafe fn weight_bytes<const PIXELS: usize>(
        from: [*const i8; PIXELS],
        count: usize,
    ) -> Self::Bytes {
        // SAFETY: see the impl.
        unsafe { channels::load(from[0], count) }
    }

    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [Self::Bytes; 4]) -> [Self::Bytes; 4] {
        // SAFETY: see the impl.
        unsafe {
            let low_ab = vreinterpretq_s16_s8(vzip1q_s8(a, b));
            let low_cd = vreinterpretq_s16_s8(vzip1q_s8(c, d));
            let high_ab = vreinterpretq_s16_s8(vzip2q_s8(a, b));
            let high_cd = vreinterpretq_s16_s8(vzip2q_s8(c, d));
            [
                vreinterpretq_s8_s16(vzip1q_s16(low_ab, low_cd)),
                vreinterpretq_s8_s16(vzip2q_s16(low_ab, low_cd)),
                vreinterpretq_s8_s16(vzip1q_s16(high_ab, high_cd)),
                vreinterpretq_s8_s16(vzip2q_s16(high_ab, high_cd)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot_bytes(sums: Self::Dots, inputs: Self::Bytes, weights: Self::Bytes) -> Self::Dots {
        // SAFETY: see the impl.
        unsafe { sdot_each(sums, inputs, weights) }
    }

    #[inline(always)]
    unsafe fn subtract_dots(left: Self::Dots, right: Self::Dots) -> Self::Dots {
        // SAFETY: see the impl.
        unsafe { vsubq_s32(left, right) }
    }

    #[inline(always)]
    unsafe fn store_bytes<const PIXELS: usize>(
        sums: [Self::Dots; 4],
        table: &[RequantizePanel; 4],
        output: Quantized,
        to: [*mut i8; PIXELS],
        [_, count]: [usize; 2],
    ) {
        // SAFETY: see the impl. No closure: it would be a call.
        unsafe {
            let a = requantize(sums[0], &table[0], 0, output);
            let b = requantize(sums[1], &table[1], 0, output);
            let c = requantize(sums[2], &table[2], 0, output);
            let d = requantize(sums[3], &table[3], 0, output);
            channels::store(narrow([a, b, c, d], output), to[0], count);
        }
    }
}
