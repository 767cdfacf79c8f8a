//! Panels of int8, without and with NEON's dot product of four bytes.

use core::arch::aarch64::*;

use crate::kernels::int8::table::int8_kernels;
use crate::kernels::int8::{self, Quantized, RequantizePanel};
use crate::kernels::isa::lanes::Lanes;
use crate::kernels::isa::{Candidate, cpu_has};

/// 32 registers: 16 sums, 4 weights, 1 input, products.
static NEON_INT8: int8::Kernels = int8_kernels!("neon", Neon<false>, tile: 4 x 1);

/// 32 registers: 24 sums, 4 weights, inputs.
static NEON_DOTPROD: int8::Kernels = int8_kernels!(
    "neon-dotprod", Neon<true>,
    tile: 6 x 1, features: "neon,dotprod"
);

pub(in crate::kernels) static INT8: &[Candidate<int8::Kernels>] = &[
    (&NEON_DOTPROD, || cpu_has!("dotprod")),
    (&NEON_INT8, || true),
];

/// NEON. `DOT` says whether the CPU has the dot product instructions.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Neon<const DOT: bool>;

/// Sixteen sums, four in each vector, in the order of the channels.
type Ordered = [int32x4_t; 4];

/// Adds the products of four bytes to each sum.
///
/// # Safety
/// The CPU has the dot product instructions.
#[inline(always)]
unsafe fn sdot(mut sum: int32x4_t, left: int8x16_t, right: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction touches nothing but its operands. Its intrinsic is not stable.
    unsafe {
        core::arch::asm!(
            "sdot {sum:v}.4s, {left:v}.16b, {right:v}.16b",
            sum = inout(vreg) sum, left = in(vreg) left, right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// The same without those: the sum of two products fits 16 bits, since no weight is -128.
///
/// # Safety
/// `right` holds no -128.
#[inline(always)]
unsafe fn multiply_add(sum: int32x4_t, left: int8x16_t, right: int8x16_t) -> int32x4_t {
    // SAFETY: NEON is in the AArch64 baseline.
    unsafe {
        let low = vmull_s8(vget_low_s8(left), vget_low_s8(right));
        let high = multiply_high(left, right);
        vpadalq_s16(sum, vpaddq_s16(low, high))
    }
}

/// The products of the upper halves. From the intrinsic, the compiler keeps the halves of weights in registers of their
/// own, which are twice as many.
#[inline(always)]
fn multiply_high(left: int8x16_t, right: int8x16_t) -> int16x8_t {
    let product;
    // SAFETY: NEON is in the AArch64 baseline; the instruction touches nothing but its operands.
    unsafe {
        core::arch::asm!(
            "smull2 {product:v}.8h, {left:v}.16b, {right:v}.16b",
            product = lateout(vreg) product, left = in(vreg) left, right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    product
}

/// Requantises four channels from the given one.
///
/// # Safety
/// The panel has them; `low` and `high` are the bounds of the output, `zero` its zero point.
#[inline(always)]
unsafe fn requantize(
    sums: int32x4_t,
    panel: &RequantizePanel,
    channel: usize,
    [low, high]: [float32x4_t; 2],
    zero: int32x4_t,
) -> int32x4_t {
    // SAFETY: by the caller's promise. Conversion of sums rounds as the control register says, which Rust keeps at
    // nearest, ties to even.
    unsafe {
        let bias = vld1q_s32(panel.bias.as_ptr().add(channel));
        let multiplier = vld1q_f32(panel.multiplier.as_ptr().add(channel));
        let scaled = vmulq_f32(vcvtq_f32_s32(vaddq_s32(sums, bias)), multiplier);
        let clamped = vminq_f32(vmaxq_f32(scaled, low), high);
        vaddq_s32(vcvtnq_s32_f32(clamped), zero)
    }
}

// SAFETY of all methods: the caller vouches for the instruction set and the pointers (see the trait).
impl<const DOT: bool> Lanes for Neon<DOT> {
    const OFFSET: u8 = 0;
    type Quad = int8x16_t;
    type Weights = [int8x16_t; 4];
    type Sums = Ordered;
    type Deep = Ordered;
    type Inputs = int8x16_t;
    type Taps = int8x16_t;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: see the impl.
        [unsafe { vdupq_n_s32(0) }; 4]
    }

    #[inline(always)]
    unsafe fn quad(from: *const u8) -> Self::Quad {
        // SAFETY: see the impl.
        unsafe { vreinterpretq_s8_s32(vdupq_n_s32(from.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> Self::Weights {
        // SAFETY: see the impl.
        unsafe {
            [
                vld1q_s8(from),
                vld1q_s8(from.add(16)),
                vld1q_s8(from.add(32)),
                vld1q_s8(from.add(48)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot(mut sums: Self::Sums, quad: Self::Quad, weights: Self::Weights) -> Self::Sums {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: see the impl; weights are -127 to 127.
            *sum = unsafe {
                match DOT {
                    true => sdot(*sum, quad, weights),
                    false => multiply_add(*sum, quad, weights),
                }
            };
        }
        sums
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
        // SAFETY: see the impl; no more than `count` bytes are written.
        unsafe {
            let bounds = output.bounds().map(|bound| vdupq_n_f32(bound));
            let zero = vdupq_n_s32(output.zero_point.into());
            let [a, b, c, d] =
                [0, 1, 2, 3].map(|i| requantize(sums[i], panel, 4 * i, bounds, zero));
            let low = vqmovn_high_s32(vqmovn_s32(a), b);
            let high = vqmovn_high_s32(vqmovn_s32(c), d);
            let bytes = vqmovn_high_s16(vqmovn_s16(low), high);
            if count >= 16 {
                vst1q_s8(to, bytes);
            } else {
                let mut array = [0i8; 16];
                vst1q_s8(array.as_mut_ptr(), bytes);
                array.as_ptr().copy_to_nonoverlapping(to, count);
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
        // SAFETY: see the impl; no more than `count` bytes are read.
        unsafe {
            if count >= 16 {
                return vld1q_s8(from);
            }
            let mut bytes = [0i8; 16];
            from.copy_to_nonoverlapping(bytes.as_mut_ptr(), count);
            vld1q_s8(bytes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn taps(from: *const i8) -> Self::Taps {
        // SAFETY: see the impl.
        unsafe { vld1q_s8(from) }
    }

    /// Products of bytes, added as 16 bits: the weights of 5 x 5 taps stay in 25 registers, which widened they would not.
    #[inline(always)]
    unsafe fn multiply(sums: Self::Deep, inputs: Self::Inputs, taps: Self::Taps) -> Self::Deep {
        // SAFETY: see the impl.
        unsafe {
            let low = vmull_s8(vget_low_s8(inputs), vget_low_s8(taps));
            let high = multiply_high(inputs, taps);
            [
                vaddw_s16(sums[0], vget_low_s16(low)),
                vaddw_high_s16(sums[1], low),
                vaddw_s16(sums[2], vget_low_s16(high)),
                vaddw_high_s16(sums[3], high),
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
        unsafe { Self::store(sums, panel, output, to, count) }
    }
}
