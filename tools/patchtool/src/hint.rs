//! Advice to the user about an error, wherever in the chain it is known.

use anyhow::Error;
use graft_client::DeviceError;
use graft_patches::ImageError;
use graft_patches::writer::WriteError;

use crate::export::ExportError;
use crate::file_kind::WrongKind;
use crate::hyper::{ExamplesError, GeneratedError, HyperError, SupportSetError};
use crate::import::error::ImportError;
use crate::picture::PictureError;
use crate::quantize::QuantizeError;
use crate::taught::{RecipeError, TaughtError};
use crate::train::checkpoint::CheckpointError;
use crate::train::run::TrainError;
use crate::trained::TrainedError;
use crate::unlearn::UnlearnError;
use graft_data::cache::CacheError;
use graft_data::classes::ClassesError;
use graft_data::dataset::DatasetError;
use graft_data::image_file::ImageFileError;
use graft_data::labels::LabelsError;
use graft_data::output::OutputError;
use graft_data::split::SplitError;

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
    error.chain().find_map(hint_of)
}

/// The hint of one of these errors, each of which knows its own.
macro_rules! hints {
    ($cause:ident: $($error:ty,)*) => {
        None$(.or_else(|| $cause.downcast_ref::<$error>().map(|error| error.hint().into())))*
    };
}

fn hint_of(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<Hint>() {
        return Some(error.hint.into());
    }
    // Where these know none, an error further down the chain may.
    if let Some(hint) = cause.downcast_ref().and_then(ImportError::hint) {
        return Some(hint);
    }
    if let Some(hint) = cause.downcast_ref().and_then(ExportError::hint) {
        return Some(hint);
    }
    #[cfg(feature = "verify")]
    if let Some(error) = cause.downcast_ref::<crate::import::verify::VerifyError>() {
        return Some(error.hint().into());
    }
    hints!(cause:
        graft_runtime::Error,
        graft_store::Error,
        ImageError,
        WriteError,
        DeviceError,
        HyperError,
        GeneratedError,
        SupportSetError,
        ExamplesError,
        QuantizeError,
        TaughtError,
        RecipeError,
        UnlearnError,
        TrainedError,
        TrainError,
        CheckpointError,
        DatasetError,
        SplitError,
        CacheError,
        ClassesError,
        ImageFileError,
        LabelsError,
        PictureError,
        WrongKind,
        OutputError,
    )
}
