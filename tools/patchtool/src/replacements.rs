//! Replacements of a patch, in f32, wherever they come from; and the patch of them for an f32 backbone. The one for an int8 backbone
//! is [`crate::quantize::patch`].

use std::collections::BTreeMap;

use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::{Dtype, Input, Kinds, What};
use graft_patches::writer::{self, PatchWriter, WriteError};
use graft_patches::{BackboneImage, ContinualState, ImageError, PatchImage, Replacement};
use graft_runtime::ImageBytes;

/// The contents of a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Replacements {
    /// Kinds that the patch claims.
    pub kinds: Kinds,
    /// Resolution and normalisation.
    pub input: Input,
    /// Labels and provenance.
    pub metadata: PatchMetadata,
    /// Its knowledge of its classes, where it goes on learning.
    pub continual_state: Option<ContinualState>,
    /// What its scores are divided by for probabilities that come true, where that was measured.
    pub temperature: Option<f32>,
    /// Layers before this one have the backbone's own values, of all that the kinds demand.
    pub from_layer: usize,
    /// New values by site of the backbone.
    pub sites: BTreeMap<usize, SiteReplacement>,
}

/// New values of one site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteReplacement {
    /// Rows of `[outputs][depth]` as in [`graft_patches::writer::SiteValues`].
    pub weights: Option<Vec<f32>>,
    /// Scale and bias, one of each for each output channel.
    pub epilogue: Option<(Vec<f32>, Vec<f32>)>,
}

impl Replacements {
    /// The replacements of a patch in f32 or f16, of the backbone that it is for or of the int8 twin of that. What its metadata
    /// say are the backbone's own values is left to the backbone.
    ///
    /// # Errors
    /// A patch in int8, values that do not fit the sites, metadata that cannot be read.
    pub fn of(patch: &PatchImage<'_>, backbone: &BackboneImage<'_>) -> Result<Self, ImageError> {
        if patch.dtype().of_backbone() != Dtype::F32 {
            return Err(ImageError::OtherDtype {
                found: patch.dtype(),
                expected: Dtype::F32,
            });
        }
        patch.check_sites(backbone)?;
        let metadata = patch.metadata()?;
        let from_layer = metadata.first_patched_layer.map_or(0, usize::from);
        let mut sites: BTreeMap<usize, SiteReplacement> = BTreeMap::new();
        for Replacement {
            site: index,
            what,
            outputs,
            values,
        } in patch.replacements()
        {
            let site = backbone.site(index);
            if site.layer < from_layer {
                continue;
            }
            let own = sites.entry(index).or_default();
            let values = values.to_vec();
            match what {
                What::Epilogue => own.epilogue = Some(unpack_epilogue(&values, outputs)),
                What::Weights => {
                    let rows = unpack_weights(&values, outputs, site.depth, site.is_depthwise);
                    own.weights = Some(rows);
                }
            }
        }
        Ok(Self {
            kinds: patch.kinds(),
            input: patch.input(),
            metadata,
            continual_state: patch.continual_state()?,
            temperature: patch.temperature(),
            from_layer,
            sites,
        })
    }

    /// The patch of these values for an f32 backbone.
    ///
    /// # Errors
    /// A backbone that is not f32, values that do not fit its sites or that `dtype` cannot hold. Whether the patch is complete
    /// is for the reader to say.
    pub fn compile(
        &self,
        backbone: &BackboneImage<'_>,
        dtype: Dtype,
    ) -> Result<Vec<u8>, WriteError> {
        if backbone.dtype() != dtype.of_backbone() {
            return Err(WriteError::Image(ImageError::OtherDtype {
                found: dtype,
                expected: backbone.dtype(),
            }));
        }
        let mut writer = PatchWriter::new(*backbone, self.kinds);
        writer
            .input(self.input)
            .dtype(dtype)
            .own_before(self.from_layer);
        for (&index, values) in &self.sites {
            if let Some(weights) = &values.weights {
                writer.weights(index, weights)?;
            }
            if let Some((scale, bias)) = &values.epilogue {
                writer.epilogue(index, scale, bias)?;
            }
        }
        if let Some(state) = &self.continual_state {
            writer.continual_state(state.clone());
        }
        with_temperature(writer.finish(&self.metadata)?, self.temperature)
    }
}

/// The patch with its temperature, if it has one.
///
/// # Errors
/// A temperature that no patch may have.
pub fn with_temperature(patch: Vec<u8>, temperature: Option<f32>) -> Result<Vec<u8>, WriteError> {
    match temperature {
        Some(temperature) => {
            let aligned = ImageBytes::copied(&patch);
            Ok(writer::with_temperature(aligned.as_slice(), temperature)?)
        }
        None => Ok(patch),
    }
}
