//! The requantisation of Cortex-M, four channels at a time.

use crate::kernels::int8::Quantized;
use crate::kernels::isa::cortex_m::{clamp, pack, shift};

/// `values * multipliers`, each step rounded on its own, at last to integers as the FPU does by default: ties to even,
/// and what is beyond an i32 to the end of its range.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
#[inline(always)]
fn multiply([mut a, mut b, mut c, mut d]: [i32; 4], multipliers: &[f32; 4]) -> [i32; 4] {
    // SAFETY: the ABI says that the CPU has the instructions, which read the multipliers and touch nothing but their
    // operands. One block: the compiler would move values from and to the integer registers one by one.
    unsafe {
        core::arch::asm!(
            "vldm {multipliers}, {{s4, s5, s6, s7}}",
            "vmov s0, s1, {a}, {b}",
            "vmov s2, s3, {c}, {d}",
            "vcvt.f32.s32 s0, s0",
            "vcvt.f32.s32 s1, s1",
            "vcvt.f32.s32 s2, s2",
            "vcvt.f32.s32 s3, s3",
            "vmul.f32 s0, s0, s4",
            "vmul.f32 s1, s1, s5",
            "vmul.f32 s2, s2, s6",
            "vmul.f32 s3, s3, s7",
            "vcvtr.s32.f32 s0, s0",
            "vcvtr.s32.f32 s1, s1",
            "vcvtr.s32.f32 s2, s2",
            "vcvtr.s32.f32 s3, s3",
            "vmov {a}, {b}, s0, s1",
            "vmov {c}, {d}, s2, s3",
            a = inout(reg) a, b = inout(reg) b, c = inout(reg) c, d = inout(reg) d,
            multipliers = in(reg) multipliers,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _,
            out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            options(pure, readonly, nostack));
    }
    [a, b, c, d]
}

/// The same plus [`ZERO`], in the bits of an f32. A value with another exponent or sign has bits beyond any byte, on its
/// side.
#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
#[inline(always)]
fn multiply(values: [i32; 4], multipliers: &[f32; 4]) -> [i32; 4] {
    let no_fraction = f32::from_bits(ZERO as u32);
    core::array::from_fn(|i| (values[i] as f32 * multipliers[i] + no_fraction).to_bits() as i32)
}

/// What [`multiply`] makes of 0.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
const ZERO: i32 = 0;

/// What [`multiply`] makes of 0: beside this value an f32 has no room for a fraction (`round_ties_even`), and its bits count
/// on as integers do.
#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
const ZERO: i32 = 12_582_912.0_f32.to_bits() as i32;

/// The requantisation rule in the order that takes least without vectors: rounds, adds the zero point, saturates.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Requantize {
    /// None where rounded values saturated to 0 to 255 are the output, as after a ReLU.
    pub(in crate::kernels) range: Option<Range>,
}

/// How rounded values become bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::kernels) struct Range {
    /// What is added to a rounded value before it is saturated to 0 to 255.
    zero: i32,
    /// The least byte, four times.
    min: u32,
    /// The greatest byte, four times.
    max: u32,
}

impl Requantize {
    pub(in crate::kernels) fn new(output: Quantized) -> Self {
        let zero = i32::from(output.zero_point) - i32::from(i8::MIN) - ZERO;
        let bounds = [output.min, output.max];
        let [min, max] = bounds.map(|bound| u32::from_le_bytes([bound as u8; 4]));
        Self {
            range: (zero != 0 || bounds != [i8::MIN, i8::MAX]).then_some(Range { zero, min, max }),
        }
    }

    /// Four channels from sums with their bias.
    #[inline(always)]
    pub(in crate::kernels) fn four(&self, sums: [i32; 4], multipliers: &[f32; 4]) -> [i8; 4] {
        let rounded = multiply(sums, multipliers);
        let bytes = match self.range {
            None => pack(rounded),
            Some(Range { zero, min, max }) => clamp(pack(shift(rounded, zero)), min, max),
        };
        let [a, b, c, d] = bytes.to_le_bytes();
        [a as i8, b as i8, c as i8, d as i8]
    }
}
