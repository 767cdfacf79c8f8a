//! Every value through a table of 256: a curve after a layer.

#[cfg(target_arch = "x86_64")]
pub(in crate::kernels) mod avx512;
pub(in crate::kernels) mod reference;
