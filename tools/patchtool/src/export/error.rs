//! The errors between a task and its ONNX model.

use std::path::PathBuf;

use graft_onnx::graph::ConstantError;
use graft_patches::ImageError;
use graft_patches::writer::WriteError;

use crate::import::error::ImportError;
use crate::trained::{TrainKind, TrainedError};

/// A task that was not exported. [`ExportError::hint`] has the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A baseline as a patch.
    #[error("kind {kind} is a baseline only: it replaces every weight of the backbone")]
    Baseline {
        /// The trained kind.
        kind: TrainKind,
    },
    /// The shared file is there, with other contents.
    #[error("{} exists and does not hold the frozen weights of this backbone", path.display())]
    OtherWeights {
        /// The file.
        path: PathBuf,
    },
    /// The model has another structure than the backbone.
    #[error("layer {layer} ({name:?}): found {found}, expected {expected} as in the backbone")]
    Layer {
        /// Index of the first layer that differs.
        layer: usize,
        /// Its name in the backbone.
        name: String,
        /// In the model.
        found: String,
        /// In the backbone.
        expected: String,
    },
    /// The model has other values where every kind of patch leaves them frozen.
    #[error("the weights of site {site} ({name:?}) differ from the backbone's")]
    Frozen {
        /// The site.
        site: usize,
        /// Name of its weights in the backbone.
        name: String,
    },
    /// The backbone is not int8.
    #[error("the backbone computes in {found}, expected int8")]
    Float {
        /// Its dtype.
        found: graft_patches::records::Dtype,
    },
    /// The model is int8.
    #[error("the model is quantised, expected the float model of a task")]
    Quantised,
    /// The model's values are the backbone's.
    #[error("the model differs from the backbone in nothing: there is nothing to patch")]
    Same,
    /// A property of the model that cannot be read.
    #[error("the model's property {key:?} is {value:?}, expected {expected}")]
    Property {
        /// Its key.
        key: &'static str,
        /// As it stands in the file.
        value: String,
        /// The form that it should have.
        expected: &'static str,
    },
    /// Tensors of one name, which the model could not tell apart.
    #[error(transparent)]
    Constant(#[from] ConstantError),
    /// The model cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The trained values do not fit.
    #[error(transparent)]
    Trained(#[from] TrainedError),
    /// The backbone's metadata, or a model that cannot run.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Values that the patch format cannot hold.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A network that the runtime refuses.
    #[error(transparent)]
    Runtime(#[from] graft_runtime::Error),
}

impl ExportError {
    /// The remedy that a user has; of an error that this one passes on, its own hint.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Baseline { .. } => {
                "compare accuracies with it, or write it with --onnx and import that as a backbone"
            }
            Self::OtherWeights { .. } => {
                "write the model to another folder, or replace the file with --force"
            }
            Self::Layer { .. } => {
                "give a model of the backbone's own architecture, such as one that `patchtool export --onnx` wrote"
            }
            Self::Frozen { .. } => {
                "train only the head, batch norms and depthwise filters, or import the model as a backbone of its own"
            }
            Self::Float { .. } => {
                "give an int8 backbone (patchtool quantize), or a file that train wrote"
            }
            Self::Quantised => {
                "give the float model, or import the quantised one as a backbone of its own"
            }
            Self::Constant(_) => {
                "import the backbone again from a model whose tensors have names of their own"
            }
            Self::Same => "give the model of a trained task",
            Self::Property { .. } => "remove the property, or export the model again",
            Self::Import(error) => return error.hint(),
            Self::Trained(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Write(error) => error.hint(),
        };
        Some(hint.to_owned())
    }
}
