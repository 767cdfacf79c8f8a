//! Which kernels this machine can run, and which it should.

use super::Kernels;
use super::reference::REFERENCE;

/// Whether this CPU can run some kernels.
type Runs = fn() -> bool;

/// All kernels compiled for this target, best first.
static ALL: &[(&Kernels, Runs)] = &[
    #[cfg(target_arch = "x86_64")]
    (&super::x86::AVX512, has_avx512),
    #[cfg(target_arch = "x86_64")]
    (&super::x86::AVX2, has_avx2),
    #[cfg(target_arch = "aarch64")]
    (&super::aarch64::NEON, || true),
    (&REFERENCE, || true),
];

/// The best kernels that this machine can run, or those that the environment variable `GRAFT_KERNELS` names.
///
/// Without the feature `std` there is no environment, and only what the target is compiled for is available.
pub fn select() -> Result<&'static Kernels, KernelError> {
    #[cfg(feature = "std")]
    if let Some(name) = std::env::var_os("GRAFT_KERNELS") {
        let name = name.to_string_lossy();
        return by_name(&name).ok_or_else(|| KernelError::Unavailable(name.into_owned()));
    }
    Ok(available().next().unwrap_or(&REFERENCE))
}

/// The kernels that this machine can run, best first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    ALL.iter()
        .filter(|(_, runs)| runs())
        .map(|&(kernels, _)| kernels)
}

/// The kernels of this name, if this machine can run them.
pub fn by_name(name: &str) -> Option<&'static Kernels> {
    available().find(|kernels| kernels.name == name)
}

/// No kernels could be selected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// `GRAFT_KERNELS` names kernels that do not exist or that this CPU cannot run.
    #[cfg(feature = "std")]
    #[error("GRAFT_KERNELS names kernels `{0}`, but this machine has {names}", names = names())]
    Unavailable(std::string::String),
}

/// The names of the available kernels, for a message.
#[cfg(feature = "std")]
fn names() -> std::string::String {
    let names: std::vec::Vec<_> = available().map(|kernels| kernels.name).collect();
    names.join(", ")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    #[cfg(feature = "std")]
    return std::is_x86_feature_detected!("avx512f");
    #[cfg(not(feature = "std"))]
    return cfg!(target_feature = "avx512f");
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    #[cfg(feature = "std")]
    return std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
    #[cfg(not(feature = "std"))]
    return cfg!(all(target_feature = "avx2", target_feature = "fma"));
}
