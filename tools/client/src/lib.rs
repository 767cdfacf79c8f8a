//! Devices that run Graft, over a serial line or TCP: the host's side of [`graft_link`].
//!
//! [`Client`] asks one thing at a time and lives through lost bytes; [`push`](push()) brings a patch to a slot.

mod client;
mod content;
mod error;
mod learn;
mod port;
mod push;

pub use client::{Client, Device, Patience, Profile, Scores};
pub use content::{Content, content, patch_metadata};
pub use error::DeviceError;
pub use graft_link::{Ended, Learner, Memory, Slot, State, Task};
pub use learn::{Recipe, Taught};
pub use port::{Port, UnknownPort};
pub use push::{Push, Pushed, Step, Upload, answer, push};
