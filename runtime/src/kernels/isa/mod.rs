//! Instruction sets: a file or folder each, with its registers and its tables of kernels, `F32` and `INT8`, the best first.
//!
//! For f32 a register is a [`vector::Vector`]; for int8 an instruction set says how it computes the sixteen channels of a
//! panel, [`lanes::Lanes`].

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx_vnni;
#[cfg(any(test, target_arch = "arm"))]
pub(super) mod cortex_m;
#[cfg(any(test, simd))]
pub(super) mod lanes;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
#[cfg(any(test, simd))]
pub(super) mod portable;
pub(super) mod reference;
#[cfg(any(test, simd))]
pub(super) mod vector;

/// A table of kernels, and whether this CPU can run them.
pub(super) type Candidate<K> = (&'static K, fn() -> bool);

/// Whether this CPU has all of some features of x86-64.
///
/// Without the feature `std` nothing can be asked, and only what the target is compiled for is there.
#[cfg(target_arch = "x86_64")]
macro_rules! cpu_has {
    ($($feature:tt),*) => {{
        #[cfg(feature = "std")]
        let has = $(std::is_x86_feature_detected!($feature))&&*;
        #[cfg(not(feature = "std"))]
        let has = cfg!(all($(target_feature = $feature),*));
        has
    }};
}

/// Whether this CPU has a feature of AArch64, as for x86-64.
#[cfg(target_arch = "aarch64")]
macro_rules! cpu_has {
    ($feature:tt) => {{
        #[cfg(feature = "std")]
        let has = std::arch::is_aarch64_feature_detected!($feature);
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use cpu_has;
