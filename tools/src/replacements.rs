//! What a patch replaces, in f32, wherever it comes from; and the patch of it for an f32 backbone. The one for an int8 backbone
//! is [`crate::quantize::patch`].

use std::collections::BTreeMap;

use graft_patches::metadata::PatchMetadata;
use graft_patches::records::{Dtype, Input, Kinds};
use graft_patches::writer::{PatchWriter, WriteError};
use graft_patches::{BackboneImage, ImageError, Learned};

/// The contents of a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Replacements {
    /// Kinds that the patch claims.
    pub kinds: Kinds,
    /// Resolution and normalisation.
    pub input: Input,
    /// Labels and provenance.
    pub metadata: PatchMetadata,
    /// What it knows of its classes, where it goes on learning.
    pub learned: Option<Learned>,
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
        writer.input(self.input).dtype(dtype);
        for (&index, values) in &self.sites {
            if let Some(weights) = &values.weights {
                writer.weights(index, weights)?;
            }
            if let Some((scale, bias)) = &values.epilogue {
                writer.epilogue(index, scale, bias)?;
            }
        }
        if let Some(learned) = &self.learned {
            writer.learned(learned.clone());
        }
        writer.finish(&self.metadata)
    }
}
