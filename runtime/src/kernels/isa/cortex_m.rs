//! Cortex-M: 32-bit words of four bytes or two halfwords, and the table of the int8 kernels that compute with them.
//!
//! Each function is an instruction or two of the DSP extension, and has a twin in plain Rust where there is none: smaller
//! cores, and the tests on the host, run the same kernels.

use super::Candidate;
use crate::kernels::f32;
use crate::kernels::int8::{self, conv, depthwise, pointwise};

/// For cores with few registers, with the DSP extension or without.
static CORTEX_M: int8::Kernels = int8::Kernels {
    name: match (cfg!(target_arch = "arm"), cfg!(arm_dsp)) {
        (true, true) => "cortex-m-dsp",
        (true, false) => "cortex-m",
        (false, _) => "cortex-m, emulated",
    },
    conv: conv::cortex_m::conv,
    depthwise: depthwise::cortex_m::depthwise,
    pointwise: pointwise::cortex_m::pointwise,
    linear: pointwise::cortex_m::linear,
    ..super::reference::REFERENCE_INT8
};

/// None: there are no f32 vectors.
pub(in crate::kernels) static F32: &[Candidate<f32::Kernels>] = &[];

pub(in crate::kernels) static INT8: &[Candidate<int8::Kernels>] = &[(&CORTEX_M, || true)];

#[cfg(arm_dsp)]
mod instructions {
    use core::arch::asm;

    use super::Halves;

    /// Unpacks four bytes.
    #[inline(always)]
    pub(in crate::kernels) fn unpack(word: u32) -> Halves {
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
    pub(in crate::kernels) fn dot(mut sum: i32, inputs: Halves, weights: Halves) -> i32 {
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

    /// Adds `zero` to each; saturates.
    #[inline(always)]
    pub(in crate::kernels) fn shift([mut a, mut b, mut c, mut d]: [i32; 4], zero: i32) -> [i32; 4] {
        // SAFETY: as for `dot`.
        unsafe {
            asm!(
                "qadd {a}, {a}, {zero}",
                "qadd {b}, {b}, {zero}",
                "qadd {c}, {c}, {zero}",
                "qadd {d}, {d}, {zero}",
                a = inout(reg) a, b = inout(reg) b, c = inout(reg) c, d = inout(reg) d,
                zero = in(reg) zero,
                options(pure, nomem, nostack));
        }
        [a, b, c, d]
    }

    /// Saturates each to 0 to 255, which become the bytes -128 to 127, and puts the four side by side.
    #[inline(always)]
    pub(in crate::kernels) fn pack([mut a, b, c, d]: [i32; 4]) -> u32 {
        // SAFETY: as for `dot`.
        unsafe {
            asm!(
                "usat {a}, #8, {a}",
                "usat {b}, #8, {b}",
                "usat {c}, #8, {c}",
                "usat {d}, #8, {d}",
                "orr {a}, {a}, {b}, lsl #8",
                "orr {a}, {a}, {c}, lsl #16",
                "orr {a}, {a}, {d}, lsl #24",
                "eor {a}, {a}, #0x80808080",
                a = inout(reg) a, b = inout(reg) b => _, c = inout(reg) c => _, d = inout(reg) d => _,
                options(pure, nomem, nostack));
        }
        a as u32
    }

    /// Bounds each of four bytes by that of `min` and that of `max`.
    #[inline(always)]
    pub(in crate::kernels) fn clamp(mut bytes: u32, min: u32, max: u32) -> u32 {
        // SAFETY: as for `dot`, but for the flags of bytes that compare as greater or equal.
        unsafe {
            asm!(
                "ssub8 {flags}, {bytes}, {min}",
                "sel {bytes}, {bytes}, {min}",
                "ssub8 {flags}, {max}, {bytes}",
                "sel {bytes}, {bytes}, {max}",
                bytes = inout(reg) bytes, min = in(reg) min, max = in(reg) max, flags = out(reg) _,
                options(pure, nomem, nostack));
        }
        bytes
    }

    /// Adds the products of four bytes, plus the halves of `offset`, and four weights; goes on to the next weights and
    /// `step` bytes further.
    ///
    /// One block: the compiler would load inputs and weights of many taps at once, and keep them on the stack.
    ///
    /// # Safety
    /// Four bytes and the weights are there.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn multiply_four(
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
    use super::{Halves, high, low};

    #[inline(always)]
    pub(in crate::kernels) fn unpack(word: u32) -> Halves {
        let halves = |word: u32| {
            let [low, high] = [word, word >> 16].map(|half| u32::from(half as i8 as u16));
            high << 16 | low
        };
        [halves(word), halves(word >> 8)]
    }

    #[inline(always)]
    pub(in crate::kernels) fn dot(sum: i32, inputs: Halves, weights: Halves) -> i32 {
        let pairs = inputs.iter().zip(weights);
        pairs.fold(sum, |sum, (&a, b)| {
            let products = low(a) * low(b) + high(a) * high(b);
            sum.wrapping_add(products)
        })
    }

    #[inline(always)]
    pub(in crate::kernels) fn shift(values: [i32; 4], zero: i32) -> [i32; 4] {
        values.map(|value| value.saturating_add(zero))
    }

    #[inline(always)]
    pub(in crate::kernels) fn pack(values: [i32; 4]) -> u32 {
        u32::from_le_bytes(values.map(|value| value.clamp(0, 255) as u8)) ^ 0x8080_8080
    }

    #[inline(always)]
    pub(in crate::kernels) fn clamp(bytes: u32, min: u32, max: u32) -> u32 {
        let [min, max] = [min, max].map(|bound| bound as i8);
        let bounded = |byte: u8| (byte as i8).max(min).min(max) as u8;
        u32::from_le_bytes(bytes.to_le_bytes().map(bounded))
    }

    #[inline(always)]
    pub(in crate::kernels) unsafe fn multiply_four(
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

pub(in crate::kernels) use instructions::{clamp, dot, multiply_four, pack, shift, unpack};

/// Four bytes as halves of 16 bits: bytes 0 and 2, then 1 and 3.
pub(in crate::kernels) type Halves = [u32; 2];

/// The lower half of a word.
#[inline(always)]
pub(in crate::kernels) fn low(word: u32) -> i32 {
    i32::from(word as i16)
}

/// The upper half of a word.
#[inline(always)]
pub(in crate::kernels) fn high(word: u32) -> i32 {
    word as i32 >> 16
}

/// Reads four bytes, wherever they begin.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(in crate::kernels) unsafe fn read(from: *const i8) -> u32 {
    // SAFETY: by the caller's promise.
    u32::from_le(unsafe { from.cast::<u32>().read_unaligned() })
}
