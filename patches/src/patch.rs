//! The patch image: replacements for some sites of one backbone.

use zerocopy::FromBytes;

use crate::backbone::BackboneImage;
use crate::container::{ALIGN, Container, Kind, SectionKind, Verify};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::half_table::HalfPanel;
use crate::int8_values;
use crate::layout::PANEL;
use crate::records::{Dtype, Input, InputRecord, Kinds, PatchRecord, What};
use crate::requantize::RequantizePanel;
use crate::scale::ScaleRecord;
use crate::values::Values;
use crate::values::checked;

/// Where the parts of a checked patch are, as [`crate::BackboneIndex`] for backbones.
#[derive(Clone, Copy, Debug)]
pub struct PatchIndex(Container);

/// A checked patch image, read in place; values in half precision are for the runtime to widen.
#[derive(Clone, Copy, Debug)]
pub struct PatchImage<'a> {
    bytes: &'a [u8],
    index: Container,
}

/// One replacement, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'a> {
    /// Site of the backbone.
    pub site: usize,
    /// What is replaced.
    pub what: What,
    /// Output channels.
    pub outputs: usize,
    /// Packed values ([`crate::layout`]).
    pub values: Values<'a>,
}

impl<'a> PatchImage<'a> {
    /// Checks the bytes of a patch, which must be aligned to 64, on their own. [`PatchImage::check_against`] checks
    /// them against a backbone.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn open(bytes: &'a [u8], verify: Verify) -> Result<Self, ImageError> {
        let index = Container::check(bytes, Kind::Patch, verify)?;
        let image = Self { bytes, index };
        let input = image.section(SectionKind::Input);
        let input = InputRecord::ref_from_bytes(input).map_err(|_| ImageError::Section {
            section: SectionKind::Input,
            problem: "not one record",
        })?;
        input.decode().map_err(|problem| ImageError::Record {
            section: SectionKind::Input,
            index: 0,
            problem,
        })?;
        image.check_records()?;
        Ok(image)
    }

    /// The same bytes again, once checked. Any other bytes make the methods panic.
    pub fn from_index(bytes: &'a [u8], index: PatchIndex) -> Self {
        Self {
            bytes,
            index: index.0,
        }
    }

    /// Where the parts are, for [`PatchImage::from_index`].
    pub fn index(&self) -> PatchIndex {
        PatchIndex(self.index)
    }

    fn check_records(&self) -> Result<(), ImageError> {
        let section = self.section(SectionKind::Records);
        let records =
            <[PatchRecord]>::ref_from_bytes(section).map_err(|_| ImageError::Section {
                section: SectionKind::Records,
                problem: "not a whole number of records",
            })?;
        if records.is_empty() {
            return Err(ImageError::EmptyPatch);
        }
        let values = self.section(SectionKind::Values).len();
        let dtype = Dtype::from_code(records[0].dtype).unwrap_or_default();
        let mut previous = None;
        let mut end = 0;
        for (index, record) in records.iter().enumerate() {
            let wrong = |problem| ImageError::Record {
                section: SectionKind::Records,
                index,
                problem,
            };
            if decode_what(record).is_none() {
                return Err(wrong("neither epilogue nor weights"));
            }
            if record.dtype != dtype as u8 {
                return Err(ImageError::Dtype {
                    site: record.site.get().into(),
                    found: record.dtype,
                    expected: dtype,
                });
            }
            let key = Some((record.site.get(), record.what));
            if key <= previous {
                return Err(wrong("records are not sorted by site, or one stands twice"));
            }
            previous = key;
            let offset = record.offset.get() as usize;
            let length = record.length.get() as usize;
            let next = offset.checked_add(length).filter(|&next| next <= values);
            let panel = match (dtype, decode_what(record)) {
                (Dtype::I8, Some(What::Epilogue)) => size_of::<RequantizePanel>(),
                (Dtype::I8Half, Some(What::Epilogue)) => size_of::<HalfPanel>(),
                _ => PANEL * dtype.size(),
            };
            let is_whole = length.is_multiple_of(panel);
            if !offset.is_multiple_of(ALIGN) || offset < end || !is_whole {
                return Err(wrong("values misaligned or overlapping"));
            }
            end = next.ok_or(wrong("values out of bounds"))?;
        }
        let scales = self.section(SectionKind::Scales);
        let is_whole = scales.len().is_multiple_of(size_of::<ScaleRecord>());
        if !is_whole || scales.is_empty() == (dtype.of_backbone() == Dtype::I8) {
            return Err(ImageError::Section {
                section: SectionKind::Scales,
                problem: "not what a patch with such values has",
            });
        }
        Ok(())
    }

    /// Checks that this patch can run on a backbone: made for it, every site known and of its size, every site of the
    /// claimed kinds there, no more classes and no larger input than the plan has room for. Whether every layer can
    /// reduce a smaller input is for [`crate::plan::infer_shapes`], which needs memory, to say.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check_against(
        &self,
        backbone: &BackboneImage<'_>,
        verify: Verify,
    ) -> Result<(), ImageError> {
        if self.backbone_id() != backbone.id() {
            return Err(ImageError::WrongBackbone {
                found: self.backbone_id(),
                expected: backbone.id(),
            });
        }
        if self.dtype().of_backbone() != backbone.dtype() {
            return Err(ImageError::OtherDtype {
                found: self.dtype(),
                expected: backbone.dtype(),
            });
        }
        self.check_sites(backbone)?;
        self.check_complete(backbone)?;
        self.check_scales(backbone)?;
        #[cfg(feature = "alloc")]
        self.check_continual_state(backbone)?;
        if verify == Verify::Full {
            self.check_values(backbone)?;
        }
        crate::plan::check_fits(backbone, self.input().shape)
    }

    /// The part of [`Self::check_against`] that also holds for a backbone's int8 twin: values of known sites and of their size.
    ///
    /// # Errors
    /// The first value that does not fit.
    pub fn check_sites(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        self.replacements()
            .try_for_each(|replacement| self.check_replacement(backbone, &replacement))
    }

    fn check_replacement(
        &self,
        backbone: &BackboneImage<'_>,
        replacement: &Replacement<'_>,
    ) -> Result<(), ImageError> {
        let &Replacement {
            site: index,
            what,
            outputs,
            values,
            ..
        } = replacement;
        if index >= backbone.site_count() {
            return Err(ImageError::UnknownSite {
                found: index,
                expected: backbone.site_count(),
            });
        }
        let site = backbone.site(index);
        if !self.kinds().covers(&site, what, self.dtype()) {
            return Err(ImageError::UnclaimedSite {
                site: index,
                what,
                kinds: self.kinds(),
            });
        }
        if site.is_head && outputs > backbone.max_classes() {
            return Err(ImageError::TooManyClasses {
                found: outputs,
                expected: backbone.max_classes(),
            });
        }
        let wanted = if site.is_head { outputs } else { site.outputs };
        let expected = site.bytes(what, self.dtype(), wanted);
        if outputs == 0 || outputs != wanted {
            return Err(ImageError::SiteOutputs {
                site: index,
                found: outputs,
                expected: wanted,
            });
        }
        let found = values.bytes().len();
        if found != expected {
            return Err(ImageError::SiteLength {
                site: index,
                what,
                found,
                expected,
            });
        }
        Ok(())
    }

    /// Every site that the claimed kinds demand is there, and a head's weights and epilogue agree on its classes.
    fn check_complete(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        for index in 0..backbone.site_count() {
            let site = backbone.site(index);
            let mut outputs = [site.outputs; 2];
            for (what, outputs) in [What::Epilogue, What::Weights]
                .into_iter()
                .zip(&mut outputs)
            {
                match self.find(index, what) {
                    Some(replacement) => *outputs = replacement.outputs,
                    None => {
                        if let Some(kind) = self.kinds().requires(&site, what) {
                            return Err(ImageError::MissingSite {
                                site: index,
                                what,
                                kind,
                            });
                        }
                    }
                }
            }
            if outputs[0] != outputs[1] {
                return Err(ImageError::SiteOutputs {
                    site: index,
                    found: outputs[1],
                    expected: outputs[0],
                });
            }
        }
        self.check_kinds(backbone)
    }

    fn check_values(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        self.replacements()
            .enumerate()
            .try_for_each(|(index, own)| {
                let site = backbone.site(own.site);
                int8_values::check(own.values, site.depth, site.is_depthwise).map_err(|problem| {
                    ImageError::Record {
                        section: SectionKind::Values,
                        index,
                        problem,
                    }
                })
            })
    }

    /// Every tensor has scales, and a table that the patch leaves as it is was made for the scales around its site.
    fn check_scales(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        let (own, base) = (self.scales(), backbone.scales());
        if own.len() != base.len() {
            return Err(ImageError::Section {
                section: SectionKind::Scales,
                problem: "not one for each tensor of the backbone",
            });
        }
        for (index, scale) in own.iter().enumerate() {
            let layer = index.checked_sub(1).map(|layer| backbone.layer(layer));
            let has_curve = layer.is_some_and(|layer| layer.activation.is_curve());
            scale
                .check(has_curve)
                .map_err(|problem| ImageError::Record {
                    section: SectionKind::Scales,
                    index,
                    problem,
                })?;
            let Some((layer, site)) = layer.and_then(|layer| Some((layer, layer.site?))) else {
                continue;
            };
            let (input, output) = (layer.inputs[0], index);
            let is_same = own[input].get().outer == base[input].get().outer
                && own[output].get().inner == base[output].get().inner;
            if !is_same && self.find(site, What::Epilogue).is_none() {
                return Err(ImageError::Scale { site });
            }
        }
        Ok(())
    }

    /// The continual state is for programs that learn on: a device that only runs the patch does not read it.
    #[cfg(feature = "alloc")]
    fn check_continual_state(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        let Some(state) = self.continual_state()? else {
            return Ok(());
        };
        let head = backbone
            .head()
            .and_then(|head| self.find(head, What::Weights));
        state.check(head.map_or(0, |head| head.outputs))
    }

    /// A claimed kind that no site answers to would be a patch that silently does less than it says.
    fn check_kinds(&self, backbone: &BackboneImage<'_>) -> Result<(), ImageError> {
        for (kind, name) in Kinds::NAMES {
            let is_answered = kind == Kinds::GENERATED
                || (0..backbone.site_count())
                    .map(|index| backbone.site(index))
                    .any(|site| {
                        [What::Epilogue, What::Weights]
                            .into_iter()
                            .any(|what| kind.requires(&site, what).is_some())
                    });
            if self.kinds().contains(kind) && !is_answered {
                return Err(ImageError::NoSuchKind { kind: name });
            }
        }
        Ok(())
    }

    fn section(&self, kind: SectionKind) -> &'a [u8] {
        self.index.section(self.bytes, kind)
    }

    fn records(&self) -> &'a [PatchRecord] {
        checked(<[PatchRecord]>::ref_from_bytes(
            self.section(SectionKind::Records),
        ))
    }

    fn decode(&self, record: &PatchRecord) -> Replacement<'a> {
        let offset = record.offset.get() as usize;
        let end = offset + record.length.get() as usize;
        let what = decode_what(record).expect("checked at open");
        let values = &self.section(SectionKind::Values)[offset..end];
        Replacement {
            site: record.site.get().into(),
            what,
            outputs: record.outputs.get() as usize,
            values: Values::new(values, what, self.dtype()),
        }
    }

    /// How all its values are stored.
    pub fn dtype(&self) -> Dtype {
        Dtype::from_code(self.records()[0].dtype).expect("checked at open")
    }

    /// The scales of all tensors, for an int8 backbone; empty for an f32 one.
    pub fn scales(&self) -> &'a [ScaleRecord] {
        checked(<[ScaleRecord]>::ref_from_bytes(
            self.section(SectionKind::Scales),
        ))
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Id of the backbone that it was made for.
    pub fn backbone_id(&self) -> Digest {
        self.index.backbone_id
    }

    /// BLAKE3 of the header, which covers the digest of every section.
    pub fn digest(&self) -> Digest {
        self.index.digest
    }

    /// Kinds that it claims.
    pub fn kinds(&self) -> Kinds {
        self.index.kinds
    }

    /// Its own resolution and normalisation.
    pub fn input(&self) -> Input {
        let record = checked(InputRecord::ref_from_bytes(
            self.section(SectionKind::Input),
        ));
        checked(record.decode())
    }

    /// All replacements, in the order of their sites.
    pub fn replacements(&self) -> impl Iterator<Item = Replacement<'a>> + use<'a> {
        let image = *self;
        self.records()
            .iter()
            .map(move |record| image.decode(record))
    }

    /// What it replaces at a site, by binary search.
    pub fn find(&self, site: usize, what: What) -> Option<Replacement<'a>> {
        let records = self.records();
        let key = (site, what as u8);
        records
            .binary_search_by(|record| (record.site.get().into(), record.what).cmp(&key))
            .ok()
            .map(|at| self.decode(&records[at]))
    }

    /// Postcard metadata, as stored.
    pub fn metadata_bytes(&self) -> &'a [u8] {
        self.section(SectionKind::Metadata)
    }

    /// Labels and provenance.
    ///
    /// # Errors
    /// [`ImageError::Metadata`].
    #[cfg(feature = "alloc")]
    pub fn metadata(&self) -> Result<crate::metadata::PatchMetadata, ImageError> {
        postcard::from_bytes(self.metadata_bytes()).map_err(|_| ImageError::Metadata)
    }

    /// The state that continual learning goes on from; `None` in other patches.
    ///
    /// # Errors
    /// [`ImageError::Section`] where it cannot be decoded, which [`PatchImage::check_against`] rules out.
    #[cfg(feature = "alloc")]
    pub fn continual_state(&self) -> Result<Option<crate::ContinualState>, ImageError> {
        match self.section(SectionKind::ContinualState) {
            [] => Ok(None),
            section => crate::ContinualState::decode(section).map(Some),
        }
    }
}

fn decode_what(record: &PatchRecord) -> Option<What> {
    [What::Epilogue, What::Weights]
        .into_iter()
        .find(|&what| what as u8 == record.what)
}
