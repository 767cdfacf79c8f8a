//! NEON, which every AArch64 CPU has.

mod f32;
mod int8;

pub(in crate::kernels) use f32::F32;
pub(in crate::kernels) use int8::INT8;
