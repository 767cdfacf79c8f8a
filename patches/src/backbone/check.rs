//! The check of a backbone's records: layers, sites, scales and memory plan.

use crate::error::ImageError;
use crate::geometry::Shape;
use crate::parse::wrong;
use crate::records::{Block, Dtype, Layer, MAX_SIDE, Op, Tensor, What};
use crate::section::{ALIGN, SectionKind};

use super::BackboneImage;
use super::unchecked::UncheckedBackbone;

/// Most products that an int8 layer sums up: 32 bits hold their sum.
const MAX_INT8_PRODUCTS: usize = 1 << 15;
/// As [`MAX_INT8_PRODUCTS`], of the values of a pool.
const MAX_INT8_POOL: usize = 1 << 23;

impl<'a> UncheckedBackbone<'a> {
    /// Checks all records against each other: every layer reads earlier tensors, shapes follow from the input, sites match
    /// their layers and lie in the frozen section, and no two activations that live at the same time share memory.
    #[inline]
    pub(super) fn check(self) -> Result<BackboneImage<'a>, ImageError> {
        check_records(&self)?;
        Ok(BackboneImage {
            bytes: self.bytes,
            container: self.container,
        })
    }
}

fn check_records(records: &UncheckedBackbone<'_>) -> Result<(), ImageError> {
    records.decode_all()?;
    let input = records.input.decode();
    let input = input.map_err(wrong(SectionKind::Input, 0))?;
    let wrong_plan = wrong(SectionKind::Plan, 0);
    if records.plan.reserved.get() != 0 {
        return Err(wrong_plan("a reserved field is set"));
    }
    if records.tensor(0).shape != input.shape {
        return Err(wrong_plan("not the shape of the input"));
    }
    let mut sites = SiteCheck::default();
    for index in 0..records.layers.len() {
        check_layer(records, index, &mut sites)?;
    }
    if sites.seen != records.sites.len() {
        return Err(ImageError::Section {
            section: SectionKind::Sites,
            problem: "more sites than layers that have one",
        });
    }
    if records.plan.max_classes.get() as usize > MAX_SIDE {
        return Err(ImageError::Section {
            section: SectionKind::Plan,
            problem: "room for more than 65,536 classes",
        });
    }
    let scores = records.tensor(records.layers.len()).shape;
    if (records.plan.max_classes.get() as usize) < scores.channels {
        return Err(ImageError::Section {
            section: SectionKind::Plan,
            problem: "room for fewer classes than the backbone itself has",
        });
    }
    check_scales(records)?;
    check_blocks(records)?;
    check_tensors(records)
}

/// Blocks come in the order of their layers; each layer but the first reads what the one before it computes, and nothing
/// else does.
fn check_blocks(records: &UncheckedBackbone<'_>) -> Result<(), ImageError> {
    let mut end = 0;
    for (index, block) in records.blocks().enumerate() {
        let wrong = wrong(SectionKind::Plan, index);
        if block.first < end || block.last + 1 >= records.layers.len() {
            return Err(wrong("blocks that overlap, or reach to the scores"));
        }
        end = block.last + 1;
        for index in block.layers() {
            check_block_layer(records, &block, index).map_err(wrong)?;
        }
    }
    Ok(())
}

fn check_block_layer(
    records: &UncheckedBackbone<'_>,
    block: &Block,
    index: usize,
) -> Result<(), &'static str> {
    let layer = records.layer(index);
    let operands = &layer.inputs[..layer.op.arity()];
    let is_inner = |tensor: usize| block.inner().contains(&tensor);
    // The first layer reads no inner tensor, any other one once: its own predecessor's, which then ends.
    let inner = operands.iter().filter(|&&tensor| is_inner(tensor)).count();
    let follows = operands.contains(&index) && records.tensor(index).last == index;
    let is_chained = match is_inner(index) {
        true => inner == 1 && follows,
        false => inner == 0,
    };
    let has_rows = match layer.op {
        Op::Conv | Op::Depthwise | Op::Pointwise => true,
        Op::Add => index == block.last,
        Op::Linear | Op::Multiply | Op::AveragePool | Op::MaxPool | Op::GlobalAveragePool => false,
    };
    let is_alive = |tensor: usize| is_inner(tensor) || records.tensor(tensor).last >= block.last;
    match is_chained && has_rows && operands.iter().all(|&tensor| is_alive(tensor)) {
        true => Ok(()),
        false => Err("a block of layers that cannot be computed in rows"),
    }
}

fn check_scales(records: &UncheckedBackbone<'_>) -> Result<(), ImageError> {
    for (index, scale) in records.scales.iter().enumerate() {
        let has_curve = index > 0 && records.layer(index - 1).activation.is_curve();
        scale
            .check(has_curve)
            .map_err(wrong(SectionKind::Scales, index))?;
    }
    Ok(())
}

/// Sites come in the order of their layers; their values follow one another.
#[derive(Default)]
struct SiteCheck {
    seen: usize,
    frozen_end: usize,
    epilogue_end: usize,
}

fn check_layer(
    records: &UncheckedBackbone<'_>,
    index: usize,
    sites: &mut SiteCheck,
) -> Result<(), ImageError> {
    let wrong = wrong(SectionKind::Layers, index);
    let layer = records.layer(index);
    let operands = &layer.inputs[..layer.op.arity()];
    if operands.iter().any(|&input| input > index) {
        return Err(wrong("reads a tensor that is not written yet"));
    }
    for &input in operands {
        if records.tensor(input).last < index {
            return Err(wrong(
                "reads a tensor after the end of its life in the plan",
            ));
        }
    }
    if layer.op.is_site() != layer.site.is_some() {
        return Err(wrong(
            "a site on an operator without weights, or none on one with",
        ));
    }
    let left = records.tensor(layer.inputs[0]).shape;
    let right = records.tensor(operands[operands.len() - 1]).shape;
    let outputs = match layer.site {
        Some(site) => Some(check_site(records, index, &layer, site, left, sites)?),
        None => None,
    };
    let summed = match layer.op {
        Op::GlobalAveragePool => left.pixels(),
        Op::Conv
        | Op::Depthwise
        | Op::Pointwise
        | Op::Linear
        | Op::Add
        | Op::Multiply
        | Op::AveragePool
        | Op::MaxPool => layer.window.kernel[0] * layer.window.kernel[1],
    };
    if records.dtype() == Dtype::I8 && outputs.is_none() && summed > MAX_INT8_POOL {
        return Err(wrong(
            "more values in an int8 pool than 32 bits hold the sum of",
        ));
    }
    let shape = layer.output_shape(left, right, outputs).map_err(wrong)?;
    if shape != records.tensor(index + 1).shape {
        return Err(wrong("the plan has another shape for its output"));
    }
    Ok(())
}

fn check_site(
    records: &UncheckedBackbone<'_>,
    index: usize,
    layer: &Layer,
    site: usize,
    input: Shape,
    sites: &mut SiteCheck,
) -> Result<usize, ImageError> {
    let wrong = wrong(SectionKind::Sites, site);
    if site != sites.seen || site >= records.sites.len() {
        return Err(wrong("sites are not in the order of their layers"));
    }
    sites.seen += 1;
    let record = records.site(site)?;
    let depth = layer.depth(input.channels);
    if record.layer != index || record.depth != depth || !(1..=MAX_SIDE).contains(&record.outputs) {
        return Err(wrong("does not match its layer"));
    }
    let dtype = records.dtype();
    let end = |offset: usize, length: usize, previous: usize, section: usize| {
        let end = offset.checked_add(length)?;
        (offset.is_multiple_of(ALIGN) && offset >= previous && end <= section).then_some(end)
    };
    let bytes = |what| record.bytes(what, dtype, record.outputs);
    let frozen = records.frozen;
    sites.frozen_end = end(
        record.weights,
        bytes(What::Weights),
        sites.frozen_end,
        frozen,
    )
    .ok_or(wrong("weights misaligned, overlapping or out of bounds"))?;
    if dtype == Dtype::I8 {
        if depth > MAX_INT8_PRODUCTS {
            return Err(wrong("more products than 32 bits hold the sum of"));
        }
        let length = record.weight_scales_bytes();
        sites.frozen_end = end(record.weight_scales, length, sites.frozen_end, frozen).ok_or(
            wrong("scales of weights misaligned, overlapping or out of bounds"),
        )?;
    } else if record.weight_scales != 0 {
        return Err(wrong("scales of weights that are not int8"));
    }
    let (length, epilogues) = (bytes(What::Epilogue), records.epilogues);
    sites.epilogue_end = end(record.epilogue, length, sites.epilogue_end, epilogues)
        .ok_or(wrong("epilogue misaligned, overlapping or out of bounds"))?;
    Ok(record.outputs)
}

/// Every tensor but those inside blocks lies in the arena, apart from all that live while it is written.
fn check_tensors(records: &UncheckedBackbone<'_>) -> Result<(), ImageError> {
    let mut blocks = records.blocks().peekable();
    for index in 0..records.tensors.len() {
        while blocks.next_if(|block| block.last + 1 < index).is_some() {}
        let block = blocks.peek().filter(|block| block.first < index).copied();
        if !block.is_some_and(|block| block.inner().contains(&index)) {
            check_tensor(records, index, block)?;
        } else if records.tensor(index).offset != 0 {
            let wrong = wrong(SectionKind::Plan, index);
            return Err(wrong("a tensor inside a block has a place in the arena"));
        }
    }
    Ok(())
}

/// Checks a tensor that its layer writes, or from its first layer on the block of that.
fn check_tensor(
    records: &UncheckedBackbone<'_>,
    index: usize,
    block: Option<Block>,
) -> Result<(), ImageError> {
    let wrong = wrong(SectionKind::Plan, index);
    let tensor = records.tensor(index);
    let scores = records.layers.len();
    let end = end_in_arena(records, index, &tensor).ok_or(wrong("too large"))?;
    if !tensor.offset.is_multiple_of(ALIGN) || end > records.plan.arena.get().into() {
        return Err(wrong("misaligned or outside of the arena"));
    }
    if index == scores && tensor.last != scores {
        return Err(wrong("the scores do not live to the end"));
    }
    let writer = block.map_or(index.saturating_sub(1), |block| block.first);
    for earlier in 0..block.map_or(index, |block| block.first + 1) {
        let other = records.tensor(earlier);
        // An earlier one that is still read while this one is written must not move.
        let is_alive = other.last >= writer;
        let is_apart = || {
            let other_end = end_in_arena(records, earlier, &other);
            end <= other.offset as u64 || other_end.is_some_and(|end| end <= tensor.offset as u64)
        };
        if is_alive && !is_apart() {
            return Err(wrong("shares memory with a tensor that is still alive"));
        }
    }
    Ok(())
}

/// One past the last byte of a tensor, the scores with room for the plan's most classes.
fn end_in_arena(records: &UncheckedBackbone<'_>, index: usize, tensor: &Tensor) -> Option<u64> {
    let shape = tensor.shape;
    let channels = match index == records.layers.len() {
        true => shape.channels.max(records.plan.max_classes.get() as usize),
        false => shape.channels,
    };
    (shape.height as u64 * shape.width as u64)
        .checked_mul(channels as u64)?
        .checked_mul(records.dtype().size() as u64)?
        .checked_add(tensor.offset as u64)
}
