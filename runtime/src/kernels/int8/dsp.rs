//! What the kernels of Cortex-M compute with: words of four bytes or of two halves of 16 bits.
//!
//! Each function is one instruction of the DSP extension, and its twin in plain Rust where there is none: smaller cores,
//! and the tests on the host, run the same kernels.

use super::{Quantized, RequantizePanel};

#[cfg(arm_dsp)]
mod instructions {
    use core::arch::asm;

    /// A function of one or two words, or one that adds to a sum: nothing but its operands is touched. No sum of a
    /// kernel can overflow, which alone would set a flag.
    macro_rules! instruction {
        ($(#[$doc:meta])* $name:ident($word:ident), $assembly:literal) => {
            $(#[$doc])*
            #[inline(always)]
            pub(in crate::kernels::int8) fn $name($word: u32) -> u32 {
                let result;
                // SAFETY: `arm_dsp` says that the CPU has the instruction; see the macro for its effects.
                unsafe {
                    asm!($assembly, result = lateout(reg) result, $word = in(reg) $word,
                        options(pure, nomem, nostack, preserves_flags));
                }
                result
            }
        };
        ($(#[$doc:meta])* $name:ident($sum:ident, $left:ident, $right:ident), $assembly:literal) => {
            $(#[$doc])*
            #[inline(always)]
            pub(in crate::kernels::int8) fn $name($sum: i32, $left: u32, $right: u32) -> i32 {
                let result;
                // SAFETY: `arm_dsp` says that the CPU has the instruction; see the macro for its effects.
                unsafe {
                    asm!($assembly, result = lateout(reg) result,
                        $sum = in(reg) $sum, $left = in(reg) $left, $right = in(reg) $right,
                        options(pure, nomem, nostack, preserves_flags));
                }
                result
            }
        };
    }

    instruction!(
        /// Bytes 0 and 2, as 16 bits.
        sxtb16(word), "sxtb16 {result}, {word}"
    );
    instruction!(
        /// Bytes 1 and 3, as 16 bits.
        sxtb16_ror8(word), "sxtb16 {result}, {word}, ror #8"
    );
    instruction!(
        /// Adds the products of both halves.
        smlad(sum, left, right), "smlad {result}, {left}, {right}, {sum}"
    );
    instruction!(
        /// Adds the product of the lower halves.
        smlabb(sum, left, right), "smlabb {result}, {left}, {right}, {sum}"
    );
    instruction!(
        /// Adds the product of the upper halves.
        smlatt(sum, left, right), "smlatt {result}, {left}, {right}, {sum}"
    );
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
        let [low, high] = [word, word >> 16].map(|half| u32::from(half as i8 as u16));
        high << 16 | low
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn sxtb16_ror8(word: u32) -> u32 {
        sxtb16(word >> 8)
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

pub(super) use instructions::*;

/// Four bytes as halves of 16 bits: bytes 0 and 2, then 1 and 3.
pub(super) type Halves = [u32; 2];

/// Unpacks four bytes.
#[inline(always)]
pub(super) fn unpack(bytes: [u8; 4]) -> Halves {
    let word = u32::from_le_bytes(bytes);
    [sxtb16(word), sxtb16_ror8(word)]
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

    /// The output of one channel.
    #[inline(always)]
    pub(super) fn apply(self, acc: i32, panel: &RequantizePanel, lane: usize) -> i8 {
        let sum = acc.wrapping_add(panel.bias[lane]);
        // A value with another exponent or sign has bits beyond the bounds, on its side.
        let rounded = sum as f32 * panel.multiplier[lane] + Self::NO_FRACTION;
        let saturated = (rounded.to_bits() as i32).max(self.min).min(self.max);
        (saturated as u8).wrapping_add(self.zero_point) as i8
    }
}
