//! Training that begins at the values of another training.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use graft_patches::{BackboneImage, Digest};
use graft_runtime::gradient::Norm;

use super::BatchNormMode;
use crate::file_kind::Expected;
use crate::hint::Hint;
use crate::input::ImageFile;
use crate::train::learner::Learner;
use crate::trained::Trained;

/// The trained file that `--start` names.
pub(super) struct Start {
    trained: Trained,
    /// Of the file.
    pub(super) digest: Digest,
}

impl Start {
    /// Reads it.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = ImageFile::read(path)?;
        file.check_kind(Expected::Trained)?;
        let unusable = || format!("cannot start from {}", path.display());
        Ok(Self {
            trained: Trained::from_bytes(file.bytes()).with_context(unusable)?,
            digest: Digest::of(file.bytes()),
        })
    }

    /// Puts its values into a learner, whose other settings are those of `template`, in this mode of its batch norms.
    pub(super) fn give(
        &self,
        learner: &mut Learner,
        template: &Trained,
        mode: BatchNormMode,
        backbone: &BackboneImage<'_>,
    ) -> Result<()> {
        let Self { trained, .. } = self;
        trained.check(backbone)?;
        let differing = [
            ("kind", trained.kind == template.kind),
            ("first layer", trained.from_layer == template.from_layer),
            ("labels", trained.labels == template.labels),
        ];
        if let Some((what, _)) = differing.iter().find(|(_, is_same)| !is_same) {
            bail!(Hint::new(
                format!("the values of --start were trained with another {what}"),
                "give the same --kind, --from-layer and classes, or leave --start out",
            ));
        }
        let statistics = |of: &Trained| -> Vec<[Vec<f32>; 2]> {
            let norms = of.sites.values().filter_map(|site| match &site.norm {
                Some(Norm::Batch(norm)) => Some([norm.mean.clone(), norm.var.clone()]),
                Some(Norm::Affine { .. }) | None => None,
            });
            norms.collect()
        };
        if mode == BatchNormMode::Batch || statistics(trained) != statistics(template) {
            bail!(Hint::new(
                "training goes on from --start with the backbone's own mean and variance alone"
                    .into(),
                "leave --batch-norm batch out, of both trainings, or leave --start out",
            ));
        }
        Ok(learner.start_at(&trained.sites, backbone)?)
    }
}
