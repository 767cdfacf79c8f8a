//! Panels without the dot product, as on Cortex-A53 and A72: products of bytes, in pairs that fit 16 bits.

use core::arch::aarch64::*;

use super::channels::{self, Ordered, clamp, multiply_add_high, multiply_high, ordered};
use crate::kernels::int8::{Quantized, RequantizePanel};
use crate::kernels::isa::lanes::{Depthwise, Lanes};

/// NEON without its dot product.
#[derive(Clone, Copy)]
pub(super) struct Plain;

/// Adds a half of a vector of products to two sums of each of two channels.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn add<const ROWS: usize>(
    sums: &mut [[int32x4_t; 8]; ROWS],
    products: &[[int16x8_t; 2]; ROWS],
    at: usize,
) {
    for (sums, &[low, high]) in sums.iter_mut().zip(products) {
        // SAFETY: by the caller's promise.
        unsafe {
            sums[at] = vpadalq_s16(sums[at], low);
            sums[at + 1] = vpadalq_s16(sums[at + 1], high);
        }
    }
}

/// Requantises four channels from the given one, saturated to 32 bits, before the zero point.
///
/// # Safety
/// The panel has them; the CPU has NEON.
#[inline(always)]
unsafe fn requantize(sums: int32x4_t, panel: &RequantizePanel, channel: usize) -> int32x4_t {
    // SAFETY: by the caller's promise. Conversion of sums rounds as the control register says, which Rust keeps at
    // nearest, ties to even.
    unsafe {
        let multiplier = vld1q_f32(panel.multiplier.as_ptr().add(channel));
        vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), multiplier))
    }
}

// SAFETY of all methods: the caller vouches for the instruction set and the pointers (see the trait).
impl Lanes for Plain {
    const OFFSET: u8 = 0;
    const QUADS: usize = 2;
    /// Each quad four times.
    type Quads = [int8x16_t; 2];
    /// Two sums a channel, side by side.
    type Sums = [int32x4_t; 8];

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: see the impl.
        [unsafe { vdupq_n_s32(0) }; 8]
    }

    #[inline(always)]
    unsafe fn start(panel: &RequantizePanel) -> Self::Sums {
        // SAFETY: see the impl. The second sum of a channel starts at zero.
        unsafe {
            let mut sums = Self::zero();
            for (i, sum) in sums.iter_mut().enumerate() {
                let bias = vld1_u32(panel.bias.as_ptr().cast::<u32>().add(2 * i));
                *sum = vreinterpretq_s32_u64(vmovl_u32(bias));
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn quads(from: *const u8, count: usize) -> Self::Quads {
        let from = from.cast::<i32>();
        // SAFETY: see the impl.
        unsafe {
            let first = vreinterpretq_s8_s32(vdupq_n_s32(from.read_unaligned()));
            match count == Self::QUADS {
                true => {
                    let second = vdupq_n_s32(from.add(1).read_unaligned());
                    [first, vreinterpretq_s8_s32(second)]
                }
                false => [first; 2],
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
        for i in 0..4 {
            // SAFETY: see the impl. Sums are exact, since weights are -127 to 127.
            unsafe {
                let weights = weights.add(16 * i);
                let first = vld1q_s8(weights);
                let mut products = [[vdupq_n_s16(0); 2]; ROWS];
                for ([low, high], inputs) in products.iter_mut().zip(inputs) {
                    *low = vmull_s8(vget_low_s8(inputs[0]), vget_low_s8(first));
                    *high = multiply_high(inputs[0], first);
                }
                if count == Self::QUADS {
                    let second = vld1q_s8(weights.add(64));
                    for ([low, high], inputs) in products.iter_mut().zip(inputs) {
                        *low = vmlal_s8(*low, vget_low_s8(inputs[1]), vget_low_s8(second));
                        *high = multiply_add_high(*high, inputs[1], second);
                    }
                }
                add(sums, &products, 2 * i);
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
        let [a, b, c, d, e, f, g, h] = sums;
        // SAFETY: see the impl.
        unsafe {
            let ordered = [
                vpaddq_s32(a, b),
                vpaddq_s32(c, d),
                vpaddq_s32(e, f),
                vpaddq_s32(g, h),
            ];
            Self::store_deep(ordered, panel, output, to, count);
        }
    }
}

// SAFETY of all methods: as above.
impl Depthwise for Plain {
    type Deep = Ordered;
    type Inputs = int8x16_t;
    type Taps = [int8x16_t; 2];

    #[inline(always)]
    unsafe fn deep(panel: &RequantizePanel) -> Self::Deep {
        // SAFETY: see the impl.
        unsafe { ordered(&panel.bias) }
    }

    #[inline(always)]
    unsafe fn inputs(from: *const i8, count: usize) -> Self::Inputs {
        // SAFETY: see the impl.
        unsafe { channels::load(from, count) }
    }

    #[inline(always)]
    unsafe fn taps([a, b]: [*const i8; 2]) -> Self::Taps {
        // SAFETY: see the impl.
        unsafe { [vld1q_s8(a), vld1q_s8(b)] }
    }

    #[inline(always)]
    unsafe fn multiply(
        sums: Self::Deep,
        inputs: [Self::Inputs; 2],
        taps: Self::Taps,
    ) -> Self::Deep {
        // SAFETY: see the impl. Sums are exact, since weights are -127 to 127.
        unsafe { channels::multiply(sums, inputs, taps) }
    }

    #[inline(always)]
    unsafe fn store_deep(
        sums: Self::Deep,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: see the impl. No closure: it would be a call.
        unsafe {
            let a = requantize(sums[0], panel, 0);
            let b = requantize(sums[1], panel, 4);
            let c = requantize(sums[2], panel, 8);
            let d = requantize(sums[3], panel, 12);
            let zero = vdupq_n_s16(output.zero_point.into());
            let low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a), b), zero);
            let high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(c), d), zero);
            let bytes = vqmovn_high_s16(vqmovn_s16(low), high);
            channels::store(clamp(bytes, output), to, count);
        }
    }
}
