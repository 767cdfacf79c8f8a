//! Writes a patch for a backbone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use half::f16;
use half::vec::HalfFloatVecExt;
use zerocopy::IntoBytes;

use crate::assemble::assemble;
use crate::backbone::BackboneImage;
use crate::continual_state::ContinualState;
use crate::difference::first_difference;
use crate::layout::{pack_epilogue, pack_weights};
use crate::metadata::PatchMetadata;
use crate::patch::Replacement;
use crate::records::{Dtype, Input, InputRecord, Kinds, PatchRecord, Site, What};
use crate::scale::ScaleRecord;
use crate::section::{Kind, SectionKind};
use crate::values::Values;

use super::{WriteError, append};

/// Collects replacements for an f32 backbone in any order, then writes the image. A later replacement of the same values
/// wins.
#[derive(Debug)]
pub struct PatchWriter<'a> {
    backbone: BackboneImage<'a>,
    kinds: Kinds,
    input: Input,
    dtype: Dtype,
    values: BTreeMap<(usize, What), (usize, Vec<f32>)>,
    continual_state: Option<ContinualState>,
}

impl<'a> PatchWriter<'a> {
    /// A patch of these kinds for a backbone, at the backbone's own resolution and normalisation.
    pub fn new(backbone: BackboneImage<'a>, kinds: Kinds) -> Self {
        Self {
            backbone,
            kinds,
            input: backbone.input(),
            dtype: Dtype::F32,
            values: BTreeMap::new(),
            continual_state: None,
        }
    }

    /// A patch of these kinds filled with the backbone's own values: it changes nothing, and is the place to start
    /// from. Of kind `generated`, every site.
    ///
    /// # Panics
    /// If the backbone is int8: [`super::Int8PatchWriter`] is for those.
    pub fn identity(backbone: BackboneImage<'a>, kinds: Kinds) -> Self {
        let mut writer = Self::new(backbone, kinds);
        writer.own(backbone.layer_count(), |site, what| {
            kinds.covers(site, what, Dtype::F32)
        });
        writer
    }

    /// The backbone's own values of all that the kinds demand before a layer: what they only allow is left to the backbone.
    ///
    /// # Panics
    /// If the backbone is int8.
    pub fn own_before(&mut self, layer: usize) -> &mut Self {
        let kinds = self.kinds;
        self.own(layer, |site, what| kinds.requires(site, what).is_some());
        self
    }

    /// The backbone's own values of these parts of sites before a layer.
    fn own(&mut self, layer: usize, is_taken: impl Fn(&Site, What) -> bool) {
        let backbone = self.backbone;
        for index in 0..backbone.site_count() {
            let site = backbone.site(index);
            for what in What::ALL {
                if site.layer >= layer || !is_taken(&site, what) {
                    continue;
                }
                let own = match what {
                    What::Epilogue => backbone.epilogue(&site),
                    What::Weights => backbone.weights(&site),
                };
                let values = (site.outputs, own.to_vec());
                self.values.insert((index, what), values);
            }
        }
    }

    /// Another resolution or normalisation than the backbone's.
    pub fn input(&mut self, input: Input) -> &mut Self {
        self.input = input;
        self
    }

    /// The storage of values: [`Dtype::F32`] unless said otherwise, or [`Dtype::F16`].
    ///
    /// # Panics
    /// If it is the dtype of patches for another backbone.
    pub fn dtype(&mut self, dtype: Dtype) -> &mut Self {
        assert_eq!(
            dtype.of_backbone(),
            Dtype::F32,
            "values for an int8 backbone"
        );
        self.dtype = dtype;
        self
    }

    /// Scale and bias of a site, one value a channel.
    ///
    /// # Errors
    /// [`WriteError::Values`] where there are not as many biases as scales, or no such site.
    pub fn epilogue(
        &mut self,
        site: usize,
        scale: &[f32],
        bias: &[f32],
    ) -> Result<&mut Self, WriteError> {
        self.check_site(site)?;
        if scale.len() != bias.len() {
            return Err(WriteError::Values {
                site,
                what: "biases",
                found: bias.len(),
                expected: scale.len(),
            });
        }
        let packed = pack_epilogue(scale, bias);
        self.values
            .insert((site, What::Epilogue), (scale.len(), packed));
        Ok(self)
    }

    /// Weights of a site, `[outputs][depth]` as in [`super::SiteValues`].
    ///
    /// # Errors
    /// [`WriteError::Values`] where they are no whole number of output channels, or no such site.
    pub fn weights(&mut self, site: usize, weights: &[f32]) -> Result<&mut Self, WriteError> {
        self.check_site(site)?;
        let record = self.backbone.site(site);
        let outputs = weights.len() / record.depth;
        if outputs * record.depth != weights.len() {
            return Err(WriteError::Values {
                site,
                what: "weights",
                found: weights.len(),
                expected: record.outputs * record.depth,
            });
        }
        let packed = pack_weights(weights, outputs, record.depth, record.is_depthwise);
        self.values.insert((site, What::Weights), (outputs, packed));
        Ok(self)
    }

    /// The state that continual learning goes on from.
    pub fn continual_state(&mut self, state: ContinualState) -> &mut Self {
        self.continual_state = Some(state);
        self
    }

    fn check_site(&self, site: usize) -> Result<(), WriteError> {
        if site < self.backbone.site_count() {
            return Ok(());
        }
        Err(WriteError::Image(crate::ImageError::UnknownSite {
            found: site,
            expected: self.backbone.site_count(),
        }))
    }

    /// Writes the image.
    ///
    /// # Errors
    /// [`WriteError::Metadata`], and [`WriteError::Half`] in half precision. Whether the patch is complete is for the reader to say: see
    /// [`crate::PatchImage::check_against`].
    pub fn finish(&self, metadata: &PatchMetadata) -> Result<Vec<u8>, WriteError> {
        let (mut values, mut read) = (BTreeMap::new(), Vec::new());
        for (&(site, what), (outputs, own)) in &self.values {
            let (stored, own) = match self.dtype {
                Dtype::F16 => {
                    let halves = narrowed(site, what, own)?;
                    (halves.as_bytes().to_vec(), Values::F16(&halves).to_vec())
                }
                Dtype::F32 => (own.as_bytes().to_vec(), own.clone()),
                Dtype::I8 | Dtype::I8Half => unreachable!("refused by `PatchWriter::dtype`"),
            };
            values.insert((site, what), (*outputs, stored));
            read.push((site, what, *outputs, own));
        }
        let read = read.iter().map(|(site, what, outputs, own)| Replacement {
            site: *site,
            what: *what,
            outputs: *outputs,
            values: Values::F32(own),
        });
        let contents = Contents {
            kinds: self.kinds,
            input: self.input,
            dtype: self.dtype,
            scales: &[],
            continual_state: self.continual_state.as_ref(),
            values,
            first_patched_layer: first_patched_layer(&self.backbone, &[], read),
        };
        contents.write(&self.backbone, metadata)
    }
}

/// The contents of a patch, as stored.
pub(super) struct Contents<'a> {
    pub(super) kinds: Kinds,
    pub(super) input: Input,
    pub(super) dtype: Dtype,
    pub(super) scales: &'a [ScaleRecord],
    pub(super) continual_state: Option<&'a ContinualState>,
    /// By site: output channels and packed bytes.
    pub(super) values: BTreeMap<(usize, What), (usize, Vec<u8>)>,
    pub(super) first_patched_layer: Option<u16>,
}

impl Contents<'_> {
    pub(super) fn write(
        &self,
        backbone: &BackboneImage<'_>,
        metadata: &PatchMetadata,
    ) -> Result<Vec<u8>, WriteError> {
        let mut values_section = Vec::new();
        let records: Vec<PatchRecord> = self
            .values
            .iter()
            .map(|(&(site, what), (outputs, values))| PatchRecord {
                site: (site as u16).into(),
                what: what as u8,
                dtype: self.dtype as u8,
                outputs: (*outputs as u32).into(),
                offset: append(&mut values_section, values).into(),
                length: (values.len() as u32).into(),
            })
            .collect();
        let metadata = PatchMetadata {
            first_patched_layer: self.first_patched_layer,
            ..metadata.clone()
        };
        let metadata = postcard::to_allocvec(&metadata).map_err(|_| WriteError::Metadata)?;
        let state = self.continual_state.map(postcard::to_allocvec).transpose();
        let state = state.map_err(|_| WriteError::Metadata)?.unwrap_or_default();
        let input = InputRecord::from(&self.input);
        Ok(assemble(
            Kind::Patch,
            self.kinds,
            backbone.id(),
            |section| match section {
                SectionKind::Input => input.as_bytes(),
                SectionKind::Records => records.as_bytes(),
                SectionKind::Values => &values_section,
                SectionKind::Metadata => &metadata,
                SectionKind::Scales => self.scales.as_bytes(),
                SectionKind::ContinualState => &state,
                SectionKind::Layers
                | SectionKind::Sites
                | SectionKind::Plan
                | SectionKind::Epilogues
                | SectionKind::Frozen
                | SectionKind::Temperature
                | SectionKind::HeadSums
                | SectionKind::Signature => &[],
            },
        ))
    }
}

/// The first layer at which a patch with these scales and replacements, as kernels read them, parts from its backbone.
pub(super) fn first_patched_layer<'a>(
    backbone: &BackboneImage<'a>,
    scales: &[ScaleRecord],
    replacements: impl Iterator<Item = Replacement<'a>>,
) -> Option<u16> {
    let scales = [scales, backbone.scales()];
    let layer = first_difference(backbone, scales, replacements, core::iter::empty());
    layer.map(|layer| layer as u16)
}

/// Rounds to half precision; what would become infinite is refused.
pub(super) fn narrowed(site: usize, what: What, values: &[f32]) -> Result<Vec<f16>, WriteError> {
    let largest = f16::MAX.to_f32();
    let is_held = |value: &&f32| value.abs() <= largest;
    match values.iter().find(|value| !is_held(value)) {
        Some(&value) => Err(WriteError::Half { site, what, value }),
        None => Ok(Vec::from_f32_slice(values)),
    }
}
