//! Which int8 kernels this machine can run.

#[cfg(any(test, target_arch = "x86_64"))]
use super::Conv;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
use super::lanes::{Portable, int8_kernels};
use super::{Kernels, conv, depthwise, elementwise, lookup, pointwise, pool};
#[cfg(any(test, target_arch = "x86_64"))]
use crate::kernels::table::simd_kernel;

/// Plain Rust: what the others must compute.
static REFERENCE: Kernels = Kernels {
    name: "reference",
    conv: conv::reference::conv,
    depthwise: depthwise::reference::depthwise,
    pointwise: pointwise::reference::pointwise,
    linear: pointwise::reference::linear,
    add: elementwise::reference::add,
    multiply: elementwise::reference::multiply,
    average_pool: pool::reference::average_pool,
    max_pool: pool::reference::max_pool,
    global_average_pool: pool::reference::global_average_pool,
    lookup: lookup::reference::lookup,
};

/// The fast kernels in plain Rust.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
static PORTABLE: Kernels = int8_kernels!("portable", Portable<0>, tile: 4 x 1);

/// The tile, the unsigned inputs and the interleaved rows of VNNI, on any machine.
#[cfg(test)]
pub(super) static UNSIGNED: Kernels = Kernels {
    depthwise: simd_kernel!(
        depthwise::check, depthwise::interleaved::depthwise::<Portable<128>>,
        (task: &Conv, first: usize, out: &mut [i8])
    ),
    ..int8_kernels!("portable, unsigned", Portable<128>, tile: 6 x 4)
};

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = int8_kernels!("avx2", super::lanes::Avx2, tile: 2 x 1, features: "avx2");

/// 32 registers: 24 sums, 4 weights, 1 input.
#[cfg(target_arch = "x86_64")]
static VNNI: Kernels = Kernels {
    depthwise: simd_kernel!(
        depthwise::check, depthwise::interleaved::depthwise::<super::lanes::Vnni>,
        (task: &Conv, first: usize, out: &mut [i8]),
        "avx512f,avx512bw,avx512vl,avx512vnni"
    ),
    ..int8_kernels!(
        "avx512-vnni", super::lanes::Vnni,
        tile: 6 x 4, features: "avx512f,avx512bw,avx512vl,avx512vnni"
    )
};

/// The same with lookups by permutation.
#[cfg(target_arch = "x86_64")]
static VBMI: Kernels = Kernels {
    name: "avx512-vbmi",
    lookup: lookup::vbmi::lookup,
    ..VNNI
};

/// 32 registers: 16 sums, 4 weights, 1 input, products.
#[cfg(target_arch = "aarch64")]
static NEON: Kernels = int8_kernels!("neon", super::lanes::Neon<false>, tile: 4 x 1);

/// 32 registers: 24 sums, 4 weights, inputs.
#[cfg(target_arch = "aarch64")]
static NEON_DOTPROD: Kernels = int8_kernels!(
    "neon-dotprod", super::lanes::Neon<true>,
    tile: 6 x 1, features: "neon,dotprod"
);

/// For cores with few registers, with the DSP extension or without.
#[cfg(any(test, target_arch = "arm"))]
static CORTEX_M: Kernels = Kernels {
    name: match (cfg!(target_arch = "arm"), cfg!(arm_dsp)) {
        (true, true) => "cortex-m-dsp",
        (true, false) => "cortex-m",
        _ => "cortex-m, emulated",
    },
    conv: conv::cortex_m::conv,
    depthwise: depthwise::cortex_m::depthwise,
    pointwise: pointwise::cortex_m::pointwise,
    linear: pointwise::cortex_m::linear,
    ..REFERENCE
};

/// Whether this CPU can run some kernels.
type Runs = fn() -> bool;

/// All kernels compiled for this target, best first.
static ALL: &[(&Kernels, Runs)] = &[
    #[cfg(target_arch = "x86_64")]
    (&VBMI, has_vbmi),
    #[cfg(target_arch = "x86_64")]
    (&VNNI, has_vnni),
    #[cfg(target_arch = "x86_64")]
    (&AVX2, has_avx2),
    #[cfg(target_arch = "aarch64")]
    (&NEON_DOTPROD, has_dotprod),
    #[cfg(target_arch = "aarch64")]
    (&NEON, || true),
    #[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
    (&PORTABLE, || true),
    #[cfg(any(test, target_arch = "arm"))]
    (&CORTEX_M, || true),
    (&REFERENCE, || true),
];

/// The kernels that this machine can run, best first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    ALL.iter()
        .filter(|(_, runs)| runs())
        .map(|&(kernels, _)| kernels)
}

/// The best of them.
pub(crate) fn best() -> &'static Kernels {
    available().next().unwrap_or(&REFERENCE)
}

#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    #[cfg(feature = "std")]
    return std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512vl")
        && std::is_x86_feature_detected!("avx512vnni");
    #[cfg(not(feature = "std"))]
    return cfg!(all(
        target_feature = "avx512bw",
        target_feature = "avx512vl",
        target_feature = "avx512vnni"
    ));
}

#[cfg(target_arch = "x86_64")]
fn has_vbmi() -> bool {
    #[cfg(feature = "std")]
    return has_vnni() && std::is_x86_feature_detected!("avx512vbmi");
    #[cfg(not(feature = "std"))]
    return has_vnni() && cfg!(target_feature = "avx512vbmi");
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    #[cfg(feature = "std")]
    return std::is_x86_feature_detected!("avx2");
    #[cfg(not(feature = "std"))]
    return cfg!(target_feature = "avx2");
}

#[cfg(target_arch = "aarch64")]
fn has_dotprod() -> bool {
    #[cfg(feature = "std")]
    return std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(feature = "std"))]
    return cfg!(target_feature = "dotprod");
}
