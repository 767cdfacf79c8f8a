//! What the kernels of Cortex-M compute with: words of four bytes or of two halves of 16 bits.
//!
//! Each function is an instruction or two of the DSP extension, and has a twin in plain Rust where there is none: smaller
//! cores, and the tests on the host, run the same kernels.

use super::Quantized;

#[cfg(arm_dsp)]
mod instructions {
    use core::arch::asm;

    use super::Halves;

    /// Unpacks four bytes.
    #[inline(always)]
    pub(in crate::kernels::int8) fn unpack(word: u32) -> Halves {
        let (even, odd);
        // SAFETY: `arm_dsp` says that the CPU has the instructions, which touch nothing but their operands.
        unsafe {
            asm!(
                "sxtb16 {even}, {odd}",
                "sxtb16 {odd}, {odd}, ror #8",
                even = out(reg) even, odd = inout(reg) word => odd,
                options(pure, nomem, nostack, preserves_flags));
        }
        [even, odd]
    }

    /// Adds the products of four inputs and weights.
    #[inline(always)]
    pub(in crate::kernels::int8) fn dot(mut sum: i32, inputs: Halves, weights: Halves) -> i32 {
        // SAFETY: as above, but for a flag that is set when the sum overflows.
        unsafe {
            asm!(
                "smlad {sum}, {a}, {b}, {sum}",
                "smlad {sum}, {c}, {d}, {sum}",
                sum = inout(reg) sum,
                a = in(reg) inputs[0], b = in(reg) weights[0],
                c = in(reg) inputs[1], d = in(reg) weights[1],
                options(pure, nomem, nostack));
        }
        sum
    }

    /// Adds the products of four bytes, plus the halves of `offset`, and four weights; goes on to the next weights and
    /// `step` bytes further.
    ///
    /// One block: the compiler would load inputs and weights of many taps at once, and keep them on the stack.
    ///
    /// # Safety
    /// Four bytes and the weights are there.
    #[inline(always)]
    pub(in crate::kernels::int8) unsafe fn multiply_four(
        [mut a, mut b, mut c, mut d]: [i32; 4],
        from: &mut *const i8,
        step: usize,
        offset: u32,
        weights: &mut *const Halves,
    ) -> [i32; 4] {
        // SAFETY: as for `dot`; it reads what the caller promises.
        unsafe {
            asm!(
                "ldr {word}, [{from}]",
                "add {from}, {from}, {step}",
                "ldrd {even}, {odd}, [{weights}], #8",
                "sxtab16 {halves}, {offset}, {word}",
                "sxtab16 {word}, {offset}, {word}, ror #8",
                "smlabb {a}, {halves}, {even}, {a}",
                "smlatt {c}, {halves}, {even}, {c}",
                "smlabb {b}, {word}, {odd}, {b}",
                "smlatt {d}, {word}, {odd}, {d}",
                from = inout(reg) *from, step = in(reg) step,
                offset = in(reg) offset, weights = inout(reg) *weights,
                a = inout(reg) a, b = inout(reg) b, c = inout(reg) c, d = inout(reg) d,
                word = out(reg) _, even = out(reg) _, odd = out(reg) _, halves = out(reg) _,
                options(pure, readonly, nostack));
        }
        [a, b, c, d]
    }
}

#[cfg(not(arm_dsp))]
mod instructions {
    use super::Halves;

    /// The lower half.
    fn low(word: u32) -> i32 {
        i32::from(word as i16)
    }

    /// The upper half.
    fn high(word: u32) -> i32 {
        word as i32 >> 16
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn unpack(word: u32) -> Halves {
        let halves = |word: u32| {
            let [low, high] = [word, word >> 16].map(|half| u32::from(half as i8 as u16));
            high << 16 | low
        };
        [halves(word), halves(word >> 8)]
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn dot(sum: i32, inputs: Halves, weights: Halves) -> i32 {
        let pairs = inputs.iter().zip(weights);
        pairs.fold(sum, |sum, (&a, b)| {
            let products = low(a) * low(b) + high(a) * high(b);
            sum.wrapping_add(products)
        })
    }

    #[inline(always)]
    pub(in crate::kernels::int8) unsafe fn multiply_four(
        sums: [i32; 4],
        from: &mut *const i8,
        step: usize,
        offset: u32,
        weights: &mut *const Halves,
    ) -> [i32; 4] {
        // SAFETY: by the caller's promise.
        let (word, [even, odd]) = unsafe { (super::read(*from), **weights) };
        *from = from.wrapping_add(step);
        *weights = weights.wrapping_add(1);
        let weights = [low(even), low(odd), high(even), high(odd)];
        core::array::from_fn(|i| {
            let input = i32::from((word >> (8 * i)) as i8) + low(offset);
            sums[i].wrapping_add(input * weights[i])
        })
    }
}

pub(super) use instructions::{dot, multiply_four, unpack};

/// Four bytes as halves of 16 bits: bytes 0 and 2, then 1 and 3.
pub(super) type Halves = [u32; 2];

/// Reads four bytes, wherever they begin.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(super) unsafe fn read(from: *const i8) -> u32 {
    // SAFETY: by the caller's promise.
    u32::from_le(unsafe { from.cast::<u32>().read_unaligned() })
}

/// The requantisation rule in the order that takes least without vectors: rounds, adds the zero point, saturates.
#[derive(Clone, Copy)]
pub(super) struct Requantize {
    output: Quantized,
    /// What a rounded value's bits count from.
    zero: i32,
}

impl Requantize {
    /// Beside it an f32 has no room for a fraction (`round_ties_even`), and its bits count on as integers do.
    const NO_FRACTION: f32 = 12_582_912.0;

    pub(super) fn new(output: Quantized) -> Self {
        Self {
            output,
            zero: Self::NO_FRACTION.to_bits() as i32 - i32::from(output.zero_point),
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
        let Quantized { min, max, .. } = self.output;
        let mut bytes = core::array::from_fn(|i| self.apply(sums[i], multipliers[i]));
        if (min, max) != (i8::MIN, i8::MAX) {
            bytes = bytes.map(|byte: i8| byte.max(min).min(max));
        }
        match out.first_chunk_mut::<N>() {
            Some(out) => *out = bytes,
            None => out.copy_from_slice(&bytes[..out.len()]),
        }
    }

    /// The output of one channel, but for the bounds.
    #[inline(always)]
    fn apply(self, sum: i32, multiplier: f32) -> i8 {
        // A value with another exponent or sign has bits beyond any byte, on its side.
        let rounded = (sum as f32 * multiplier + Self::NO_FRACTION).to_bits() as i32;
        rounded.saturating_sub(self.zero).clamp(-128, 127) as i8
    }
}
