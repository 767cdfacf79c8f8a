//! Which kernels this machine can run, and which it should.

use graft_patches::records::Dtype;

use super::reference::REFERENCE;
use super::{Kernels, int8};

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

/// What f32 backbones run on.
#[cfg(feature = "f32")]
pub(crate) type FloatKernels = &'static Kernels;
/// Without the feature `f32` nothing: whatever would use it is not compiled into a program.
#[cfg(not(feature = "f32"))]
pub(crate) type FloatKernels = &'static core::convert::Infallible;

/// The kernels of one dtype in use.
#[derive(Clone, Copy)]
pub(crate) enum KernelSet {
    /// For f32 backbones.
    #[cfg_attr(not(feature = "f32"), expect(dead_code, reason = "there are none"))]
    F32(FloatKernels),
    /// For int8 backbones.
    I8(&'static int8::Kernels),
}

impl KernelSet {
    /// The best kernels that this machine can run, or those that the environment variable `GRAFT_KERNELS` names.
    ///
    /// Without the feature `std` there is no environment, and only what the target is compiled for is available.
    pub(crate) fn select(dtype: Dtype) -> Result<Self, KernelError> {
        #[cfg(feature = "std")]
        if let Some(name) = std::env::var_os("GRAFT_KERNELS") {
            let name = name.to_string_lossy();
            let other = match dtype {
                Dtype::I8 => Dtype::F32,
                _ => Dtype::I8,
            };
            // A name of the other dtype's kernels says nothing about these.
            match Self::by_name(dtype, &name) {
                Err(_) if names(other).contains(&&*name) => {}
                found => return found,
            }
        }
        match dtype {
            Dtype::I8 => Ok(Self::I8(int8::best())),
            #[cfg(feature = "f32")]
            _ => Ok(Self::F32(available().next().unwrap_or(&REFERENCE))),
            #[cfg(not(feature = "f32"))]
            _ => Err(KernelError::NotCompiled { dtype }),
        }
    }

    /// The kernels of this name.
    #[cfg(feature = "std")]
    pub(crate) fn by_name(dtype: Dtype, name: &str) -> Result<Self, KernelError> {
        let found = match dtype {
            Dtype::I8 => int8::available().find(|set| set.name == name).map(Self::I8),
            _ => by_name(name).map(Self::F32),
        };
        found.ok_or_else(|| KernelError::Unavailable {
            name: name.into(),
            dtype,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32(kernels) => float(kernels).name,
            Self::I8(kernels) => kernels.name,
        }
    }
}

/// The f32 kernels in use.
#[cfg(feature = "f32")]
pub(crate) fn float(kernels: FloatKernels) -> &'static Kernels {
    kernels
}

/// There are none.
#[cfg(not(feature = "f32"))]
pub(crate) fn float(kernels: FloatKernels) -> &'static Kernels {
    match *kernels {}
}

/// The best f32 kernels that this machine can run, or those that the environment variable `GRAFT_KERNELS` names.
///
/// # Errors
/// `GRAFT_KERNELS` names kernels that this machine does not have.
#[cfg(feature = "f32")]
pub fn select() -> Result<&'static Kernels, KernelError> {
    Ok(match KernelSet::select(Dtype::F32)? {
        KernelSet::F32(kernels) => kernels,
        KernelSet::I8(_) => &REFERENCE,
    })
}

/// The f32 kernels that this machine can run, best first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    ALL.iter()
        .filter(|(_, runs)| runs())
        .map(|&(kernels, _)| kernels)
}

/// The f32 kernels of this name, if this machine can run them.
pub fn by_name(name: &str) -> Option<&'static Kernels> {
    available().find(|kernels| kernels.name == name)
}

/// The names of the kernels that this machine can run for backbones of a dtype, best first.
#[cfg(feature = "std")]
pub fn names(dtype: Dtype) -> std::vec::Vec<&'static str> {
    match dtype {
        Dtype::I8 => int8::available().map(|kernels| kernels.name).collect(),
        _ => available().map(|kernels| kernels.name).collect(),
    }
}

/// No kernels could be selected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// Kernels that do not exist or that this CPU cannot run.
    #[cfg(feature = "std")]
    #[error("no kernels `{name}`: for {dtype} this machine has {}", names(*dtype).join(", "))]
    Unavailable {
        /// What was asked for, by `GRAFT_KERNELS` or the program.
        name: std::string::String,
        /// What the backbone computes in.
        dtype: Dtype,
    },
    /// A backbone of a dtype that this program was built without.
    #[cfg(not(feature = "f32"))]
    #[error(
        "the backbone computes in {dtype}, this program runs int8 ones only: build it with the feature `f32`"
    )]
    NotCompiled {
        /// What the backbone computes in.
        dtype: Dtype,
    },
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
