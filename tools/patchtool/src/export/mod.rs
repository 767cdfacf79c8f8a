//! A task as a standard ONNX model, and back.
//!
//! [`write()`] gives one ordinary model a task. What the task leaves frozen is external data in one file that all models
//! of a backbone share ([`WeightsFile`]); what it trained is inline. [`read()`] takes such a model, perhaps trained
//! further elsewhere, and makes a patch of what differs from the backbone. [`qdq::write()`] is for int8.

mod document;
mod error;
mod model;
mod nodes;
pub(crate) mod properties;
pub mod qdq;
mod read;
mod tensors;
mod unfold;
mod weights_file;

#[cfg(test)]
mod tests;

pub use error::ExportError;
pub use model::write;
pub use read::{Read, read};
pub use weights_file::WeightsFile;
