//! The backbone image: layers, sites, memory plan, frozen weights, identity epilogues.

mod check;
mod unchecked;

use zerocopy::FromBytes;

use crate::checked::checked;
use crate::container::{Container, Verify};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::parse::wrong;
use crate::records::{
    Block, BlockRecord, Dtype, Input, InputRecord, Layer, LayerRecord, PlanRecord, Site,
    SiteRecord, Tensor, TensorRecord, What,
};
use crate::requantize::RequantizePanel;
use crate::scale::ScaleRecord;
use crate::section::{Kind, SectionKind};
#[cfg(feature = "alloc")]
use crate::signature::TaskId;
use crate::signature::{PublicKey, Signed, Trust};
use crate::value_check;
use crate::values::Values;

use unchecked::UncheckedBackbone;
pub(crate) use unchecked::dtype;

/// The places of the parts of a checked backbone: plain numbers, so that an owner of the bytes can keep it beside them
/// and make [`BackboneImage`]s at no cost.
#[derive(Clone, Copy, Debug)]
pub struct BackboneIndex(Container);

/// A checked backbone image, read in place.
#[derive(Clone, Copy, Debug)]
pub struct BackboneImage<'a> {
    bytes: &'a [u8],
    container: Container,
}

impl<'a> BackboneImage<'a> {
    /// Checks the bytes of a backbone. They must be aligned to 64.
    ///
    /// # Errors
    /// The fault of the bytes. After success no method fails on their account.
    pub fn open(bytes: &'a [u8], verify: Verify) -> Result<Self, ImageError> {
        let container = Container::check(bytes, Kind::Backbone, verify)?;
        Self::of(bytes, container, verify)
    }

    /// [`BackboneImage::open`] of every byte, and that a trusted key has signed them, which is returned. Nothing that is behind
    /// the signature is looked at before.
    ///
    /// # Errors
    /// As [`BackboneImage::open`]; [`ImageError::Unsigned`], [`ImageError::UnknownKey`], [`ImageError::WrongSignature`].
    pub fn open_signed(bytes: &'a [u8], trust: &Trust) -> Result<(Self, PublicKey), ImageError> {
        let (container, key) = Container::check_signed(bytes, Kind::Backbone, trust)?;
        Ok((Self::of(bytes, container, Verify::Full)?, key))
    }

    fn of(bytes: &'a [u8], container: Container, verify: Verify) -> Result<Self, ImageError> {
        let image = UncheckedBackbone::parse(bytes, container)?.check()?;
        if verify == Verify::Full {
            image.check_values()?;
            #[cfg(feature = "alloc")]
            image.check_metadata()?;
        }
        Ok(image)
    }

    /// The same bytes again, once checked. Any other bytes make the methods panic.
    pub fn from_index(bytes: &'a [u8], index: BackboneIndex) -> Self {
        Self {
            bytes,
            container: index.0,
        }
    }

    /// The places of the parts, for [`BackboneImage::from_index`].
    pub fn index(&self) -> BackboneIndex {
        BackboneIndex(self.container)
    }

    /// Values that kernels rely on: [`value_check`].
    fn check_values(&self) -> Result<(), ImageError> {
        for index in 0..self.site_count() {
            let site = self.site(index);
            for (what, section) in [
                (What::Epilogue, SectionKind::Epilogues),
                (What::Weights, SectionKind::Frozen),
            ] {
                let values = self.values(&site, what);
                value_check::check(values, site.depth, site.is_depthwise)
                    .map_err(wrong(section, index))?;
            }
        }
        Ok(())
    }

    /// What commands rely on when they run it.
    #[cfg(feature = "alloc")]
    fn check_metadata(&self) -> Result<(), ImageError> {
        let metadata = self.metadata()?;
        metadata.resize.check()?;
        let task = TaskId::of(&metadata.name);
        if self.signed().is_some_and(|signed| signed.task != task) {
            return Err(ImageError::SignedTask);
        }
        let classes = self.tensor(self.layer_count()).shape.channels;
        crate::metadata::check_labels(&metadata.labels, classes)
    }

    fn section(&self, kind: SectionKind) -> &'a [u8] {
        self.container.section(self.bytes, kind)
    }

    fn records<T>(&self, kind: SectionKind, head: usize) -> &'a [T]
    where
        T: FromBytes + zerocopy::Immutable + zerocopy::KnownLayout + zerocopy::Unaligned,
    {
        let section = self.section(kind).get(head..).unwrap_or_default();
        <[T]>::ref_from_bytes(section).unwrap_or_default()
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// BLAKE3 over layers, sites, scales, identity epilogues and frozen weights: what patches are made for.
    pub fn id(&self) -> Digest {
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

    fn input_record(&self) -> &'a InputRecord {
        &self.records::<InputRecord>(SectionKind::Input, 0)[0]
    }

    /// Resolution of the plan, and normalisation.
    pub fn input(&self) -> Input {
        checked(self.input_record().decode())
    }

    fn layer_records(&self) -> &'a [LayerRecord] {
        self.records(SectionKind::Layers, 0)
    }

    /// Layers.
    pub fn layer_count(&self) -> usize {
        self.layer_records().len()
    }

    /// A layer, in execution order.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn layer(&self, index: usize) -> Layer {
        checked(self.layer_records()[index].decode())
    }

    /// The dtype that it computes in: f32, or int8 where its tensors have scales.
    pub fn dtype(&self) -> Dtype {
        dtype(self.scales())
    }

    /// The scales of all tensors of an int8 backbone; empty in f32.
    pub fn scales(&self) -> &'a [ScaleRecord] {
        self.records(SectionKind::Scales, 0)
    }

    fn site_records(&self) -> &'a [SiteRecord] {
        self.records(SectionKind::Sites, 0)
    }

    /// Sites.
    pub fn site_count(&self) -> usize {
        self.site_records().len()
    }

    /// A site, in the order of the layers.
    ///
    /// # Panics
    /// If there is no such site.
    pub fn site(&self, index: usize) -> Site {
        checked(self.site_records()[index].decode(self.layer_records()))
    }

    /// The head, if the last layer is one.
    pub fn head(&self) -> Option<usize> {
        let last = self.site_count().checked_sub(1)?;
        self.site(last).is_head.then_some(last)
    }

    /// The layer whose output the head reads; `None` where there is no head, or where it reads the image.
    pub fn embedding_layer(&self) -> Option<usize> {
        let head = self.site(self.head()?);
        self.layer(head.layer).inputs[0].checked_sub(1)
    }

    fn plan_record(&self) -> &'a PlanRecord {
        let (record, _) = checked(PlanRecord::ref_from_prefix(self.section(SectionKind::Plan)));
        record
    }

    /// What is computed in one go, in order: fused blocks, and every other layer as a block of its own.
    pub fn steps(&self) -> impl Iterator<Item = Block> + use<'a> {
        let mut blocks = self.blocks().peekable();
        let (mut next, count) = (0, self.layer_count());
        core::iter::from_fn(move || {
            let first = next;
            let alone = Block {
                first,
                last: first,
                rows: 1,
            };
            let block = blocks.next_if(|block| block.first == first);
            let block = (first < count).then(|| block.unwrap_or(alone))?;
            next = block.last + 1;
            Some(block)
        })
    }

    fn tensor_records(&self) -> &'a [TensorRecord] {
        let section = self.section(SectionKind::Plan);
        let end = self.block_offset();
        checked(<[TensorRecord]>::ref_from_bytes(
            &section[size_of::<PlanRecord>()..end],
        ))
    }

    /// Where the records of blocks start in the plan.
    fn block_offset(&self) -> usize {
        size_of::<PlanRecord>() + (self.layer_count() + 1) * size_of::<TensorRecord>()
    }

    /// The fused blocks, in the order of their layers.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + use<'a> {
        let records: &[BlockRecord] = self.records(SectionKind::Plan, self.block_offset());
        records.iter().map(|block| checked(block.decode()))
    }

    /// A tensor of the plan: 0 is the input, i + 1 the output of layer i.
    ///
    /// # Panics
    /// If there is no such tensor.
    pub fn tensor(&self, index: usize) -> Tensor {
        checked(self.tensor_records()[index].decode())
    }

    /// Bytes that all activations need.
    pub fn arena_bytes(&self) -> usize {
        self.plan_record().arena.get() as usize
    }

    /// Most classes that a patch's head may have.
    pub fn max_classes(&self) -> usize {
        self.plan_record().max_classes.get() as usize
    }

    /// Packed weights of all sites.
    pub fn frozen(&self) -> &'a [u8] {
        self.section(SectionKind::Frozen)
    }

    /// Identity epilogues of all sites.
    pub fn epilogues(&self) -> &'a [u8] {
        self.section(SectionKind::Epilogues)
    }

    /// The backbone's own values of a site, as a patch would have them.
    pub fn values(&self, site: &Site, what: What) -> Values<'a> {
        let (section, offset) = match what {
            What::Epilogue => (self.epilogues(), site.epilogue),
            What::Weights => (self.frozen(), site.weights),
        };
        let length = site.bytes(what, self.dtype(), site.outputs);
        Values::new(&section[offset..offset + length], what, self.dtype())
    }

    /// Packed weights of a site of an f32 backbone.
    ///
    /// # Panics
    /// If the backbone is of another [`Self::dtype`].
    pub fn weights(&self, site: &Site) -> &'a [f32] {
        assert_eq!(self.dtype(), Dtype::F32, "weights of another dtype");
        let length = site.bytes(What::Weights, Dtype::F32, site.outputs);
        values(self.frozen(), site.weights, length)
    }

    /// Identity epilogue of a site of an f32 backbone.
    ///
    /// # Panics
    /// If the backbone is of another [`Self::dtype`].
    pub fn epilogue(&self, site: &Site) -> &'a [f32] {
        assert_eq!(self.dtype(), Dtype::F32, "an epilogue of another dtype");
        let length = site.bytes(What::Epilogue, Dtype::F32, site.outputs);
        values(self.epilogues(), site.epilogue, length)
    }

    /// The values of a site of an int8 backbone.
    ///
    /// # Panics
    /// If the backbone is of another [`Self::dtype`].
    pub fn int8(&self, site: &Site) -> Int8Site<'a> {
        assert_eq!(self.dtype(), Dtype::I8, "a site of another dtype");
        let bytes = |what| site.bytes(what, Dtype::I8, site.outputs);
        Int8Site {
            weights: values(self.frozen(), site.weights, bytes(What::Weights)),
            weight_scales: &values(
                self.frozen(),
                site.weight_scales,
                site.weight_scales_bytes(),
            )[..site.outputs],
            table: values(self.epilogues(), site.epilogue, bytes(What::Epilogue)),
        }
    }

    /// Postcard metadata, as stored.
    pub fn metadata_bytes(&self) -> &'a [u8] {
        self.section(SectionKind::Metadata)
    }

    /// The name of a class in the metadata, without an allocator; `None` where it has none.
    ///
    /// # Errors
    /// [`ImageError::Metadata`], which with `alloc` [`Verify::Full`] rules out.
    #[cfg(feature = "learn")]
    pub fn label(&self, class: usize) -> Result<Option<&'a str>, ImageError> {
        crate::labels::label::<crate::labels::BackboneFields>(self.metadata_bytes(), class)
    }

    /// Names, labels and what else only the host needs.
    ///
    /// # Errors
    /// [`ImageError::Metadata`], which [`Verify::Full`] rules out.
    #[cfg(feature = "alloc")]
    pub fn metadata(&self) -> Result<crate::metadata::BackboneMetadata, ImageError> {
        postcard::from_bytes(self.metadata_bytes()).map_err(|_| ImageError::Metadata)
    }
}

/// The values of an int8 site.
#[derive(Clone, Copy, Debug)]
pub struct Int8Site<'a> {
    /// Packed ([`crate::layout`]).
    pub weights: &'a [i8],
    /// The number that one unit of each output channel's weights stands for. Not needed to run: for who makes tables.
    pub weight_scales: &'a [f32],
    /// The identity epilogue.
    pub table: &'a [RequantizePanel],
}

/// Values in place. Offsets and lengths were checked at open.
fn values<T: FromBytes + zerocopy::Immutable>(
    section: &[u8],
    offset: usize,
    length: usize,
) -> &[T] {
    checked(<[T]>::ref_from_bytes(&section[offset..offset + length]))
}

#[cfg(target_endian = "big")]
compile_error!("images are little-endian and read in place: big-endian targets are not supported");
