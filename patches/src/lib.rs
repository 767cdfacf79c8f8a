//! Backbone and patch images of Graft: read, check, write.
//!
//! A `.backbone` holds the layers, memory plan and frozen weights of a network; a `.patch` holds replacements for some
//! of its sites. Both are read in place: [`BackboneImage::open`] and [`PatchImage::open`] check everything once and
//! copy nothing, without `alloc`. The writers ([`writer`]) need `alloc`.
//!
//! This crate knows no kernel. The byte-level format is in `FORMAT.md` beside this crate.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "learn")]
mod assemble;
mod backbone;
mod checked;
mod coded;
pub mod container;
#[cfg(feature = "alloc")]
mod continual_state;
mod difference;
mod digest;
mod error;
pub mod geometry;
pub mod half_table;
#[cfg(feature = "learn")]
pub mod head_patch;
#[cfg(feature = "learn")]
pub mod head_sums;
#[cfg(feature = "learn")]
mod labels;
pub mod layout;
#[cfg(feature = "alloc")]
pub mod metadata;
#[cfg(feature = "alloc")]
pub mod minisign;
mod parse;
mod patch;
pub mod plan;
pub mod records;
pub mod requantize;
#[cfg(feature = "learn")]
pub mod resize;
pub mod scale;
mod section;
pub mod signature;
mod value_check;
mod values;
#[cfg(feature = "alloc")]
pub mod writer;

pub use backbone::{BackboneImage, BackboneIndex, Int8Site};
pub use container::Verify;
#[cfg(feature = "alloc")]
pub use continual_state::{ContinualClass, ContinualState};
pub use difference::first_difference;
pub use digest::{Digest, NotADigest};
pub use error::ImageError;
pub use patch::{PatchImage, PatchIndex, Replacement, TEMPERATURES};
pub use values::Values;
