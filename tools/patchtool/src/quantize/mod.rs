//! Int8 from f32, after training: a whole backbone ([`backbone`]), or a patch for one that is int8 already
//! ([`patch`]).
//!
//! Weights are symmetric, with a scale for each output channel. Activations have a scale and a zero point for each tensor,
//! chosen by what the f32 network computes from some images ([`Statistics`], [`Method`]). All requantisation tables follow
//! from those (`graft_patches::scale`).
//!
//! The same images and settings give the same bytes again on a machine that picks the same f32 kernels. Others round
//! differently, which may move a scale by a little and so the backbone's id: an int8 backbone is made once and kept, as a
//! trained file is.

mod backbone;
mod images;
mod method;
mod noise;
mod patch;
mod statistics;
#[cfg(test)]
mod tests;
mod weights;

pub use backbone::{QuantizedBackbone, Settings, backbone};
pub use images::Images;
pub use method::{Method, UnknownMethod};
pub use noise::{grade, signal_to_noise};
pub use patch::{QuantizedPatch, patch};
pub use statistics::Statistics;

use graft_patches::geometry::Shape;
use graft_patches::records::Dtype;
use graft_patches::writer::WriteError;
use graft_patches::{BackboneImage, Digest, ImageError};

use crate::watch::Stopped;

/// The id of a backbone; of one in int8, that of the f32 one that it was made of.
///
/// # Errors
/// Metadata that cannot be read.
pub fn float_id(backbone: &BackboneImage<'_>) -> Result<Digest, ImageError> {
    let quantized = backbone.metadata()?.quantized;
    Ok(quantized.map_or(backbone.id(), |quantized| quantized.from))
}

/// Reasons why something cannot be quantised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// A backbone of the wrong dtype.
    #[error("the backbone is {found}, expected {expected}")]
    Dtype {
        /// Its dtype.
        found: Dtype,
        /// The dtype that is needed.
        expected: Dtype,
    },
    /// No images to calibrate with.
    #[error("no image to calibrate with")]
    NoImages,
    /// A layer that computed something that is not a number, or infinity.
    #[error("layer {layer} computes {value} from the calibration images, expected finite numbers")]
    NotFinite {
        /// The layer.
        layer: usize,
        /// The value that it computed.
        value: f32,
    },
    /// Images for another input than the patch's.
    #[error("images of {found} values for an input of {expected}")]
    Input {
        /// Values of an image.
        found: usize,
        /// The input.
        expected: Shape,
    },
    /// Values that do not fit the backbone, or that the format has no room for.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The command was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Errors of the runtime.
    #[error(transparent)]
    Runtime(#[from] graft_runtime::Error),
}

impl From<graft_patches::ImageError> for QuantizeError {
    fn from(error: graft_patches::ImageError) -> Self {
        Self::Runtime(error.into())
    }
}

impl QuantizeError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Dtype { expected, .. } => match expected {
                Dtype::I8 => "make an int8 backbone of it with `patchtool quantize`",
                Dtype::F32 | Dtype::F16 | Dtype::I8Half => {
                    "give an f32 backbone, as `patchtool import` makes it"
                }
            },
            Self::NoImages => {
                "give a folder, tar or zip archive with images like those that the device will see"
            }
            Self::NotFinite { .. } => {
                "check the backbone's normalisation (--mean, --std of import) and its weights"
            }
            Self::Input { .. } => "prepare the images for the patch's own input",
            Self::Write(error) => error.hint(),
            Self::Stopped(_) => "start it again",
            Self::Runtime(error) => error.hint(),
        }
    }
}
