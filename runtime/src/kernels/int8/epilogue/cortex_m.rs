//! The requantisation of Cortex-M, four channels at a time.

use crate::kernels::int8::Quantized;
use crate::kernels::isa::cortex_m::{clamp, pack};

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
pub(in crate::kernels) struct Requantize {
    /// What a rounded value's bits count from.
    pub(in crate::kernels) zero: i32,
    /// The least and the greatest byte, four times each, unless they are those of any byte.
    bounds: Option<[u32; 2]>,
}

impl Requantize {
    /// Beside it an f32 has no room for a fraction (`round_ties_even`), and its bits count on as integers do.
    pub(in crate::kernels) const NO_FRACTION: f32 = 12_582_912.0;

    pub(in crate::kernels) fn new(output: Quantized) -> Self {
        let bounds = [output.min, output.max];
        Self {
            zero: Self::NO_FRACTION.to_bits() as i32 - i32::from(output.zero_point),
            bounds: (bounds != [i8::MIN, i8::MAX])
                .then(|| bounds.map(|bound| u32::from_le_bytes([bound as u8; 4]))),
        }
    }

    /// Four channels from sums with their bias.
    #[inline(always)]
    pub(in crate::kernels) fn four(self, sums: [i32; 4], multipliers: &[f32; 4]) -> [i8; 4] {
        // A value with another exponent or sign has bits beyond any byte, on its side.
        let rounded = multiply_add(sums, multipliers, Self::NO_FRACTION);
        self.bound(pack(rounded, self.zero))
    }

    /// Keeps four bytes to the bounds.
    #[inline(always)]
    pub(in crate::kernels) fn bound(self, mut bytes: u32) -> [i8; 4] {
        if let Some([min, max]) = self.bounds {
            bytes = clamp(bytes, min, max);
        }
        let [a, b, c, d] = bytes.to_le_bytes();
        [a as i8, b as i8, c as i8, d as i8]
    }
}
