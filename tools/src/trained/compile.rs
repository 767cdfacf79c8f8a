//! From trained values to a patch.

use std::collections::BTreeMap;
use std::path::Path;

use graft_patches::metadata::{PatchMetadata, SiteMetadata, Training};
use graft_patches::records::Dtype;
use graft_patches::writer::PatchWriter;
use graft_patches::{BackboneImage, ImageError};
use graft_runtime::gradient::{Norm, SiteParameters};

use super::{Trained, TrainedError};

/// Scales and biases by site.
pub(crate) type Epilogues = BTreeMap<usize, (Vec<f32>, Vec<f32>)>;

impl Trained {
    /// The `.patch` of these values: batch norms folded with each site's own bias, everything packed. A baseline
    /// becomes a patch of kind `generated` that replaces every site: for evaluation, as large as a backbone.
    ///
    /// # Errors
    /// Whatever [`Trained::check`] refuses, and values that `dtype` cannot hold.
    pub fn compile(
        &self,
        backbone: &BackboneImage<'_>,
        dtype: Dtype,
    ) -> Result<Vec<u8>, TrainedError> {
        self.check(backbone)?;
        let epilogues = self.epilogues(&backbone.metadata()?.sites);
        self.write(backbone, dtype, &epilogues)
    }

    /// The patch of checked values, for any f32 backbone with the same sites.
    pub(crate) fn write(
        &self,
        backbone: &BackboneImage<'_>,
        dtype: Dtype,
        epilogues: &Epilogues,
    ) -> Result<Vec<u8>, TrainedError> {
        if backbone.dtype() != Dtype::F32 {
            return Err(TrainedError::Backbone(ImageError::OtherDtype {
                found: dtype,
                expected: backbone.dtype(),
            }));
        }
        let mut writer = PatchWriter::new(*backbone, self.kind.kinds());
        writer.input(self.input).dtype(dtype);
        for (&index, values) in &self.sites {
            if let Some(weights) = &values.weights {
                writer.weights(index, weights)?;
            }
            if let Some((scale, bias)) = epilogues.get(&index) {
                writer.epilogue(index, scale, bias)?;
            }
        }
        Ok(writer.finish(&self.metadata())?)
    }

    /// What follows the weights of the sites where that was trained; `sites` holds the backbone's own biases, which batch
    /// norms are folded with.
    pub(crate) fn epilogues(&self, sites: &[SiteMetadata]) -> Epilogues {
        let fold = |(&index, values): (&usize, &SiteParameters)| {
            let epilogue = match values.norm.as_ref()? {
                Norm::Batch(norm) => {
                    let own = sites.get(index).and_then(|site| site.bias.as_deref());
                    norm.fold(own)
                }
                Norm::Affine { scale, bias } => (scale.clone(), bias.clone()),
            };
            Some((index, epilogue))
        };
        self.sites.iter().filter_map(fold).collect()
    }

    /// What the patch says of itself.
    pub(crate) fn metadata(&self) -> PatchMetadata {
        let data = Path::new(&self.data.path).file_name().unwrap_or_default();
        PatchMetadata {
            name: self.name.clone(),
            source: format!("trained on {}", data.to_string_lossy()),
            tool: crate::TOOL.into(),
            resize: self.resize,
            first_patched_layer: 0,
            labels: self.labels.clone(),
            training: Some(Training {
                kind: self.kind.to_string(),
                tool: self.tool.clone(),
                seed: self.seed,
                data: self.data.digest,
                images: self.data.images,
                test_images: self.data.test_images,
                best_epoch: self.metrics.best_epoch,
                test_accuracy: self.metrics.test_accuracy,
            }),
            calibration: None,
        }
    }
}
