//! The records of a backbone before they are checked.

use crate::checked::checked;
use crate::container::Container;
use crate::error::ImageError;
use crate::parse::{all, one, wrong};
use crate::records::{
    Block, BlockRecord, Dtype, InputRecord, Layer, LayerRecord, MAX_LAYERS, PlanRecord, Site,
    SiteRecord, Tensor, TensorRecord,
};
use crate::scale::ScaleRecord;
use crate::section::SectionKind;

/// The records of a backbone, parsed: their numbers fit together, their contents are yet to be checked
/// ([`Self::check`]).
pub(super) struct UncheckedBackbone<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) container: Container,
    pub(super) input: &'a InputRecord,
    pub(super) layers: &'a [LayerRecord],
    pub(super) sites: &'a [SiteRecord],
    pub(super) scales: &'a [ScaleRecord],
    pub(super) plan: &'a PlanRecord,
    /// One more than layers.
    pub(super) tensors: &'a [TensorRecord],
    pub(super) blocks: &'a [BlockRecord],
    /// Bytes of the section.
    pub(super) epilogues: usize,
    /// Bytes of the section.
    pub(super) frozen: usize,
}

impl<'a> UncheckedBackbone<'a> {
    #[inline]
    pub(super) fn parse(bytes: &'a [u8], container: Container) -> Result<Self, ImageError> {
        let section = |kind| container.section(bytes, kind);
        let plan = section(SectionKind::Plan);
        let (plan, tensors) = plan
            .split_at_checked(size_of::<PlanRecord>())
            .unwrap_or_default();
        let layers: &[LayerRecord] = all(SectionKind::Layers, section(SectionKind::Layers))?;
        let (tensors, blocks) = tensors
            .split_at_checked((layers.len() + 1) * size_of::<TensorRecord>())
            .unwrap_or_default();
        let records = Self {
            bytes,
            container,
            input: one(SectionKind::Input, section(SectionKind::Input))?,
            layers,
            sites: all(SectionKind::Sites, section(SectionKind::Sites))?,
            scales: all(SectionKind::Scales, section(SectionKind::Scales))?,
            plan: one(SectionKind::Plan, plan)?,
            tensors: all(SectionKind::Plan, tensors)?,
            blocks: all(SectionKind::Plan, blocks)?,
            epilogues: section(SectionKind::Epilogues).len(),
            frozen: section(SectionKind::Frozen).len(),
        };
        let (layers, tensors) = (records.layers.len(), records.tensors.len());
        let is_scaled = records.scales.is_empty() || records.scales.len() == layers + 1;
        let has_blocks = records.blocks.len() == records.plan.blocks.get() as usize;
        let is_planned = tensors == layers + 1 && has_blocks;
        if layers == 0 || layers > MAX_LAYERS || !is_planned || !is_scaled {
            return Err(ImageError::Section {
                section: SectionKind::Plan,
                problem: "the numbers of layers, tensors, blocks and scales do not fit together",
            });
        }
        Ok(records)
    }

    pub(super) fn dtype(&self) -> Dtype {
        dtype(self.scales)
    }

    /// Decodes every layer, tensor and block once, so that [`Self::layer`] and the like need no result: each takes code
    /// wherever it is looked at.
    pub(super) fn decode_all(&self) -> Result<(), ImageError> {
        for (index, layer) in self.layers.iter().enumerate() {
            layer.decode().map_err(wrong(SectionKind::Layers, index))?;
        }
        for (index, tensor) in self.tensors.iter().enumerate() {
            tensor.decode().map_err(wrong(SectionKind::Plan, index))?;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            block.decode().map_err(wrong(SectionKind::Plan, index))?;
        }
        Ok(())
    }

    /// A layer, after [`Self::decode_all`].
    pub(super) fn layer(&self, index: usize) -> Layer {
        checked(self.layers[index].decode())
    }

    pub(super) fn site(&self, index: usize) -> Result<Site, ImageError> {
        let site = self.sites[index].decode(self.layers);
        site.map_err(wrong(SectionKind::Sites, index))
    }

    /// The fused blocks, after [`Self::decode_all`].
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block> {
        self.blocks.iter().map(|block| checked(block.decode()))
    }

    /// A tensor, after [`Self::decode_all`].
    pub(super) fn tensor(&self, index: usize) -> Tensor {
        checked(self.tensors[index].decode())
    }
}

/// The dtype that a backbone computes in: int8 where its tensors have scales.
pub(crate) fn dtype(scales: &[ScaleRecord]) -> Dtype {
    match scales {
        [] => Dtype::F32,
        [_, ..] => Dtype::I8,
    }
}
