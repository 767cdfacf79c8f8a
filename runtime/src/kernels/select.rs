//! The kernels that this machine can run, and those that it should.

use graft_patches::records::Dtype;

#[cfg(feature = "f32")]
use super::isa::reference::REFERENCE_F32;
use super::isa::reference::REFERENCE_INT8;
use super::isa::{self, Candidate};
use super::{f32, int8};

/// Lists the tables of all instruction sets, best first.
macro_rules! instruction_sets {
    ($($(#[$condition:meta])? $set:ident),* $(,)?) => {
        static F32: &[&[Candidate<f32::Kernels>]] = &[$($(#[$condition])? isa::$set::F32),*];
        static INT8: &[&[Candidate<int8::Kernels>]] = &[$($(#[$condition])? isa::$set::INT8),*];
    };
}

instruction_sets! {
    #[cfg(target_arch = "x86_64")] avx512,
    #[cfg(target_arch = "x86_64")] avx_vnni,
    #[cfg(target_arch = "x86_64")] avx2,
    #[cfg(target_arch = "aarch64")] neon,
    #[cfg(any(test, simd))] portable,
    #[cfg(any(test, target_arch = "arm"))] cortex_m,
    reference,
}

/// Those that this machine can run.
fn runnable<K>(sets: &'static [&[Candidate<K>]]) -> impl Iterator<Item = &'static K> {
    let candidates = sets.iter().copied().flatten();
    candidates
        .filter(|(_, runs)| runs())
        .map(|&(kernels, _)| kernels)
}

/// The f32 kernels that this machine can run, best first.
pub fn available_f32() -> impl Iterator<Item = &'static f32::Kernels> {
    runnable(F32)
}

/// The int8 kernels that this machine can run, best first.
pub fn available_int8() -> impl Iterator<Item = &'static int8::Kernels> {
    runnable(INT8)
}

/// The kernels of f32 backbones.
#[cfg(feature = "f32")]
pub(crate) type FloatKernels = &'static f32::Kernels;
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
        match dtype {
            Dtype::I8 | Dtype::I8Half => select_int8().map(Self::I8),
            #[cfg(feature = "f32")]
            Dtype::F32 | Dtype::F16 => select_f32().map(Self::F32),
            #[cfg(not(feature = "f32"))]
            Dtype::F32 | Dtype::F16 => Err(KernelError::NotCompiled { dtype }),
        }
    }

    /// The kernels of this name.
    #[cfg(feature = "std")]
    pub(crate) fn by_name(dtype: Dtype, name: &str) -> Result<Self, KernelError> {
        match dtype {
            Dtype::I8 | Dtype::I8Half => int8_by_name(name).map(Self::I8),
            Dtype::F32 | Dtype::F16 => f32_by_name(name).map(Self::F32),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32(kernels) => float(kernels).name,
            Self::I8(kernels) => kernels.name,
        }
    }
}

/// The best f32 kernels that this machine can run, or those that the environment variable `GRAFT_KERNELS` names.
///
/// # Errors
/// `GRAFT_KERNELS` names kernels that this machine does not have.
#[cfg(feature = "f32")]
pub fn select_f32() -> Result<&'static f32::Kernels, KernelError> {
    #[cfg(feature = "std")]
    if let Some(name) = asked(Dtype::F32) {
        return f32_by_name(&name);
    }
    Ok(available_f32().next().unwrap_or(&REFERENCE_F32))
}

/// As [`select_f32`].
fn select_int8() -> Result<&'static int8::Kernels, KernelError> {
    #[cfg(feature = "std")]
    if let Some(name) = asked(Dtype::I8) {
        return int8_by_name(&name);
    }
    Ok(available_int8().next().unwrap_or(&REFERENCE_INT8))
}

/// The f32 kernels of this name.
#[cfg(feature = "std")]
pub(crate) fn f32_by_name(name: &str) -> Result<&'static f32::Kernels, KernelError> {
    let found = available_f32().find(|kernels| kernels.name == name);
    found.ok_or_else(|| unavailable(Dtype::F32, name))
}

/// The int8 kernels of this name.
#[cfg(feature = "std")]
fn int8_by_name(name: &str) -> Result<&'static int8::Kernels, KernelError> {
    let found = available_int8().find(|kernels| kernels.name == name);
    found.ok_or_else(|| unavailable(Dtype::I8, name))
}

#[cfg(feature = "std")]
fn unavailable(dtype: Dtype, name: &str) -> KernelError {
    KernelError::Unavailable {
        name: name.into(),
        dtype,
    }
}

/// The name in `GRAFT_KERNELS`, where it is about kernels of this dtype.
#[cfg(feature = "std")]
fn asked(dtype: Dtype) -> Option<std::string::String> {
    let name = std::env::var_os("GRAFT_KERNELS")?;
    let name = name.to_string_lossy().into_owned();
    is_about(dtype, &name).then_some(name)
}

/// Whether a name asks for kernels of this dtype: one of the other dtype's alone says nothing about these.
#[cfg(feature = "std")]
pub(super) fn is_about(dtype: Dtype, name: &str) -> bool {
    let other = match dtype {
        Dtype::F32 | Dtype::F16 => Dtype::I8,
        Dtype::I8 | Dtype::I8Half => Dtype::F32,
    };
    names(dtype).contains(&name) || !names(other).contains(&name)
}

/// The names of the kernels that this machine can run for backbones of a dtype, best first.
///
/// ```
/// use graft_patches::records::Dtype;
///
/// let names = graft_runtime::kernel_names(Dtype::I8);
/// assert_eq!(names.last(), Some(&"reference"));
/// ```
#[cfg(feature = "std")]
pub fn names(dtype: Dtype) -> std::vec::Vec<&'static str> {
    match dtype {
        Dtype::F32 | Dtype::F16 => available_f32().map(|kernels| kernels.name).collect(),
        Dtype::I8 | Dtype::I8Half => available_int8().map(|kernels| kernels.name).collect(),
    }
}

/// The f32 kernels in use.
#[cfg(feature = "f32")]
pub(crate) fn float(kernels: FloatKernels) -> &'static f32::Kernels {
    kernels
}

/// There are none.
#[cfg(not(feature = "f32"))]
pub(crate) fn float(kernels: FloatKernels) -> &'static f32::Kernels {
    match *kernels {}
}

/// No kernels could be selected.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Error, KernelError, Session};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let error = Session::new(&backbone)?.use_kernels("mmx").expect_err("no kernels have this name");
/// let Error::Kernels(KernelError::Unavailable { name, .. }) = &error else { panic!("{error}") };
/// assert_eq!(name, "mmx");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// Kernels that do not exist or that this CPU cannot run.
    #[cfg(feature = "std")]
    #[error("no kernels `{name}`: for {dtype} this machine has {}", names(*dtype).join(", "))]
    Unavailable {
        /// The name asked for, by `GRAFT_KERNELS` or the program.
        name: std::string::String,
        /// The dtype of the backbone.
        dtype: Dtype,
    },
    /// A backbone of a dtype that this program was built without.
    #[cfg(not(feature = "f32"))]
    #[error("the backbone computes in {dtype}, this program runs int8 ones only")]
    NotCompiled {
        /// The dtype of the backbone.
        dtype: Dtype,
    },
}

impl KernelError {
    /// The remedy, for the user.
    pub fn hint(&self) -> &'static str {
        // By value: without `std` and with `f32` there is no such error.
        match *self {
            #[cfg(feature = "std")]
            Self::Unavailable { .. } => "unset GRAFT_KERNELS, or ask for one of the names listed",
            #[cfg(not(feature = "f32"))]
            Self::NotCompiled { .. } => {
                "build the program with the feature f32 of graft-runtime, or give an int8 backbone"
            }
        }
    }
}
