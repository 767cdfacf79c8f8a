//! The Graft runtime for C and C++. `include/graft.h` is made of these sources, `README.md` says how it is used.
//!
//! A call checks what C may get wrong (NULL, misaligned or too little memory, objects that are not open, lengths), then makes
//! the same call of `graft-runtime`: nothing is computed or checked twice. Every object is in memory of the caller. No panic
//! leaves the library: with `std` it becomes a status, without it the program ends.
//!
//! # Unsafe code
//! Lives in what C gives: pointers to bytes (`memory`) and to objects (`object`). Each entry hands its caller's promises on,
//! which are those of its documentation.
#![cfg_attr(not(feature = "std"), no_std)]

mod backbone;
mod error;
mod memory;
mod object;
mod patch;
mod session;
mod status;

#[cfg(all(feature = "panic-handler", not(feature = "std")))]
mod panic;

pub use backbone::*;
pub use error::graft_last_error;
pub use patch::*;
pub use session::*;
pub use status::{GraftStatus, graft_status_text};
