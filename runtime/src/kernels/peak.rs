//! What a core can do at most: loops of nothing but the multiply-adds of an instruction set, on registers.
//!
//! Twelve sums, each its own chain: more than the latency of a multiply-add times the units that compute them. The
//! instructions are spelt out, so that no compiler computes less.

use graft_patches::records::Dtype;

/// A loop of multiply-adds.
#[derive(Clone, Copy)]
pub struct Peak {
    /// Multiply-adds of one step.
    pub step: u64,
    run: fn(u64),
}

impl Peak {
    /// The loop with the instructions of these kernels, of which [`names`](super::names) says that the machine can run
    /// them. None for those that are plain Rust.
    pub fn of(dtype: Dtype, kernels: &str) -> Option<Self> {
        let peaks = match dtype {
            Dtype::F32 | Dtype::F16 => loops::F32,
            Dtype::I8 | Dtype::I8Half => loops::INT8,
        };
        let runs = super::names(dtype).contains(&kernels);
        let found = peaks.iter().find(|(names, _)| names.contains(&kernels));
        found.filter(|_| runs).map(|&(_, peak)| peak)
    }

    /// Computes `steps` (at least 1) steps.
    pub fn run(&self, steps: u64) {
        (self.run)(steps.max(1));
    }
}

/// The loops of a dtype, by the names of kernels.
type Loops = &'static [(&'static [&'static str], Peak)];

/// Twelve lines, each with the number of its sum between the two parts.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! twelve {
    ($before:literal, $after:literal) => {
        twelve!($before, $after, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    ($before:literal, $after:literal, $($sum:literal)*) => {
        concat!($($before, $sum, $after, "\n"),*)
    };
}

#[cfg(target_arch = "x86_64")]
mod loops {
    use core::arch::asm;

    use super::{Loops, Peak};

    /// A loop over lines with twelve sums, on registers that are zero at first.
    macro_rules! peak {
        ($multiply_adds:literal, $before:literal, $after:literal) => {
            Peak {
                step: 12 * $multiply_adds,
                run: |steps| {
                    // SAFETY: `Peak::of` hands it out where the CPU has the instructions. They touch registers only.
                    unsafe {
                        asm!(
                            "vzeroall",
                            "2:",
                            twelve!($before, $after),
                            "sub {steps}, 1",
                            "jnz 2b",
                            steps = inout(reg) steps => _,
                            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                            options(nomem, nostack)
                        );
                    }
                },
            }
        };
    }

    pub(super) static F32: Loops = &[
        (&["avx512"], peak!(16, "vfmadd231ps zmm", ", zmm14, zmm15")),
        (&["avx2"], peak!(8, "vfmadd231ps ymm", ", ymm14, ymm15")),
    ];

    pub(super) static INT8: Loops = &[
        (
            &["avx512-vbmi", "avx512-vnni"],
            peak!(64, "vpdpbusd zmm", ", zmm14, zmm15"),
        ),
        (
            &["avx-vnni"],
            peak!(32, "{{vex}} vpdpbusd ymm", ", ymm14, ymm15"),
        ),
        (
            // Added to a sum, but not kept: what counts is that it is done. Products of bytes would saturate (isa/avx2.rs).
            &["avx2"],
            peak!(
                16,
                "vpmaddwd ymm13, ymm14, ymm15\nvpaddd ymm12, ymm13, ymm",
                ""
            ),
        ),
    ];
}

#[cfg(target_arch = "aarch64")]
mod loops {
    use core::arch::asm;

    use super::{Loops, Peak};

    /// A loop over lines with twelve sums, on registers that are zero at first.
    macro_rules! peak {
        ($multiply_adds:literal, $before:literal, $after:literal) => {
            Peak {
                step: 12 * $multiply_adds,
                run: |steps| {
                    // SAFETY: `Peak::of` hands it out where the CPU has the instructions. They touch registers only.
                    unsafe {
                        asm!(
                            ".arch_extension dotprod",
                            ".arch_extension i8mm",
                            twelve!("movi v", ".4s, #0"),
                            "movi v14.4s, #0",
                            "movi v15.4s, #0",
                            "2:",
                            twelve!($before, $after),
                            "subs {steps}, {steps}, #1",
                            "b.ne 2b",
                            steps = inout(reg) steps => _,
                            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                            out("v13") _, out("v14") _, out("v15") _,
                            options(nomem, nostack)
                        );
                    }
                },
            }
        };
    }

    pub(super) static F32: Loops = &[(&["neon"], peak!(4, "fmla v", ".4s, v14.4s, v15.4s"))];

    pub(super) static INT8: Loops = &[
        (
            &["neon-i8mm"],
            peak!(32, "smmla v", ".4s, v14.16b, v15.16b"),
        ),
        (
            &["neon-dotprod"],
            peak!(16, "sdot v", ".4s, v14.16b, v15.16b"),
        ),
        (
            &["neon"],
            peak!(
                16,
                "smull v13.8h, v14.8b, v15.8b\nsmlal2 v13.8h, v14.16b, v15.16b\nsadalp v",
                ".4s, v13.8h"
            ),
        ),
    ];
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod loops {
    use super::Loops;

    pub(super) static F32: Loops = &[];
    pub(super) static INT8: Loops = &[];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_an_instruction_set_has_a_peak_that_this_machine_can_run() {
        for dtype in [Dtype::F32, Dtype::I8] {
            for name in crate::kernel_names(dtype) {
                let is_plain = name.starts_with("portable") || name.starts_with("reference");
                let is_cortex_m = name.starts_with("cortex-m");
                let peak = Peak::of(dtype, name);
                assert_eq!(peak.is_none(), is_plain || is_cortex_m, "{dtype} {name}");
                if let Some(peak) = peak {
                    peak.run(1000);
                }
            }
            assert!(Peak::of(dtype, "mmx").is_none());
        }
    }
}
