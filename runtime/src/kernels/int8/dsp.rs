//! What the kernels of Cortex-M compute with: words of four bytes or of two halves of 16 bits.
//!
//! Each function is one instruction of the DSP extension, and its twin in plain Rust where there is none: smaller cores,
//! and the tests on the host, run the same kernels.

use super::Quantized;

#[cfg(arm_dsp)]
mod instructions {
    use core::arch::asm;

    /// Bytes 0 and 2, as 16 bits.
    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtb16(word: u32) -> u32 {
        let halves;
        // SAFETY: `arm_dsp` says that the CPU has the instruction, which touches nothing but its operands.
        unsafe {
            asm!("sxtb16 {halves}, {word}", halves = lateout(reg) halves, word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
        }
        halves
    }

    /// Bytes 1 and 3, as 16 bits.
    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtb16_ror8(word: u32) -> u32 {
        let halves;
        // SAFETY: as above.
        unsafe {
            asm!("sxtb16 {halves}, {word}, ror #8", halves = lateout(reg) halves, word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
        }
        halves
    }

    /// Bytes 0 and 2, as 16 bits, added to the halves of a word.
    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtab16(halves: u32, word: u32) -> u32 {
        let sum;
        // SAFETY: as above.
        unsafe {
            asm!("sxtab16 {sum}, {halves}, {word}",
                sum = lateout(reg) sum, halves = in(reg) halves, word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }

    /// As [`sxtab16`] with bytes 1 and 3.
    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtab16_ror8(halves: u32, word: u32) -> u32 {
        let sum;
        // SAFETY: as above.
        unsafe {
            asm!("sxtab16 {sum}, {halves}, {word}, ror #8",
                sum = lateout(reg) sum, halves = in(reg) halves, word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }

    /// Adds the products of both halves.
    #[inline(always)]
    pub(in crate::kernels::int8) fn smlad(mut sum: i32, left: u32, right: u32) -> i32 {
        // SAFETY: as above, but it sets a flag when the sum overflows.
        unsafe {
            asm!("smlad {sum}, {left}, {right}, {sum}",
                sum = inlateout(reg) sum, left = in(reg) left, right = in(reg) right,
                options(pure, nomem, nostack));
        }
        sum
    }

    /// Adds the product of the lower halves.
    #[inline(always)]
    pub(in crate::kernels::int8) fn smlabb(mut sum: i32, left: u32, right: u32) -> i32 {
        // SAFETY: as for `smlad`.
        unsafe {
            asm!("smlabb {sum}, {left}, {right}, {sum}",
                sum = inlateout(reg) sum, left = in(reg) left, right = in(reg) right,
                options(pure, nomem, nostack));
        }
        sum
    }

    /// Adds the product of the upper halves.
    #[inline(always)]
    pub(in crate::kernels::int8) fn smlatt(mut sum: i32, left: u32, right: u32) -> i32 {
        // SAFETY: as for `smlad`.
        unsafe {
            asm!("smlatt {sum}, {left}, {right}, {sum}",
                sum = inlateout(reg) sum, left = in(reg) left, right = in(reg) right,
                options(pure, nomem, nostack));
        }
        sum
    }
}

#[cfg(not(arm_dsp))]
mod instructions {
    /// The lower half.
    fn low(word: u32) -> i32 {
        i32::from(word as i16)
    }

    /// The upper half.
    fn high(word: u32) -> i32 {
        word as i32 >> 16
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtb16(word: u32) -> u32 {
        sxtab16(0, word)
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtb16_ror8(word: u32) -> u32 {
        sxtab16_ror8(0, word)
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtab16(halves: u32, word: u32) -> u32 {
        let add = |half: i32, byte: u32| (half + i32::from(byte as i8)) as u16;
        u32::from(add(high(halves), word >> 16)) << 16 | u32::from(add(low(halves), word))
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtab16_ror8(halves: u32, word: u32) -> u32 {
        sxtab16(halves, word >> 8)
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn smlad(sum: i32, left: u32, right: u32) -> i32 {
        smlatt(smlabb(sum, left, right), left, right)
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn smlabb(sum: i32, left: u32, right: u32) -> i32 {
        sum.wrapping_add(low(left) * low(right))
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn smlatt(sum: i32, left: u32, right: u32) -> i32 {
        sum.wrapping_add(high(left) * high(right))
    }
}

pub(super) use instructions::{smlabb, smlad, smlatt};
use instructions::{sxtab16, sxtab16_ror8, sxtb16, sxtb16_ror8};

/// Four bytes as halves of 16 bits: bytes 0 and 2, then 1 and 3.
pub(super) type Halves = [u32; 2];

/// Unpacks four bytes.
#[inline(always)]
pub(super) fn unpack(word: u32) -> Halves {
    [sxtb16(word), sxtb16_ror8(word)]
}

/// Unpacks four bytes and adds to them the halves of `offset`.
#[inline(always)]
pub(super) fn unpack_add(word: u32, offset: u32) -> Halves {
    [sxtab16(offset, word), sxtab16_ror8(offset, word)]
}

/// Reads four bytes, wherever they begin.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(super) unsafe fn read(from: *const i8) -> u32 {
    // SAFETY: by the caller's promise.
    u32::from_le(unsafe { from.cast::<u32>().read_unaligned() })
}

/// The requantisation rule in the order that takes least without vectors: rounds, saturates, adds the zero point.
#[derive(Clone, Copy)]
pub(super) struct Requantize {
    zero_point: u8,
    /// The bounds as bits of a rounded value.
    min: i32,
    max: i32,
}

impl Requantize {
    /// Beside it an f32 has no room for a fraction (`round_ties_even`), and its bits, the last of which are zeros, count
    /// on as integers do.
    const NO_FRACTION: f32 = 12_582_912.0;

    pub(super) fn new(output: Quantized) -> Self {
        let zero = Self::NO_FRACTION.to_bits() as i32 - i32::from(output.zero_point);
        Self {
            zero_point: output.zero_point as u8,
            min: zero + i32::from(output.min),
            max: zero + i32::from(output.max),
        }
    }

    /// Writes as many of the channels as there is room for in `out`, from sums with their bias.
    #[inline(always)]
    pub(super) fn store<const N: usize>(
        self,
        sums: [i32; N],
        multipliers: &[f32; N],
        out: &mut [i8],
    ) {
        let bytes = core::array::from_fn(|i| self.apply(sums[i], multipliers[i]));
        match out.first_chunk_mut::<N>() {
            Some(out) => *out = bytes,
            None => out.copy_from_slice(&bytes[..out.len()]),
        }
    }

    #[inline(always)]
    fn apply(self, sum: i32, multiplier: f32) -> i8 {
        // A value with another exponent or sign has bits beyond the bounds, on its side.
        let rounded = (sum as f32 * multiplier + Self::NO_FRACTION).to_bits() as i32;
        let saturated = rounded.max(self.min).min(self.max);
        (saturated as u8).wrapping_add(self.zero_point) as i8
    }
}
