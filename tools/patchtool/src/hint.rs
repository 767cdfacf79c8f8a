//! What a user can do about an error, wherever in the chain it is known.

use anyhow::Error;
use graft_patches::ImageError;
use graft_patches::writer::WriteError;

use crate::data::cache::CacheError;
use crate::data::classes::ClassesError;
use crate::data::dataset::DatasetError;
use crate::data::image_file::ImageFileError;
use crate::data::labels::LabelsError;
use crate::data::split::SplitError;
use crate::device::DeviceError;
use crate::export::ExportError;
use crate::hyper::{ExamplesError, GeneratedError, HyperError, SupportSetError};
use crate::import::error::ImportError;
use crate::output::OutputError;
use crate::picture::PictureError;
use crate::quantize::QuantizeError;
use crate::train::checkpoint::CheckpointError;
use crate::train::run::TrainError;
use crate::trained::TrainedError;

/// An error of a command itself, with its hint.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Hint {
    message: String,
    hint: &'static str,
}

impl Hint {
    /// A message and what to do.
    pub fn new(message: String, hint: &'static str) -> Self {
        Self { message, hint }
    }
}

/// The first hint in an error's chain.
pub fn hint(error: &Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<Hint>() {
            return Some(error.hint.into());
        }
        if let Some(error) = cause.downcast_ref::<graft_runtime::Error>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<ImageError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<DeviceError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<HyperError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<ExamplesError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<QuantizeError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<GeneratedError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<SupportSetError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<ImportError>() {
            return error.hint();
        }
        #[cfg(feature = "verify")]
        if let Some(error) = cause.downcast_ref::<crate::import::verify::VerifyError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<DatasetError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<SplitError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<CacheError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<ClassesError>() {
            return Some(error.hint());
        }
        if let Some(error) = cause.downcast_ref::<ImageFileError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<LabelsError>() {
            return Some(error.hint().into());
        }
        if let Some(hint) = cause.downcast_ref().and_then(ExportError::hint) {
            return Some(hint);
        }
        if let Some(error) = cause.downcast_ref::<TrainedError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<TrainError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<CheckpointError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<PictureError>() {
            return Some(error.hint().into());
        }
        if let Some(error) = cause.downcast_ref::<OutputError>() {
            return Some(error.hint().into());
        }
        cause
            .downcast_ref::<WriteError>()
            .map(|error| error.hint().into())
    })
}
