//! The patch image: replacements for some sites of one backbone.

mod check;
mod fit;
mod table_site;

use zerocopy::FromBytes;
use zerocopy::little_endian::F32;

use crate::checked::checked;
use crate::container::{Container, Verify};
use crate::digest::Digest;
use crate::error::ImageError;
#[cfg(feature = "learn")]
use crate::head_sums::HeadSums;
use crate::records::{Dtype, Input, InputRecord, Kinds, PatchRecord, What};
use crate::scale::ScaleRecord;
use crate::section::{Kind, SectionKind};
#[cfg(feature = "alloc")]
use crate::signature::TaskId;
use crate::signature::{PublicKey, Signed, Trust};
use crate::values::Values;

use check::UncheckedPatch;

/// The places of the parts of a checked patch, as [`crate::BackboneIndex`] for backbones.
#[derive(Clone, Copy, Debug)]
pub struct PatchIndex(Container);

/// The temperatures that a patch may have: outside of them probabilities say nothing.
pub const TEMPERATURES: core::ops::RangeInclusive<f32> = 0.01..=100.0;

/// A checked patch image, read in place; values in half precision are for the runtime to widen.
#[derive(Clone, Copy, Debug)]
pub struct PatchImage<'a> {
    bytes: &'a [u8],
    container: Container,
}

/// One replacement, decoded.
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'a> {
    /// Site of the backbone.
    pub site: usize,
    /// The replaced part of the site.
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
    /// The fault of the bytes.
    pub fn open(bytes: &'a [u8], verify: Verify) -> Result<Self, ImageError> {
        let container = Container::check(bytes, Kind::Patch, verify)?;
        Self::of(bytes, container, verify)
    }

    /// [`PatchImage::open`] of every byte, and that a trusted key has signed them, which is returned. Nothing that is behind
    /// the signature is looked at before.
    ///
    /// # Errors
    /// As [`PatchImage::open`]; [`ImageError::Unsigned`], [`ImageError::UnknownKey`], [`ImageError::WrongSignature`].
    pub fn open_signed(bytes: &'a [u8], trust: &Trust) -> Result<(Self, PublicKey), ImageError> {
        let (container, key) = Container::check_signed(bytes, Kind::Patch, trust)?;
        Ok((Self::of(bytes, container, Verify::Full)?, key))
    }

    #[cfg_attr(
        not(feature = "alloc"),
        expect(unused_variables, reason = "metadata are for programs with memory")
    )]
    fn of(bytes: &'a [u8], container: Container, verify: Verify) -> Result<Self, ImageError> {
        let image = UncheckedPatch::parse(bytes, container)?.check()?;
        #[cfg(feature = "alloc")]
        if verify == Verify::Full {
            let metadata = image.metadata()?;
            metadata.resize.check()?;
            let task = TaskId::of(&metadata.name);
            if image.signed().is_some_and(|signed| signed.task != task) {
                return Err(ImageError::SignedTask);
            }
        }
        Ok(image)
    }

    /// The same bytes again, once checked. Any other bytes make the methods panic.
    pub fn from_index(bytes: &'a [u8], index: PatchIndex) -> Self {
        Self {
            bytes,
            container: index.0,
        }
    }

    /// The places of the parts, for [`PatchImage::from_index`].
    pub fn index(&self) -> PatchIndex {
        PatchIndex(self.container)
    }

    fn section(&self, kind: SectionKind) -> &'a [u8] {
        self.container.section(self.bytes, kind)
    }

    fn records(&self) -> &'a [PatchRecord] {
        checked(<[PatchRecord]>::ref_from_bytes(
            self.section(SectionKind::Records),
        ))
    }

    fn decode(&self, record: &PatchRecord) -> Replacement<'a> {
        let offset = record.offset.get() as usize;
        let end = offset + record.length.get() as usize;
        let what = checked(What::from_code(record.what).ok_or(()));
        let values = &self.section(SectionKind::Values)[offset..end];
        Replacement {
            site: record.site.get().into(),
            what,
            outputs: record.outputs.get() as usize,
            values: Values::new(values, what, self.dtype()),
        }
    }

    /// The storage of all its values.
    pub fn dtype(&self) -> Dtype {
        checked(Dtype::from_code(self.records()[0].dtype).ok_or(()))
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
        self.container.backbone_id
    }

    /// BLAKE3 of the header, which covers the digest of every section.
    pub fn digest(&self) -> Digest {
        self.container.digest
    }

    /// What its signature says, which nobody has checked yet; `None` where it has none.
    pub fn signed(&self) -> Option<Signed> {
        self.container.signed(self.bytes)
    }

    /// Kinds that it claims.
    pub fn kinds(&self) -> Kinds {
        self.container.kinds
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

    /// The replacement of a site's values, by binary search.
    pub fn find(&self, site: usize, what: What) -> Option<Replacement<'a>> {
        let records = self.records();
        let key = (site, what as u8);
        records
            .binary_search_by(|record| (record.site.get().into(), record.what).cmp(&key))
            .ok()
            .map(|at| self.decode(&records[at]))
    }

    /// What scores are divided by before their softmax, for probabilities that come true; `None` where nobody has measured it.
    pub fn temperature(&self) -> Option<f32> {
        let temperature = F32::ref_from_bytes(self.section(SectionKind::Temperature));
        temperature.ok().map(|temperature| temperature.get())
    }

    /// The sums that its head was learned from; `None` where it did not keep them.
    #[cfg(feature = "learn")]
    pub fn head_sums(&self) -> Option<HeadSums<'a>> {
        checked(HeadSums::parse(self.section(SectionKind::HeadSums)))
    }

    /// Postcard metadata, as stored.
    pub fn metadata_bytes(&self) -> &'a [u8] {
        self.section(SectionKind::Metadata)
    }

    /// The name of a class in the metadata, without an allocator; `None` where it has none, as all of them are where the backbone's own labels serve.
    ///
    /// # Errors
    /// [`ImageError::Metadata`], which with `alloc` [`Verify::Full`] rules out.
    #[cfg(feature = "learn")]
    pub fn label(&self, class: usize) -> Result<Option<&'a str>, ImageError> {
        crate::labels::label::<crate::labels::PatchFields>(self.metadata_bytes(), class)
    }

    /// Labels and provenance.
    ///
    /// # Errors
    /// [`ImageError::Metadata`], which [`Verify::Full`] rules out.
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
