//! The Graft inference runtime: one frozen backbone, many model patches, swapped while the device runs.
//!
//! ```
//! # std::env::set_current_dir("../tools/assets/demo").unwrap();
//! use graft_runtime::{Backbone, Patch, Session};
//!
//! let backbone = Backbone::open("demo.backbone")?; // opened once, shared
//! let fashion = Patch::open("fashion.patch", &backbone)?; // checked, bound to this backbone
//! let mut session = Session::new(&backbone)?; // the only allocation: the arena
//! let frame = vec![0u8; 48 * 48 * 3]; // 8-bit RGB, NHWC
//! let scores = session.run(&fashion, &frame)?; // the patch is an argument of the call, never global state
//! assert_eq!(scores.len(), 10); // kinds of clothes
//! # Ok::<(), graft_runtime::Error>(())
//! ```
//!
//! # Microcontrollers
//! The same calls work without `alloc`, on images in flash and an arena of the caller:
//!
//! ```
//! use graft_runtime::{Backbone, Error, Patch, Session, Verify};
//!
//! /// Images and arenas start at a multiple of 64.
//! #[repr(C, align(64))]
//! struct Aligned<T: ?Sized>(T);
//!
//! macro_rules! demo {
//!     ($file:literal) => {
//!         &Aligned(*include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/assets/demo/int8/", $file)))
//!     };
//! }
//! static BACKBONE: &Aligned<[u8]> = demo!("demo.backbone");
//! static FASHION: &Aligned<[u8]> = demo!("fashion.patch");
//!
//! fn best_class(arena: &mut [u8], frame: &[u8]) -> Result<Option<usize>, Error> {
//!     let backbone = Backbone::from_static(&BACKBONE.0, Verify::Full)?; // read in place
//!     let fashion = Patch::from_static(&FASHION.0, &backbone, Verify::Full)?;
//!     let mut session = Session::in_arena(&backbone, arena)?;
//!     let scores = session.run(&fashion, frame)?;
//!     Ok((0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])))
//! }
//!
//! let mut arena = Aligned([0; 128 * 1024]);
//! assert!(best_class(&mut arena.0, &[0; 48 * 48 * 3])?.is_some());
//! # Ok::<(), Error>(())
//! ```
//!
//! The examples `classify`, `hot_swap` and `no_std` are whole programs.
//!
//! # int8
//! A backbone computes in f32 or in int8, and its patches with it; the calls are the same, and scores are f32 either way.
//! int8 layers follow one rule (`graft_patches::requantize`): the same bytes in every layer on every target.
//!
//! # Features
//! * `std` (default, with `alloc` and `f32`): mapped files, threads, [`TaskSlot`], kernels picked by CPU detection.
//! * `alloc`: images and arenas on the heap.
//! * `f32`: f32 backbones. Without it only int8 ones run, in less of a microcontroller's flash.
//! * `trust` (with `std`): backbones that run only signed patches.
//! * `learn` (with `alloc`): heads that learn, and their patches, without an allocator.
//! * `gradient` (with `std`): training, in the module `gradient`.
//!
//! Without any: `no_std`, no allocation, int8.
//!
//! # Files
//! [`Backbone::open`] and [`Patch::open`] read a file to memory of their own, so whatever becomes of it, what was checked is
//! what runs. [`Backbone::map`] and [`Patch::map`] share the pages of a file among processes and are unsafe, as `memmap2`'s
//! own map is: a mapped file must not be shortened or written in place. Publish a new version under a temporary name and
//! rename it, as `patchtool` does: the old mapping stays valid.
//!
//! # Trust
//! `Backbone::trusting` has every patch that is bound checked for a signature of a trusted key. `SECURITY.md` is the threat
//! model.
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
#[cfg(feature = "learn")]
pub mod head_learner;
mod input;
#[doc(hidden)]
pub mod kernels;
mod many;
mod patch;
mod session;
#[cfg(feature = "std")]
mod sync;
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
