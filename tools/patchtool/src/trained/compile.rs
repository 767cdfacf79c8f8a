//! From trained values to a patch.

use std::path::Path;

use graft_patches::BackboneImage;
use graft_patches::metadata::{PatchMetadata, SiteMetadata, Training};
use graft_patches::records::Dtype;
use graft_runtime::gradient::{Norm, SiteParameters};

use super::{Trained, TrainedError};
use crate::replacements::{Replacements, SiteReplacement};

impl Trained {
    /// The `.patch` of these values. A baseline becomes a patch of kind `generated` that replaces every site: for
    /// evaluation, as large as a backbone.
    ///
    /// # Errors
    /// Whatever [`Trained::check`] refuses, and values that `dtype` cannot hold.
    pub fn compile(
        &self,
        backbone: &BackboneImage<'_>,
        dtype: Dtype,
    ) -> Result<Vec<u8>, TrainedError> {
        Ok(self.replacements(backbone)?.compile(backbone, dtype)?)
    }

    /// The replacements of the patch of these values: batch norms folded with each site's own bias. The backbone is the one that
    /// they were trained on, or its int8 twin.
    ///
    /// # Errors
    /// Whatever [`Trained::check`] refuses.
    pub fn replacements(&self, backbone: &BackboneImage<'_>) -> Result<Replacements, TrainedError> {
        self.check(backbone)?;
        let own = backbone.metadata()?.sites;
        let sites = self.sites.iter();
        Ok(Replacements {
            kinds: self.kind.kinds(),
            input: self.input,
            metadata: self.metadata(),
            continual_state: None,
            temperature: self.metrics.temperature,
            from_layer: self.from_layer,
            sites: sites
                .map(|(&index, values)| (index, replacement(values, own.get(index))))
                .collect(),
        })
    }

    /// The patch's own metadata.
    fn metadata(&self) -> PatchMetadata {
        let data = Path::new(&self.data.path).file_name().unwrap_or_default();
        PatchMetadata {
            name: self.name.clone(),
            source: format!("trained on {}", data.to_string_lossy()),
            tool: crate::TOOL.into(),
            resize: self.resize,
            first_patched_layer: None,
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

/// A site's trained values; `own` holds the backbone's own bias of it.
fn replacement(values: &SiteParameters, own: Option<&SiteMetadata>) -> SiteReplacement {
    let fold = |norm: &Norm| match norm {
        Norm::Batch(norm) => norm.fold(own.and_then(|site| site.bias.as_deref())),
        Norm::Affine { scale, bias } => (scale.clone(), bias.clone()),
    };
    SiteReplacement {
        weights: values.weights.clone(),
        epilogue: values.norm.as_ref().map(fold),
    }
}
