//! From trained values to a patch.

use std::path::Path;

use graft_patches::BackboneImage;
use graft_patches::metadata::{PatchMetadata, Training};
use graft_patches::records::Dtype;
use graft_patches::writer::PatchWriter;
use graft_runtime::gradient::Norm;

use super::{Trained, TrainedError};

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
        let sites = backbone.metadata()?.sites;
        let mut writer = PatchWriter::new(*backbone, self.kind.kinds());
        writer.input(self.input).dtype(dtype);
        for (&index, values) in &self.sites {
            if let Some(weights) = &values.weights {
                writer.weights(index, weights)?;
            }
            match &values.norm {
                Some(Norm::Batch(norm)) => {
                    let own = sites.get(index).and_then(|site| site.bias.as_deref());
                    let (scale, bias) = norm.fold(own);
                    writer.epilogue(index, &scale, &bias)?;
                }
                Some(Norm::Affine { scale, bias }) => {
                    writer.epilogue(index, scale, bias)?;
                }
                None => {}
            }
        }
        Ok(writer.finish(&self.metadata())?)
    }

    /// What the patch says of itself.
    fn metadata(&self) -> PatchMetadata {
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
