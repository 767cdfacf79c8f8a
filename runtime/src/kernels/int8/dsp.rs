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

    /// Subtracts `zero` from each, saturates to a byte, and puts the four side by side.
    #[inline(always)]
    pub(in crate::kernels::int8) fn pack([mut a, b, c, d]: [i32; 4], zero: i32) -> u32 {
        // SAFETY: as for `dot`.
        unsafe {
            asm!(
                "qsub {a}, {a}, {zero}",
                "ssat {a}, #8, {a}",
                "qsub {b}, {b}, {zero}",
                "ssat {b}, #8, {b}",
                "bfi {a}, {b}, #8, #24",
                "qsub {c}, {c}, {zero}",
                "ssat {c}, #8, {c}",
                "bfi {a}, {c}, #16, #16",
                "qsub {d}, {d}, {zero}",
                "ssat {d}, #8, {d}",
                "bfi {a}, {d}, #24, #8",
                a = inout(reg) a, b = inout(reg) b => _, c = inout(reg) c => _, d = inout(reg) d => _,
                zero = in(reg) zero,
                options(pure, nomem, nostack));
        }
        a as u32
    }

    /// Bounds each of four bytes by that of `min` and that of `max`.
    #[inline(always)]
    pub(in crate::kernels::int8) fn clamp(mut bytes: u32, min: u32, max: u32) -> u32 {
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

    /// [`multiply_four`] of a window of 3 x 3, `step` bytes apart in a row. Its weights are in rows of five, and
    /// [`ROW_STEP`](super::ROW_STEP) behind the first there is how many bytes further the next row of inputs begins: there
    /// is no register left for that.
    ///
    /// # Safety
    /// As for [`multiply_four`], for all nine, and the step is there.
    #[inline(always)]
    pub(in crate::kernels::int8) unsafe fn multiply_nine_taps(
        [mut a, mut b, mut c, mut d]: [i32; 4],
        from: *const i8,
        step: usize,
        offset: u32,
        weights: *const Halves,
    ) -> [i32; 4] {
        macro_rules! tap {
            ($from:literal, $weights:literal) => {
                concat!(
                    "ldr {word}, ",
                    $from,
                    "\n",
                    "ldrd {even}, {odd}, ",
                    $weights,
                    "\n",
                    "sxtab16 {halves}, {offset}, {word}\n",
                    "sxtab16 {word}, {offset}, {word}, ror #8\n",
                    "smlabb {a}, {halves}, {even}, {a}\n",
                    "smlatt {c}, {halves}, {even}, {c}\n",
                    "smlabb {b}, {word}, {odd}, {b}\n",
                    "smlatt {d}, {word}, {odd}, {d}\n",
                )
            };
        }
        // SAFETY: as for `multiply_four`.
        unsafe {
            asm!(
                tap!("[{from}]", "[{weights}, #0]"),
                tap!("[{from}, {step}]", "[{weights}, #8]"),
                tap!("[{from}, {step}, lsl #1]", "[{weights}, #16]"),
                "ldr {word}, [{weights}, #{row_step}]",
                "add {from}, {from}, {word}",
                tap!("[{from}]", "[{weights}, #40]"),
                tap!("[{from}, {step}]", "[{weights}, #48]"),
                tap!("[{from}, {step}, lsl #1]", "[{weights}, #56]"),
                "ldr {word}, [{weights}, #{row_step}]",
                "add {from}, {from}, {word}",
                tap!("[{from}]", "[{weights}, #80]"),
                tap!("[{from}, {step}]", "[{weights}, #88]"),
                tap!("[{from}, {step}, lsl #1]", "[{weights}, #96]"),
                from = inout(reg) from => _, step = in(reg) step,
                offset = in(reg) offset, weights = in(reg) weights,
                row_step = const super::ROW_STEP * size_of::<Halves>(),
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
    pub(in crate::kernels::int8) fn pack(values: [i32; 4], zero: i32) -> u32 {
        let byte = |value: i32| value.saturating_sub(zero).clamp(-128, 127) as u8;
        u32::from_le_bytes(values.map(byte))
    }

    #[inline(always)]
    pub(in crate::kernels::int8) fn clamp(bytes: u32, min: u32, max: u32) -> u32 {
        let [min, max] = [min, max].map(|bound| bound as i8);
        let bounded = |byte: u8| (byte as i8).max(min).min(max) as u8;
        u32::from_le_bytes(bytes.to_le_bytes().map(bounded))
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

    #[inline(always)]
    pub(in crate::kernels::int8) unsafe fn multiply_nine_taps(
        mut sums: [i32; 4],
        mut from: *const i8,
        step: usize,
        offset: u32,
        weights: *const Halves,
    ) -> [i32; 4] {
        for row in 0..3 {
            let (mut tap, mut tap_weights) = (from, weights.wrapping_add(5 * row));
            for _ in 0..3 {
                // SAFETY: by the caller's promise.
                sums = unsafe { multiply_four(sums, &mut tap, step, offset, &mut tap_weights) };
            }
            // SAFETY: by the caller's promise.
            let [row_step, _] = unsafe { weights.add(super::ROW_STEP).read() };
            from = from.wrapping_add(row_step as usize);
        }
        sums
    }
}

use instructions::{clamp, pack};
pub(super) use instructions::{dot, multiply_four, multiply_nine_taps, unpack};

/// Four bytes as halves of 16 bits: bytes 0 and 2, then 1 and 3.
pub(super) type Halves = [u32; 2];

/// From the first weights of [`multiply_nine_taps`] to the bytes between rows of inputs, in entries: as many as three rows
/// and columns have with a frame of one around them.
pub(super) const ROW_STEP: usize = 25;

/// Reads four bytes, wherever they begin.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(super) unsafe fn read(from: *const i8) -> u32 {
    // SAFETY: by the caller's promise.
    u32::from_le(unsafe { from.cast::<u32>().read_unaligned() })
}

/// The bits of `values * multipliers + addend`, each step rounded on its own.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
#[inline(always)]
fn multiply_add(
    [mut a, mut b, mut c, mut d]: [i32; 4],
    multipliers: &[f32; 4],
    addend: f32,
) -> [i32; 4] {
    // SAFETY: the ABI says that the CPU has the instructions, which read the multipliers and touch nothing but their
    // operands. One block: the compiler would move values from and to the integer registers one by one.
    unsafe {
        core::arch::asm!(
            "vldm {multipliers}, {{s4, s5, s6, s7}}",
            "vmov s0, s1, {a}, {b}",
            "vmov s2, s3, {c}, {d}",
            "vmov s8, {addend}",
            "vcvt.f32.s32 s0, s0",
            "vcvt.f32.s32 s1, s1",
            "vcvt.f32.s32 s2, s2",
            "vcvt.f32.s32 s3, s3",
            "vmul.f32 s0, s0, s4",
            "vmul.f32 s1, s1, s5",
            "vmul.f32 s2, s2, s6",
            "vmul.f32 s3, s3, s7",
            "vadd.f32 s0, s0, s8",
            "vadd.f32 s1, s1, s8",
            "vadd.f32 s2, s2, s8",
            "vadd.f32 s3, s3, s8",
            "vmov {a}, {b}, s0, s1",
            "vmov {c}, {d}, s2, s3",
            a = inout(reg) a, b = inout(reg) b, c = inout(reg) c, d = inout(reg) d,
            multipliers = in(reg) multipliers, addend = in(reg) addend.to_bits(),
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _,
            out("s5") _, out("s6") _, out("s7") _, out("s8") _,
            options(pure, readonly, nostack));
    }
    [a, b, c, d]
}

#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
#[inline(always)]
fn multiply_add(values: [i32; 4], multipliers: &[f32; 4], addend: f32) -> [i32; 4] {
    core::array::from_fn(|i| (values[i] as f32 * multipliers[i] + addend).to_bits() as i32)
}

/// The requantisation rule in the order that takes least without vectors: rounds, adds the zero point, saturates.
#[derive(Clone, Copy)]
pub(super) struct Requantize {
    /// What a rounded value's bits count from.
    pub(super) zero: i32,
    /// The least and the greatest byte, four times each, unless they are those of any byte.
    bounds: Option<[u32; 2]>,
}

impl Requantize {
    /// Beside it an f32 has no room for a fraction (`round_ties_even`), and its bits count on as integers do.
    pub(super) const NO_FRACTION: f32 = 12_582_912.0;

    pub(super) fn new(output: Quantized) -> Self {
        let bounds = [output.min, output.max];
        Self {
            zero: Self::NO_FRACTION.to_bits() as i32 - i32::from(output.zero_point),
            bounds: (bounds != [i8::MIN, i8::MAX])
                .then(|| bounds.map(|bound| u32::from_le_bytes([bound as u8; 4]))),
        }
    }

    /// Four channels from sums with their bias.
    #[inline(always)]
    pub(super) fn four(self, sums: [i32; 4], multipliers: &[f32; 4]) -> [i8; 4] {
        // A value with another exponent or sign has bits beyond any byte, on its side.
        let rounded = multiply_add(sums, multipliers, Self::NO_FRACTION);
        self.bound(pack(rounded, self.zero))
    }

    /// Keeps four bytes to the bounds.
    #[inline(always)]
    pub(super) fn bound(self, mut bytes: u32) -> [i8; 4] {
        if let Some([min, max]) = self.bounds {
            bytes = clamp(bytes, min, max);
        }
        let [a, b, c, d] = bytes.to_le_bytes();
        [a as i8, b as i8, c as i8, d as i8]
    }
}
