//! Writes int8 images: weights are quantised by the caller, tables follow from the scales.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use zerocopy::{FromBytes, IntoBytes};

use crate::backbone::BackboneImage;
use crate::checked::checked;
use crate::continual_state::ContinualState;
use crate::half_table::{HalfPanel, TableSite};
use crate::layout::{PANEL, pack_int8_weights, unpack_int8_weights};
use crate::metadata::{BackboneMetadata, PatchMetadata};
use crate::patch::Replacement;
use crate::records::{Dtype, Input, Kinds, Op, Site, What};
use crate::requantize::RequantizePanel;
use crate::scale::{Requantization, ScaleRecord, TensorScale};
use crate::values::Values;

use super::backbone::{Packed, check_sizes};
use super::patch::{Contents, first_patched_layer, narrowed};
use super::{BackboneWriter, WriteError};

/// The values of one int8 site, row-major as in [`super::SiteValues`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Int8Values {
    /// `[outputs][depth]`, -127 to 127.
    pub weights: Vec<i8>,
    /// The number that one unit of each output channel's weights stands for, above zero.
    pub weight_scales: Vec<f32>,
    /// Of the epilogue in f32: what follows the sum of products in units of the tensors. One per output channel.
    pub scale: Vec<f32>,
    /// As `scale`.
    pub bias: Vec<f32>,
}

impl Int8Values {
    /// The values of a site of an int8 backbone; scale and bias follow from its table.
    pub fn of(backbone: &BackboneImage<'_>, index: usize) -> Self {
        let site = backbone.site(index);
        let own = backbone.int8(&site);
        let around = around(backbone, &site, &scales_of(backbone));
        let weights = unpack_int8_weights(own.weights, site.outputs, site.depth, site.is_depthwise);
        let (scale, bias) = weights
            .chunks_exact(site.depth)
            .enumerate()
            .map(|(channel, row)| {
                let panel = &own.table[channel / PANEL];
                let entry = (
                    panel.multiplier[channel % PANEL],
                    panel.bias[channel % PANEL],
                );
                around.affine(entry, own.weight_scales[channel], sum(row))
            })
            .unzip();
        Self {
            weights,
            weight_scales: own.weight_scales.to_vec(),
            scale,
            bias,
        }
    }

    fn check(&self, site: usize, depth: usize) -> Result<(), WriteError> {
        let outputs = self.weight_scales.len();
        let sizes = [
            ("weights", self.weights.len(), outputs * depth),
            ("scales", self.scale.len(), outputs),
            ("biases", self.bias.len(), outputs),
        ];
        check_sizes(site, &sizes)?;
        let values = [&self.weight_scales, &self.scale, &self.bias];
        let is_finite = values.into_iter().flatten().all(|value| value.is_finite());
        let is_symmetric = !self.weights.contains(&i8::MIN);
        if is_finite && is_symmetric && self.weight_scales.iter().all(|&scale| scale > 0.0) {
            return Ok(());
        }
        Err(WriteError::Int8 { site })
    }

    /// The requantisation table of site `index`, for the tensors around it.
    fn table(
        &self,
        index: usize,
        around: &Requantization,
    ) -> Result<Vec<RequantizePanel>, WriteError> {
        let outputs = self.weight_scales.len();
        let depth = self.weights.len() / outputs.max(1);
        let mut table = alloc::vec![RequantizePanel::default(); outputs.div_ceil(PANEL)];
        for (channel, row) in self.weights.chunks_exact(depth.max(1)).enumerate() {
            let (scale, bias) = (self.scale[channel], self.bias[channel]);
            let entry = around.channel(scale, bias, self.weight_scales[channel], sum(row));
            if !entry.0.is_finite() {
                return Err(WriteError::Int8 { site: index });
            }
            let panel = &mut table[channel / PANEL];
            (
                panel.multiplier[channel % PANEL],
                panel.bias[channel % PANEL],
            ) = entry;
        }
        Ok(table)
    }
}

fn sum(row: &[i8]) -> i32 {
    row.iter().map(|&weight| i32::from(weight)).sum()
}

fn scales_of(backbone: &BackboneImage<'_>) -> Vec<TensorScale> {
    backbone.scales().iter().map(ScaleRecord::get).collect()
}

/// The scales around a site.
fn around(backbone: &BackboneImage<'_>, site: &Site, scales: &[TensorScale]) -> Requantization {
    Requantization {
        input: scales[backbone.layer(site.layer).inputs[0]].outer,
        output: scales[site.layer + 1].inner.scale,
    }
}

/// An int8 backbone with the layers and the plan's room of an f32 one; `scales` are those of its tensors, `sites` the
/// values of its sites.
///
/// # Errors
/// The misfit.
pub fn int8_backbone(
    base: &BackboneImage<'_>,
    scales: &[TensorScale],
    sites: &[Int8Values],
    metadata: &BackboneMetadata,
) -> Result<Vec<u8>, WriteError> {
    let counts = [
        ("scales of tensors", scales.len(), base.layer_count() + 1),
        ("sites", sites.len(), base.site_count()),
    ];
    check_sizes(0, &counts)?;
    let records = scales.iter().copied().map(ScaleRecord::from).collect();
    let mut writer = BackboneWriter::with_scales(base.input(), records);
    for index in 0..base.layer_count() {
        let layer = base.layer(index);
        let packed = match layer.site {
            Some(at) => {
                let (site, values) = (base.site(at), &sites[at]);
                values.check(at, site.depth)?;
                let outputs = values.weight_scales.len();
                let is_depthwise = layer.op == Op::Depthwise;
                let weights = pack_int8_weights(&values.weights, outputs, site.depth, is_depthwise);
                let table = values.table(at, &around(base, &site, scales))?;
                Some(Packed {
                    outputs,
                    depth: site.depth,
                    weights: weights.as_bytes().to_vec(),
                    epilogue: table.as_bytes().to_vec(),
                    weight_scales: Some(values.weight_scales.clone()),
                })
            }
            None => None,
        };
        writer.push_packed(layer, packed)?;
    }
    writer.finish(base.max_classes(), metadata)
}

/// Collects replacements for an int8 backbone in any order, then writes the image.
#[derive(Debug)]
pub struct Int8PatchWriter<'a> {
    backbone: BackboneImage<'a>,
    kinds: Kinds,
    input: Input,
    dtype: Dtype,
    scales: Vec<TensorScale>,
    sites: BTreeMap<usize, Replaced>,
    continual_state: Option<ContinualState>,
}

/// A site that a patch replaces.
#[derive(Debug)]
struct Replaced {
    values: Int8Values,
    /// Whether the patch carries its weights; the table it carries always.
    has_weights: bool,
    /// Whether the values are the backbone's own: then its table is too, to the bit.
    is_own: bool,
}

impl<'a> Int8PatchWriter<'a> {
    /// A patch of these kinds for an int8 backbone, at the backbone's own resolution, normalisation and scales.
    ///
    /// # Panics
    /// If the backbone is not int8.
    pub fn new(backbone: BackboneImage<'a>, kinds: Kinds) -> Self {
        assert_eq!(backbone.dtype(), Dtype::I8, "a backbone of another dtype");
        Self {
            backbone,
            kinds,
            input: backbone.input(),
            dtype: Dtype::I8,
            scales: scales_of(&backbone),
            sites: BTreeMap::new(),
            continual_state: None,
        }
    }

    /// As [`super::PatchWriter::identity`].
    ///
    /// # Panics
    /// If the backbone is not int8.
    pub fn identity(backbone: BackboneImage<'a>, kinds: Kinds) -> Self {
        let mut writer = Self::new(backbone, kinds);
        writer.own_before(backbone.layer_count());
        writer
    }

    /// As [`super::PatchWriter::own_before`].
    pub fn own_before(&mut self, layer: usize) -> &mut Self {
        for index in 0..self.backbone.site_count() {
            let site = self.backbone.site(index);
            let [table, has_weights] =
                What::ALL.map(|what| self.kinds.covers(&site, what, Dtype::F32));
            if site.layer < layer && (table || has_weights) {
                let own = self.own(index);
                self.sites.insert(index, Replaced { has_weights, ..own });
            }
        }
        self
    }

    /// Another resolution or normalisation than the backbone's.
    pub fn input(&mut self, input: Input) -> &mut Self {
        self.input = input;
        self
    }

    /// The storage of values: [`Dtype::I8`] unless said otherwise, or [`Dtype::I8Half`].
    ///
    /// # Panics
    /// If it is the dtype of patches for another backbone.
    pub fn dtype(&mut self, dtype: Dtype) -> &mut Self {
        assert_eq!(dtype.of_backbone(), Dtype::I8, "values for an f32 backbone");
        self.dtype = dtype;
        self
    }

    /// Scales of all tensors, in place of the backbone's. The tables of all sites that they concern will be in the patch.
    ///
    /// # Errors
    /// [`WriteError::Values`] where they are not as many as the backbone has tensors.
    pub fn scales(&mut self, scales: Vec<TensorScale>) -> Result<&mut Self, WriteError> {
        check_sizes(0, &[("scales of tensors", scales.len(), self.scales.len())])?;
        self.scales = scales;
        Ok(self)
    }

    /// Scale and bias of a site in units of the tensors, one value a channel.
    ///
    /// # Errors
    /// [`WriteError::Values`] where there is not one of each for each output channel, or no such site.
    pub fn epilogue(
        &mut self,
        site: usize,
        scale: &[f32],
        bias: &[f32],
    ) -> Result<&mut Self, WriteError> {
        let replaced = self.site(site)?;
        replaced.values.scale = scale.to_vec();
        replaced.values.bias = bias.to_vec();
        Ok(self)
    }

    /// Weights of a site, `[outputs][depth]`, with the scale of each output channel. Of a head with another number of
    /// outputs, the epilogue must be given too.
    ///
    /// # Errors
    /// No such site.
    pub fn weights(
        &mut self,
        site: usize,
        weights: Vec<i8>,
        weight_scales: Vec<f32>,
    ) -> Result<&mut Self, WriteError> {
        let replaced = self.site(site)?;
        replaced.values.weights = weights;
        replaced.values.weight_scales = weight_scales;
        replaced.has_weights = true;
        Ok(self)
    }

    /// As [`super::PatchWriter::continual_state`]: it says which classes are of one task. Later tasks are better learned
    /// from the values in f32.
    pub fn continual_state(&mut self, state: ContinualState) -> &mut Self {
        self.continual_state = Some(state);
        self
    }

    /// A site as the backbone has it.
    fn own(&self, site: usize) -> Replaced {
        Replaced {
            values: Int8Values::of(&self.backbone, site),
            has_weights: false,
            is_own: true,
        }
    }

    /// A site that is about to change.
    fn site(&mut self, site: usize) -> Result<&mut Replaced, WriteError> {
        if site >= self.backbone.site_count() {
            return Err(WriteError::Image(crate::ImageError::UnknownSite {
                found: site,
                expected: self.backbone.site_count(),
            }));
        }
        if !self.sites.contains_key(&site) {
            self.sites.insert(site, self.own(site));
        }
        let replaced = self.sites.get_mut(&site).expect("just inserted");
        replaced.is_own = false;
        Ok(replaced)
    }

    /// Writes the image.
    ///
    /// # Errors
    /// [`WriteError::Values`], [`WriteError::Int8`], [`WriteError::Metadata`], and in half precision [`WriteError::Half`] of
    /// a number as it would be stored. Whether the patch is complete is for the reader to say: see
    /// [`crate::PatchImage::check_against`].
    pub fn finish(mut self, metadata: &PatchMetadata) -> Result<Vec<u8>, WriteError> {
        let base = scales_of(&self.backbone);
        let (mut contents, mut read) = (BTreeMap::new(), Vec::new());
        for index in 0..self.backbone.site_count() {
            let site = self.backbone.site(index);
            let (own, new) = (
                around(&self.backbone, &site, &base),
                around(&self.backbone, &site, &self.scales),
            );
            let is_rescaled = own.input != new.input || own.output != new.output;
            let replaced = match self.sites.remove(&index) {
                Some(replaced) => replaced,
                None if is_rescaled => self.own(index),
                None => continue,
            };
            let values = &replaced.values;
            values.check(index, site.depth)?;
            let outputs = values.weight_scales.len();
            let table = match replaced.is_own && !is_rescaled {
                true => self.backbone.int8(&site).table.to_vec(),
                false => values.table(index, &new)?,
            };
            let weights =
                pack_int8_weights(&values.weights, outputs, site.depth, site.is_depthwise);
            let table_site = TableSite {
                site,
                outputs,
                weights: &weights,
                zero_point: new.input.zero_point,
            };
            let (stored, table) = self.stored(index, &table_site, table)?;
            contents.insert((index, What::Epilogue), (outputs, stored));
            if replaced.has_weights {
                let bytes = weights.as_bytes().to_vec();
                contents.insert((index, What::Weights), (outputs, bytes));
            }
            let weights = replaced.has_weights.then_some(weights);
            read.push((index, outputs, table, weights));
        }
        let scales: Vec<ScaleRecord> = self.scales.iter().copied().map(Into::into).collect();
        let read = read.iter().flat_map(|(site, outputs, table, weights)| {
            let weights = weights.as_deref();
            let own = [Some(Values::Requantize(table)), weights.map(Values::I8)];
            let own = What::ALL.into_iter().zip(own);
            own.filter_map(|(what, values)| {
                Some(Replacement {
                    site: *site,
                    what,
                    outputs: *outputs,
                    values: values?,
                })
            })
        });
        let contents = Contents {
            kinds: self.kinds,
            input: self.input,
            dtype: self.dtype,
            scales: &scales,
            continual_state: self.continual_state.as_ref(),
            values: contents,
            first_patched_layer: first_patched_layer(&self.backbone, &scales, read),
        };
        contents.write(&self.backbone, metadata)
    }

    /// A table as it is stored, and as kernels will read it.
    fn stored(
        &self,
        index: usize,
        site: &TableSite<'_>,
        table: Vec<RequantizePanel>,
    ) -> Result<(Vec<u8>, Vec<RequantizePanel>), WriteError> {
        match self.dtype {
            Dtype::I8 => Ok((table.as_bytes().to_vec(), table)),
            Dtype::I8Half => {
                let halves = narrowed(index, What::Epilogue, &site.narrow(&table))?;
                let mut wide = table;
                let stored = halves.as_bytes();
                site.widen(checked(<[HalfPanel]>::ref_from_bytes(stored)), &mut wide);
                Ok((stored.to_vec(), wide))
            }
            Dtype::F32 | Dtype::F16 => unreachable!("refused by `Int8PatchWriter::dtype`"),
        }
    }
}
