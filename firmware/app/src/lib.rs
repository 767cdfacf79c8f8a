//! The application of a microcontroller that runs Graft: it serves one task after the other from a backbone and patches
//! that lie in flash, and lets a host exchange the patches over a serial link while it does.
//!
//! A board implements [`Board`], gives memory ([`Buffers`]), and calls [`Device::poll`] for ever:
//!
//! * one request of the host a call at most, so that no host can keep frames from being run;
//! * the button: the next task;
//! * a frame, at most [`FRAMES_PER_SECOND`] times a second: the image through the backbone with the served patch.
//!
//! # Swapping
//! All patches are bound when the device starts, or when they are complete; from then on a task is an index, and the next
//! frame reads the other patch's values in flash. Nothing is copied.
//!
//! # Trust
//! A patch is checked in place, on the bytes that will be read: at the end of an upload, again when it is activated, again
//! when the device starts. It is activated on trial: a test pattern is run, and its scores are compared where the host sent
//! what they must be. A failed check, a panic or a reset ends the trial, and what was active before is served again
//! (`graft_slots`).
//! # Learning
//! With the feature `learn` the device adds frames that it sees to the sums of a class (`teach`), takes a class away again
//! (`forget`), and makes a head of the sums, which it writes to a slot and serves on trial like any other patch (`learn`). Sums
//! are in memory: a reset ends them, not the patch. A device that runs only signed patches cannot learn.
#![no_std]

mod board;
mod device;
mod error;
mod handle;
#[cfg(feature = "learn")]
mod learn;
mod log;
mod run;
mod server;
mod tasks;
mod trial;
mod upload;
mod wire;

pub use board::{Board, Clock, MappedFlash};
pub use device::{Device, Next};
pub use error::Error;
#[cfg(feature = "learn")]
pub use learn::{LABEL, LearnBuffers};
pub use run::FRAMES_PER_SECOND;
pub use server::Buffers;
