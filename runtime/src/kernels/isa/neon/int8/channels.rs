//! One byte of each of sixteen channels: what both kinds of panels read, write and multiply in a depthwise layer.

use core::arch::aarch64::*;

use crate::kernels::int8::Quantized;

/// Sixteen sums, four in each vector, in the order of the channels.
pub(super) type Ordered = [int32x4_t; 4];

/// Reads sixteen values of a table.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
pub(super) unsafe fn ordered(values: &[i32; 16]) -> Ordered {
    let values = values.as_ptr();
    // SAFETY: by the caller's promise.
    unsafe {
        [
            vld1q_s32(values),
            vld1q_s32(values.add(4)),
            vld1q_s32(values.add(8)),
            vld1q_s32(values.add(12)),
        ]
    }
}

/// Reads the first `count` bytes; others are 0.
///
/// # Safety
/// The pointer is good for them; the CPU has NEON.
#[inline(always)]
pub(super) unsafe fn load(from: *const i8, count: usize) -> int8x16_t {
    // SAFETY: by the caller's promise; no more than `count` bytes are read.
    unsafe {
        if count >= 16 {
            return vld1q_s8(from);
        }
        let (mut bytes, mut done) = ([0i8; 16], 0);
        // Lengths that the compiler knows: no call.
        for length in [8, 4, 2, 1] {
            if count & length != 0 {
                let to = bytes.as_mut_ptr().add(done);
                from.add(done).copy_to_nonoverlapping(to, length);
                done += length;
            }
        }
        vld1q_s8(bytes.as_ptr())
    }
}

/// Writes the first `count` bytes.
///
/// # Safety
/// The pointer is good for them; the CPU has NEON.
#[inline(always)]
pub(super) unsafe fn store(bytes: int8x16_t, mut to: *mut i8, count: usize) {
    // SAFETY: by the caller's promise; no more than `count` bytes are written.
    unsafe {
        if count >= 16 {
            return vst1q_s8(to, bytes);
        }
        let mut rest = bytes;
        if count & 8 != 0 {
            vst1_s8(to, vget_low_s8(rest));
            (to, rest) = (to.add(8), vextq_s8::<8>(rest, rest));
        }
        if count & 4 != 0 {
            let word = vgetq_lane_s32::<0>(vreinterpretq_s32_s8(rest));
            to.cast::<i32>().write_unaligned(word);
            (to, rest) = (to.add(4), vextq_s8::<4>(rest, rest));
        }
        if count & 2 != 0 {
            let half = vgetq_lane_s16::<0>(vreinterpretq_s16_s8(rest));
            to.cast::<i16>().write_unaligned(half);
            (to, rest) = (to.add(2), vextq_s8::<2>(rest, rest));
        }
        if count & 1 != 0 {
            to.write(vgetq_lane_s8::<0>(rest));
        }
    }
}

/// Keeps saturated bytes to the bounds of the output.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
pub(super) unsafe fn clamp(bytes: int8x16_t, output: Quantized) -> int8x16_t {
    // SAFETY: by the caller's promise.
    unsafe {
        let bytes = vmaxq_s8(bytes, vdupq_n_s8(output.min));
        vminq_s8(bytes, vdupq_n_s8(output.max))
    }
}

/// Adds two products of each channel: their sum fits 16 bits, since no weight is -128. The weights of 5 x 5 taps stay in
/// 26 registers, which widened they would not.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
pub(super) unsafe fn multiply(
    sums: Ordered,
    inputs: [int8x16_t; 2],
    taps: [int8x16_t; 2],
) -> Ordered {
    // SAFETY: by the caller's promise.
    unsafe {
        let low = vmull_s8(vget_low_s8(inputs[0]), vget_low_s8(taps[0]));
        let high = multiply_high(inputs[0], taps[0]);
        let low = vmlal_s8(low, vget_low_s8(inputs[1]), vget_low_s8(taps[1]));
        let high = multiply_add_high(high, inputs[1], taps[1]);
        [
            vaddw_s16(sums[0], vget_low_s16(low)),
            vaddw_high_s16(sums[1], low),
            vaddw_s16(sums[2], vget_low_s16(high)),
            vaddw_high_s16(sums[3], high),
        ]
    }
}

/// The products of the upper halves. From the intrinsic, the compiler keeps the halves of weights in registers of their
/// own, which are twice as many.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
pub(super) unsafe fn multiply_high(left: int8x16_t, right: int8x16_t) -> int16x8_t {
    let product;
    // SAFETY: by the caller's promise; the instruction touches nothing but its operands.
    unsafe {
        core::arch::asm!(
            "smull2 {product:v}.8h, {left:v}.16b, {right:v}.16b",
            product = lateout(vreg) product, left = in(vreg) left, right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    product
}

/// Adds the products of the upper halves, as [`multiply_high`].
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
pub(super) unsafe fn multiply_add_high(
    mut sums: int16x8_t,
    left: int8x16_t,
    right: int8x16_t,
) -> int16x8_t {
    // SAFETY: by the caller's promise; the instruction touches nothing but its operands.
    unsafe {
        core::arch::asm!(
            "smlal2 {sums:v}.8h, {left:v}.16b, {right:v}.16b",
            sums = inout(vreg) sums, left = in(vreg) left, right = in(vreg) right,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
