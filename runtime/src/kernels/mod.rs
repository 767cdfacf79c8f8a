//! The kernels: `f32` and `int8`, with one folder per operator under the same names, and `isa`, what an instruction set
//! is.
//!
//! All activations are NHWC with one image a call. A kernel computes a contiguous part of its output, so that
//! threads can share a layer: it gets the whole input, the index of the first unit to compute (an output row, pixel,
//! panel, channel or element, as each entry of [`f32::Kernels`] and [`int8::Kernels`] says) and the output slice of just
//! that part.
//!
//! # Adding an operator or an instruction set
//! An operator is a folder for each dtype: `mod.rs` checks the operands, `reference.rs` is obviously right, `simd.rs` is
//! fast, `cortex_m.rs` is for microcontrollers. Its entry is in `Kernels` and in `table.rs` of the dtype and in
//! `isa/reference.rs`; the property tests in `tests/` compare all kernels with the reference.
//!
//! An instruction set is a file in `isa`, with its registers and its tables of kernels, and a line in `select.rs`.
//!
//! For training (feature `gradient`) an operator needs its gradient too: `gradient` in its folder, called from
//! `LayerGradient` in `gradient/layer.rs`; where it is hot, an entry of [`f32::gradient::GradientKernels`] with a plain
//! reference and a fast version. An activation needs its slope in `norm/slope.rs` and `norm/reference.rs`. Then a case
//! in `tests/adjoint.rs`, and one for the finite differences in `graft_tests::operators`.

#[cfg(simd)]
mod entry;
pub mod f32;
pub mod int8;
mod isa;
mod select;
#[cfg(test)]
mod tests;
#[cfg(any(simd, target_arch = "arm"))]
mod window;

pub use select::KernelError;
#[cfg(feature = "std")]
pub use select::names;
pub(crate) use select::{KernelSet, float};

pub use graft_patches::geometry::{Activation, Shape, Window};
pub use graft_patches::layout::PANEL;
