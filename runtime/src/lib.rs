//! The Graft inference runtime: one frozen backbone, many model patches, swapped while the device runs.
//!
//! ```no_run
//! # fn main() -> Result<(), graft_runtime::Error> {
//! use graft_runtime::{Backbone, Patch, Session};
//!
//! let backbone = Backbone::open("lite0.backbone")?; // memory-mapped once, shared
//! let flowers = Patch::open("flowers.patch", &backbone)?; // mapped, checked, bound to this backbone
//! let mut session = Session::new(&backbone)?; // the only allocation: the arena
//! let frame = vec![0u8; 224 * 224 * 3];
//! let scores = session.run(&flowers, &frame)?; // the patch is an argument of the call, never global state
//! # Ok(()) }
//! ```
//!
//! The same calls work without `alloc` on a microcontroller: [`Backbone::from_static`], [`Patch::from_static`] and
//! [`Session::in_arena`].
//!
//! A backbone computes in f32 or in int8, and its patches with it; the calls are the same, and scores are f32 either way. What
//! int8 layers compute is one rule (`graft_patches::requantize`): the same bytes in every layer on every target.
//!
//! # Features
//! `std` (default): mapped files, threads, [`TaskSlot`], kernels picked by CPU detection. `alloc`: images and arenas on
//! the heap. `gradient`: training, in the module `gradient`. Without both: `no_std`, no allocation.
//!
//! # Files
//! [`Backbone::open`] and [`Patch::open`] map files read-only. A mapped file must not be shortened or written in place:
//! publish a new version under a temporary name and rename it, as `patchtool` does. The old mapping then stays valid.
//!
//! # Unsafe code
//! Lives in the kernels, in the file mapping, and where threads share a layer's output (`workers`, `threads`).
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod arena;
mod backbone;
mod bytes;
mod engine;
mod error;
#[cfg(feature = "gradient")]
pub mod gradient;
mod input;
#[doc(hidden)]
pub mod kernels;
mod patch;
mod session;
#[cfg(feature = "std")]
mod task_slot;
#[cfg(feature = "std")]
mod threads;
mod widen;
mod workers;

pub use backbone::Backbone;
pub use bytes::ImageBytes;
pub use error::Error;
pub use graft_patches::{ImageError, Verify};
pub use kernels::KernelError;
#[cfg(feature = "std")]
pub use kernels::names as kernel_names;
pub use patch::{Patch, Receipt};
pub use session::{Image, LayerOutput, Session};
#[cfg(feature = "std")]
pub use task_slot::TaskSlot;
