//! The way from a photograph to an input image.

use serde::{Deserialize, Serialize};

use crate::error::ImageError;

/// The way from a photograph to an input image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// The part of the photograph that is kept.
    pub fit: Fit,
    /// The resampling of pixels.
    pub filter: Filter,
}

/// The part of a photograph that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fit {
    /// The photograph is scaled to cover the input's size divided by this share in thousandths (875: 256 for 224),
    /// then the centre is cropped.
    Crop {
        /// Share of the scaled photograph that the crop keeps, in thousandths.
        share: u32,
    },
    /// The whole photograph is stretched to the input's size.
    #[default]
    Stretch,
}

/// The resampling of pixels; both with the support scaled when shrinking, as PIL does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// a = -0.5, as TensorFlow's EfficientNets are trained.
    #[default]
    Bicubic,
    /// As torchvision's classification models are trained.
    Bilinear,
}

/// Shares that a crop may keep, in thousandths: with less a photograph is scaled to many times its size.
const SHARES: core::ops::RangeInclusive<u32> = 100..=1000;

impl Resize {
    /// The same, but what is cropped from photographs to get the input's aspect ratio is all that is cropped: images of a task
    /// show little else than what they are of.
    pub fn uncropped(self) -> Self {
        let fit = match self.fit {
            Fit::Crop { .. } => Fit::Crop { share: 1000 },
            Fit::Stretch => Fit::Stretch,
        };
        Self { fit, ..self }
    }

    /// Checks that a photograph can be resized like that.
    ///
    /// # Errors
    /// [`ImageError::Crop`].
    pub fn check(&self) -> Result<(), ImageError> {
        match self.fit {
            Fit::Crop { share } if !SHARES.contains(&share) => {
                Err(ImageError::Crop { found: share })
            }
            Fit::Crop { .. } | Fit::Stretch => Ok(()),
        }
    }
}

impl core::fmt::Display for Resize {
    /// As `patchtool import --resize` takes it: `crop:0.875:bicubic`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.fit {
            Fit::Crop { share } => write!(f, "crop:{}", f64::from(share) / 1000.0)?,
            Fit::Stretch => f.write_str("stretch")?,
        }
        f.write_str(match self.filter {
            Filter::Bicubic => ":bicubic",
            Filter::Bilinear => ":bilinear",
        })
    }
}

impl core::str::FromStr for Resize {
    type Err = UnknownResize;

    /// As it is shown; without a filter, bilinear.
    fn from_str(text: &str) -> Result<Self, UnknownResize> {
        let (fit, filter) = match text.rsplit_once(':') {
            Some((fit, "bicubic")) => (fit, Filter::Bicubic),
            Some((fit, "bilinear")) => (fit, Filter::Bilinear),
            _ => (text, Filter::Bilinear),
        };
        let share = fit
            .strip_prefix("crop:")
            .and_then(|share| share.parse::<f32>().ok());
        let fit = match share {
            Some(share) if (0.1..=1.0).contains(&share) => Fit::Crop {
                share: (share * 1000.0 + 0.5) as u32,
            },
            None if fit == "stretch" => Fit::Stretch,
            _ => return Err(UnknownResize),
        };
        Ok(Self { fit, filter })
    }
}

/// Text that names no way to resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected stretch or crop:SHARE (0.1 to 1), then :bicubic or :bilinear")]
pub struct UnknownResize;
