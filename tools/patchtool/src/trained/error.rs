//! Errors of trained files and their values.

use graft_patches::records::What;
use graft_patches::writer::WriteError;
use graft_patches::{Digest, ImageError};

/// Reasons why trained values are refused. [`TrainedError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainedError {
    /// The bytes are no safetensors file, or not all of one.
    #[error("not a whole safetensors file")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// A safetensors file of something else.
    #[error(
        "a safetensors file without the metadata key {key:?}: `patchtool train` did not write it"
    )]
    Foreign {
        /// The key that is missing.
        key: &'static str,
    },
    /// The metadata cannot be read.
    #[error("the metadata is damaged or of another version")]
    Metadata(#[from] serde_json::Error),
    /// The contents do not match their digest.
    #[error("the contents have digest {found:.12}, the file says {expected:.12}")]
    Digest {
        /// Digest of the bytes that were read.
        found: Digest,
        /// As written.
        expected: Digest,
    },
    /// A tensor that does not belong there, or is of another type or incomplete.
    #[error("tensor {name:?}: {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// The problem.
        problem: &'static str,
    },
    /// Trained on another backbone.
    #[error(
        "the values were trained on backbone {found_name:?} ({found}), this is {expected_name:?} ({expected})"
    )]
    WrongBackbone {
        /// Backbone of the file.
        found: Digest,
        /// Its name.
        found_name: String,
        /// Backbone at hand.
        expected: Digest,
        /// Its name.
        expected_name: String,
    },
    /// A site that the backbone does not have.
    #[error("values of site {found}, the backbone has {expected} sites")]
    UnknownSite {
        /// In the file.
        found: usize,
        /// Sites of the backbone.
        expected: usize,
    },
    /// Values that the kind demands are not there.
    #[error("site {site}: kind {kind} trains its {what}, found none")]
    Missing {
        /// The site.
        site: usize,
        /// The missing values.
        what: What,
        /// The kind.
        kind: super::TrainKind,
    },
    /// Values that the kind does not train.
    #[error("site {site}: kind {kind} leaves its {what} as it is, found other values")]
    Unexpected {
        /// The site.
        site: usize,
        /// The superfluous values.
        what: What,
        /// The kind.
        kind: super::TrainKind,
    },
    /// Values of another number than the site or the labels have.
    #[error("site {site}: found {found} values of {part}, expected {expected}")]
    Length {
        /// The site.
        site: usize,
        /// Name of the tensor.
        part: &'static str,
        /// Values there are.
        found: usize,
        /// Values there should be.
        expected: usize,
    },
    /// Values that are no numbers to compute with: training diverged.
    #[error("site {site}: {part} of channel or weight {index} is {value}, expected {expected}")]
    Value {
        /// The site.
        site: usize,
        /// Name of the tensor.
        part: &'static str,
        /// Index of the value.
        index: usize,
        /// The value.
        value: f32,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// The backbone's own metadata.
    #[error(transparent)]
    Backbone(#[from] ImageError),
    /// The patch cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl TrainedError {
    /// Advice to the user; of an error that this one passes on, its own hint.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Safetensors(_) | Self::Digest { .. } | Self::Metadata(_) => {
                "the file is truncated, damaged or something else: copy it again, or train again"
            }
            Self::Foreign { .. } | Self::Tensor { .. } => {
                "give the file that `patchtool train -o` wrote"
            }
            Self::WrongBackbone { .. } => {
                "give the backbone that it was trained on, or train again on this one"
            }
            Self::UnknownSite { .. }
            | Self::Missing { .. }
            | Self::Unexpected { .. }
            | Self::Length { .. } => "the file does not fit its own kind and backbone: train again",
            Self::Value { .. } => "training diverged: train again with a smaller --lr",
            Self::Backbone(error) => error.hint(),
            Self::Write(error) => error.hint(),
        }
    }
}
