//! The kernels: `f32` and `int8`, each with one folder per operator, and `isa`, with a file or folder per instruction set.
//!
//! All activations are NHWC with one image a call. A kernel computes a contiguous part of its output, so that
//! threads can share a layer: it gets the whole input, the index of the first unit to compute (an output row, pixel,
//! panel, channel or element, as each entry of [`f32::Kernels`] and [`int8::Kernels`] says) and the output slice of just
//! that part.
//!
//! Both dtypes share the checks of lengths (`check`), sliding windows (`window`), the walk of
//! elementwise operators (`elementwise`), the safe functions around kernels (`entry`) and the selection (`select`). `peak`
//! is what a core can do at most with an instruction set.
//!
//! # Adding an operator or an instruction set
//! An operator is a folder in `f32/` and one in `int8/`: `mod.rs` checks the operands, `reference.rs` is obviously right,
//! `simd.rs` is fast, in int8 `cortex_m.rs` is for microcontrollers. Its entry is in `Kernels` (`mod.rs` of the dtype), in
//! the dtype's `table.rs` and in `isa/reference.rs`; the property tests in `f32/tests/` and `int8/tests/` compare all
//! kernels with the reference.
//!
//! An instruction set is a file in `isa/`, with its registers and its tables of kernels `F32` and `INT8` (one may be
//! empty), its `mod` line in `isa/mod.rs` and its name in `select.rs`, both with the `cfg` of its targets. Where it is not
//! of x86-64 or AArch64, `build.rs` sets `simd` for its target too.
//!
//! For training (feature `gradient`) an operator needs its gradient too: `f32/OP/gradient.rs`, called from `LayerGradient`
//! in `gradient/layer.rs` of the crate; where it is hot, an entry of [`f32::gradient::GradientKernels`] with a plain
//! reference and a fast version, in the folder `f32/OP/gradient/`. An activation needs its slope in `f32/norm/slope.rs` and
//! `f32/norm/reference.rs`. Then a case in `f32/tests/adjoint.rs`, and one for the finite differences in
//! `graft_tests::operators`.

mod check;
#[cfg(any(test, simd))]
mod elementwise;
#[cfg(any(test, simd))]
mod entry;
pub mod f32;
pub mod int8;
mod isa;
#[cfg(feature = "std")]
pub mod peak;
mod select;
#[cfg(test)]
mod tests;
#[cfg(any(test, simd))]
mod unrolled;
mod window;

pub use select::KernelError;
#[cfg(feature = "std")]
pub use select::names;
pub(crate) use select::{KernelSet, float};

pub use graft_patches::geometry::{Activation, Shape, Window};
pub use graft_patches::layout::PANEL;
