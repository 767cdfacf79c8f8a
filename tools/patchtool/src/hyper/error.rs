//! Errors of a generator's file, and of generating.

use std::io;
use std::path::PathBuf;

use graft_onnx::tensor::TensorError;
use graft_patches::{Digest, ImageError};

use super::examples::ExamplesError;
use super::generated::GeneratedError;
use graft_data::output::OutputError;

/// Reasons why a generator was not read, or did not generate. [`HyperError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HyperError {
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Something else.
    #[error("not an ONNX model")]
    NotOnnx,
    /// Cut short, or with other bytes than were written.
    #[error("the generator is truncated or damaged: {found}")]
    Damaged {
        /// The sign of it.
        found: &'static str,
    },
    /// Another ONNX model.
    #[error("an ONNX model, but not a generator: it has no property {key:?}")]
    NotAGenerator {
        /// Key of the first property that is missing.
        key: &'static str,
    },
    /// Of another patchtool: up to version 1, heads were generated too, of any backbone.
    #[error("the generator has format version {found}, this patchtool reads {expected}")]
    Version {
        /// In the file.
        found: String,
        /// The one that can be read.
        expected: u32,
    },
    /// A property that cannot be read.
    #[error("the generator's property {key:?} cannot be read: {reason}")]
    Property {
        /// Its key.
        key: &'static str,
        /// The fault.
        reason: String,
    },
    /// Inputs or outputs that do not belong to the configuration.
    #[error("the generator's {what} are {found:?}, its configuration says {expected:?}")]
    Interface {
        /// Inputs or outputs.
        what: &'static str,
        /// Their names in the file.
        found: Vec<String>,
        /// As they should be.
        expected: Vec<String>,
    },
    /// A graph that is not the one which this code would write for the configuration: the code would generate something else.
    #[error(
        "the generator's graph is {found:.12}, this patchtool computes {expected:.12}: it would make other patches"
    )]
    OtherGraph {
        /// Digest of the calculation in the file.
        found: Digest,
        /// Of the calculation in this code.
        expected: Digest,
    },
    /// A trained parameter that does not fit the configuration.
    #[error("parameter {name:?} has {found} values, expected {expected}")]
    Parameter {
        /// Its name.
        name: String,
        /// Values given; 0 where it is missing.
        found: usize,
        /// Values of the configuration.
        expected: usize,
    },
    /// A trained parameter that cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A trained parameter that is no number, or too large for half precision.
    #[error(
        "parameter {name:?} has the value {value}, expected finite numbers, up to 65504 in half precision"
    )]
    NotFinite {
        /// Its name.
        name: String,
        /// The value.
        value: f32,
    },
    /// A support set that the generator cannot read.
    #[error(transparent)]
    Examples(#[from] ExamplesError),
    /// Weights to start from that do not fit, or are missing, or were not asked for.
    #[error("start weights have {found:?} values by convolution, expected {expected:?}")]
    Start {
        /// As given.
        found: Vec<usize>,
        /// As the configuration says; nothing where the generator is not continual.
        expected: Vec<usize>,
    },
    /// A backbone that it was not trained for.
    #[error("the generator is for backbone {expected}, found {found}")]
    Backbone {
        /// Id of the backbone, or of the f32 one that it was made of.
        found: Digest,
        /// The one that it was trained for.
        expected: Digest,
    },
    /// A generator that makes every patch anew.
    #[error("the generator was not trained to go on from an earlier patch")]
    NotContinual,
    /// An int8 backbone or patch: each step would go on from rounded weights.
    #[error("continual generators go on from weights in f32, found int8")]
    ContinualInt8,
    /// A patch that says nothing of what it has learned, or lacks weights.
    #[error("the patch was not made by a continual generator")]
    NotLearned,
    /// Neither a new task nor more of known classes.
    #[error("{known} classes are in the patch already, {new} are not")]
    MixedClasses {
        /// Known ones.
        known: usize,
        /// Others.
        new: usize,
    },
    /// More classes than a plan has room for, values that are not finite.
    #[error(transparent)]
    Generated(#[from] GeneratedError),
    /// A backbone or patch that cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl HyperError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "check the path and the permissions",
            Self::Output(error) => error.hint(),
            Self::NotOnnx | Self::NotAGenerator { .. } => {
                "give a .hyper file that patchtool meta-train wrote"
            }
            Self::Damaged { .. } | Self::Tensor(_) => {
                "copy the file again, or train the generator again"
            }
            Self::Version { .. } => {
                "train it again with this patchtool; heads of a backbone need no generator: patchtool generate --method gd++ --backbone B --support DIR"
            }
            Self::Property { .. } | Self::Interface { .. } => {
                "train the generator again with this patchtool"
            }
            Self::OtherGraph { .. } => {
                "use the patchtool that trained the generator, or train it again with this one"
            }
            Self::Parameter { .. } => "give the parameters of a generator of this configuration",
            Self::NotFinite { .. } => "train with a smaller --lr, or without --f16",
            Self::Examples(error) => error.hint(),
            Self::Backbone { .. } => "give the backbone that was written with the generator",
            Self::NotContinual => "train a generator with meta-train --continual",
            Self::ContinualInt8 => {
                "give the f32 backbone and a patch in f32; export makes the int8 patch of that"
            }
            Self::NotLearned => "start with a patch that generate made with this generator",
            Self::MixedClasses { .. } => {
                "give only new classes, which become a task, or only known ones, which are learned further"
            }
            Self::Generated(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Start { .. } => {
                "give the convolution weights of the previous patch to a continual generator, and none to another"
            }
        }
    }
}
