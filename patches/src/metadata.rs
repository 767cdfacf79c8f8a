//! Metadata in postcard: what people and host tools need, never needed to run.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::ImageError;
pub use crate::resize::{Filter, Fit, Resize, UnknownResize};

/// Checks that there are not more class names than classes.
pub(crate) fn check_labels(labels: &[String], classes: usize) -> Result<(), ImageError> {
    match labels.len() <= classes {
        true => Ok(()),
        false => Err(ImageError::Labels {
            found: labels.len(),
            expected: classes,
        }),
    }
}

/// Metadata of a backbone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackboneMetadata {
    /// Name, such as `efficientnet-lite0`.
    pub name: String,
    /// File or architecture it was imported from.
    pub source: String,
    /// Tool and version that wrote it.
    pub tool: String,
    /// The resizing of photographs.
    pub resize: Resize,
    /// Class names by index; may be empty.
    pub labels: Vec<String>,
    /// Layer names by index.
    pub layers: Vec<String>,
    /// Per site.
    pub sites: Vec<SiteMetadata>,
    /// The origin of an int8 backbone; `None` in f32.
    pub quantized: Option<QuantizedFrom>,
}

/// The making of an int8 backbone from an f32 one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuantizedFrom {
    /// Id of the f32 backbone: what its patches were trained for. Zero where there was none.
    pub from: Digest,
    /// The choice of scales.
    pub calibration: Calibration,
    /// Signal-to-noise ratio of each layer's output in decibels, on the calibration images; empty where it is not known.
    pub signal_to_noise: Vec<f32>,
}

/// The images and the method that the scales of activations were chosen by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The method and its setting, as `patchtool quantize --method` takes it.
    pub method: String,
    /// Digest of the images.
    pub data: Digest,
    /// Their number.
    pub images: u32,
}

/// The importer's knowledge of a site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SiteMetadata {
    /// Name of the weight tensor in the model (ONNX initialiser, state-dict key).
    pub weight: String,
    /// The layer's own bias.
    pub bias: Option<Vec<f32>>,
    /// Raw batch norm: where training starts from.
    pub batch_norm: Option<BatchNorm>,
}

impl SiteMetadata {
    /// Checks that batch norm and bias have a value for each of a site's outputs and can be computed with: they are
    /// needed only to train, so opening a backbone leaves them alone.
    ///
    /// # Errors
    /// [`ImageError::NormLength`], [`ImageError::NormValue`].
    pub fn check(&self, site: usize, outputs: usize) -> Result<(), ImageError> {
        let own = self.bias.iter().map(|bias| ("own bias", bias));
        let norm = self.batch_norm.iter().flat_map(|norm| {
            [
                ("gamma", &norm.gamma),
                ("beta", &norm.beta),
                ("mean", &norm.mean),
                ("variance", &norm.var),
            ]
        });
        let wrong = |channel, what, found, expected| ImageError::NormValue {
            site,
            channel,
            what,
            found,
            expected,
        };
        for (what, values) in own.chain(norm) {
            if values.len() != outputs {
                return Err(ImageError::NormLength {
                    site,
                    what,
                    found: values.len(),
                    expected: outputs,
                });
            }
            if let Some(channel) = values.iter().position(|value| !value.is_finite()) {
                let found = f64::from(values[channel]);
                return Err(wrong(channel, what, found, "a finite number"));
            }
        }
        let Some(norm) = &self.batch_norm else {
            return Ok(());
        };
        for (channel, &var) in norm.var.iter().enumerate() {
            let found = f64::from(var) + f64::from(norm.epsilon);
            if !(found > 0.0 && found.is_finite()) {
                let what = "variance + epsilon";
                return Err(wrong(channel, what, found, "a finite number above zero"));
            }
        }
        Ok(())
    }
}

/// Raw batch-norm parameters, one value a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// Name in the model.
    pub name: String,
    /// Scale.
    pub gamma: Vec<f32>,
    /// Shift.
    pub beta: Vec<f32>,
    /// Running mean.
    pub mean: Vec<f32>,
    /// Running variance.
    pub var: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl BatchNorm {
    /// The fold of `runtime/ARCHITECTURE.md` ("The idea"), with the convolution's own bias: scale = gamma / sqrt(var + eps),
    /// bias = beta + (own - mean) * scale. Computed in f64, rounded once. For as many channels as have all values.
    #[cfg(feature = "std")]
    pub fn fold(&self, own: Option<&[f32]>) -> (Vec<f32>, Vec<f32>) {
        let channels = self.lengths().chain(own.map(<[f32]>::len)).min();
        (0..channels.unwrap_or(0))
            .map(|c| {
                let deviation = (f64::from(self.var[c]) + f64::from(self.epsilon)).sqrt();
                let scale = f64::from(self.gamma[c]) / deviation;
                let own = own.map_or(0.0, |own| f64::from(own[c]));
                let bias = f64::from(self.beta[c]) + (own - f64::from(self.mean[c])) * scale;
                (scale as f32, bias as f32)
            })
            .unzip()
    }

    #[cfg(feature = "std")]
    fn lengths(&self) -> impl Iterator<Item = usize> {
        [&self.gamma, &self.beta, &self.mean, &self.var]
            .into_iter()
            .map(Vec::len)
    }
}

/// Metadata of a patch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatchMetadata {
    /// The task that it serves.
    pub name: String,
    /// The origin of its values.
    pub source: String,
    /// Tool and version that wrote it.
    pub tool: String,
    /// The resizing of photographs.
    pub resize: Resize,
    /// First layer that computes with other values than the backbone's own; `None` where all are the same. The writer fills
    /// it in.
    #[serde(with = "layer_or_none")]
    pub first_patched_layer: Option<u16>,
    /// Class names by index; empty where the backbone's own head and labels serve.
    pub labels: Vec<String>,
    /// The training of its values; `None` where they were not, or nothing is known of it.
    pub training: Option<Training>,
    /// The choice of its scales; `None` in f32, and where they are the backbone's.
    pub calibration: Option<Calibration>,
}

/// A layer as a number, [`NONE`] where there is none.
mod layer_or_none {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::records::NONE;

    pub(super) fn serialize<S: Serializer>(layer: &Option<u16>, to: S) -> Result<S::Ok, S::Error> {
        layer.unwrap_or(NONE).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
        u16::deserialize(from).map(|layer| (layer != NONE).then_some(layer))
    }
}

/// The facts of the training run behind a patch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The kind that was trained, as `patchtool train --kind` takes it.
    pub kind: String,
    /// Tool and version that trained it.
    pub tool: String,
    /// Of every random number of the run.
    pub seed: u64,
    /// Digest of the data set.
    pub data: Digest,
    /// Images trained on.
    pub images: u32,
    /// Images that the accuracy was measured on.
    pub test_images: u32,
    /// The epoch that the values are from, counted from 1.
    pub best_epoch: u32,
    /// Share of the test images whose first guess was right, 0 to 1.
    pub test_accuracy: f32,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{BatchNorm, ImageError, SiteMetadata};

    fn site() -> SiteMetadata {
        SiteMetadata {
            bias: Some(vec![0.5; 2]),
            batch_norm: Some(BatchNorm {
                gamma: vec![1.0; 2],
                beta: vec![0.0; 2],
                mean: vec![0.0; 2],
                var: vec![0.0; 2],
                epsilon: 1e-3,
                ..BatchNorm::default()
            }),
            ..SiteMetadata::default()
        }
    }

    fn refused(change: impl FnOnce(&mut SiteMetadata, &mut BatchNorm)) -> ImageError {
        let mut site = site();
        let mut norm = site.batch_norm.take().expect("it has one");
        change(&mut site, &mut norm);
        site.batch_norm = Some(norm);
        site.check(7, 2).expect_err("the metadata is wrong")
    }

    #[test]
    fn metadata_of_a_site_is_checked() {
        assert_eq!(site().check(0, 2), Ok(()));
        assert_eq!(SiteMetadata::default().check(0, 2), Ok(()));
        let short = |what, found| ImageError::NormLength {
            site: 7,
            what,
            found,
            expected: 2,
        };
        assert_eq!(
            refused(|site, _| site.bias = Some(vec![])),
            short("own bias", 0)
        );
        assert_eq!(refused(|_, norm| norm.gamma.push(1.0)), short("gamma", 3));
        assert_eq!(refused(|_, norm| norm.beta.clear()), short("beta", 0));
        assert_eq!(refused(|_, norm| norm.mean.clear()), short("mean", 0));
        assert_eq!(refused(|_, norm| norm.var.clear()), short("variance", 0));
        for (value, epsilon) in [
            (f32::NAN, 1.0),
            (-1.0, 1.0),
            (0.0, 0.0),
            (0.0, f32::INFINITY),
        ] {
            let error = refused(|_, norm| (norm.var[1], norm.epsilon) = (value, epsilon));
            assert!(
                matches!(error, ImageError::NormValue { site: 7, .. }),
                "{error}"
            );
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn what_is_too_short_is_folded_as_far_as_it_goes() {
        let mut norm = site().batch_norm.expect("it has one");
        norm.var.pop();
        assert_eq!(norm.fold(None).0.len(), 1);
        assert_eq!(norm.fold(Some(&[])).0.len(), 0);
    }
}
