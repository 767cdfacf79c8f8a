//! Shapes through the layers, and the check of the memory plan.

use crate::backbone::{BackboneImage, weight_scales_bytes};
use crate::container::{ALIGN, SectionKind};
use crate::error::ImageError;
use crate::geometry::Shape;
use crate::records::{Dtype, Layer, MAX_SIDE, Op, Tensor, What};

/// Most products, or values of a pool, that an int8 layer sums up: so many fit 32 bits.
const MAX_INT8_PRODUCTS: usize = 1 << 15;
const MAX_INT8_POOL: usize = 1 << 23;

/// The shape that a layer gives these operands; `outputs` is the channel count of its site.
///
/// # Errors
/// What does not fit, in words.
pub fn output_shape(
    layer: &Layer,
    left: Shape,
    right: Shape,
    outputs: Option<usize>,
) -> Result<Shape, &'static str> {
    let windowed = |channels| match layer.window.output(left) {
        Some([height @ 1..=MAX_SIDE, width @ 1..=MAX_SIDE]) => {
            Ok(Shape::new(height, width, channels))
        }
        _ => Err("the window does not fit its input"),
    };
    let outputs = outputs.unwrap_or(left.channels);
    match layer.op {
        Op::Conv | Op::Pointwise => windowed(outputs),
        Op::Depthwise if outputs != left.channels => {
            Err("a depthwise site with other channels than its input")
        }
        Op::Depthwise | Op::AveragePool | Op::MaxPool => windowed(left.channels),
        Op::Linear if left.pixels() != 1 => Err("a linear layer on more than one pixel"),
        Op::Linear => Ok(Shape::new(1, 1, outputs)),
        Op::GlobalAveragePool => Ok(Shape::new(1, 1, left.channels)),
        Op::Add if left == right => Ok(left),
        Op::Multiply if left == right || right == Shape::new(1, 1, left.channels) => Ok(left),
        Op::Add | Op::Multiply => Err("operands of different shapes"),
    }
}

/// Checks layers, sites and plan against each other: every layer reads earlier tensors, shapes follow from the input,
/// sites match their layers and lie in the frozen section, and no two activations that live at the same time share
/// memory.
pub(crate) fn check(image: &BackboneImage<'_>) -> Result<(), ImageError> {
    let mut sites = SiteCheck::default();
    for index in 0..image.layer_count() {
        check_layer(image, index, &mut sites)?;
    }
    if sites.seen != image.site_count() {
        return Err(ImageError::Section {
            section: SectionKind::Sites,
            problem: "more sites than layers that have one",
        });
    }
    if image.max_classes() > MAX_SIDE {
        return Err(ImageError::Section {
            section: SectionKind::Plan,
            problem: "room for more than 65,536 classes",
        });
    }
    check_scales(image)?;
    (0..image.layer_count() + 1).try_for_each(|index| check_tensor(image, index))
}

fn check_scales(image: &BackboneImage<'_>) -> Result<(), ImageError> {
    for (index, scale) in image.scales().iter().enumerate() {
        let has_curve = index > 0 && image.layer(index - 1).activation.is_curve();
        scale
            .check(has_curve)
            .map_err(|problem| ImageError::Record {
                section: SectionKind::Scales,
                index,
                problem,
            })?;
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
    image: &BackboneImage<'_>,
    index: usize,
    sites: &mut SiteCheck,
) -> Result<(), ImageError> {
    let wrong = |problem| ImageError::Record {
        section: SectionKind::Layers,
        index,
        problem,
    };
    let layer = image.layer_records()[index].decode().map_err(wrong)?;
    let operands = &layer.inputs[..layer.op.arity()];
    if operands.iter().any(|&input| input > index) {
        return Err(wrong("reads a tensor that is not written yet"));
    }
    if operands
        .iter()
        .any(|&input| image.tensor(input).last < index)
    {
        return Err(wrong(
            "reads a tensor after the end of its life in the plan",
        ));
    }
    if layer.op.is_site() != layer.site.is_some() {
        return Err(wrong(
            "a site on an operator without weights, or none on one with",
        ));
    }
    let shape = |input: usize| image.tensor(input).shape;
    let left = shape(layer.inputs[0]);
    let right = shape(operands[operands.len() - 1]);
    let outputs = match layer.site {
        Some(site) => Some(check_site(image, index, &layer, site, left, sites)?),
        None => None,
    };
    let summed = match layer.op {
        Op::GlobalAveragePool => left.pixels(),
        _ => layer.window.kernel[0] * layer.window.kernel[1],
    };
    if image.dtype() == Dtype::I8 && outputs.is_none() && summed > MAX_INT8_POOL {
        return Err(wrong(
            "more values in an int8 pool than 32 bits hold the sum of",
        ));
    }
    if output_shape(&layer, left, right, outputs).map_err(wrong)? != shape(index + 1) {
        return Err(wrong("the plan has another shape for its output"));
    }
    Ok(())
}

fn check_site(
    image: &BackboneImage<'_>,
    index: usize,
    layer: &Layer,
    site: usize,
    input: Shape,
    sites: &mut SiteCheck,
) -> Result<usize, ImageError> {
    let wrong = |problem| ImageError::Record {
        section: SectionKind::Sites,
        index: site,
        problem,
    };
    if site != sites.seen || site >= image.site_count() {
        return Err(wrong("sites are not in the order of their layers"));
    }
    sites.seen += 1;
    let record = image.site(site);
    let window = layer.window.kernel[0] * layer.window.kernel[1];
    let depth = match layer.op {
        Op::Depthwise => window,
        _ => window * input.channels,
    };
    if record.layer != index || record.depth != depth || !(1..=MAX_SIDE).contains(&record.outputs) {
        return Err(wrong("does not match its layer"));
    }
    let dtype = image.dtype();
    let end = |offset: usize, length: usize, previous: usize, section: &[u8]| {
        let end = offset.checked_add(length)?;
        (offset.is_multiple_of(ALIGN) && offset >= previous && end <= section.len()).then_some(end)
    };
    let bytes = |what| record.bytes(what, dtype, record.outputs);
    let frozen = image.frozen();
    sites.frozen_end = end(
        record.weights,
        bytes(What::Weights),
        sites.frozen_end,
        frozen,
    )
    .ok_or(wrong("weights misaligned, overlapping or out of bounds"))?;
    match dtype {
        Dtype::I8 if depth > MAX_INT8_PRODUCTS => {
            return Err(wrong("more products than 32 bits hold the sum of"));
        }
        Dtype::I8 => {
            let length = weight_scales_bytes(record.outputs);
            sites.frozen_end = end(record.weight_scales, length, sites.frozen_end, frozen).ok_or(
                wrong("scales of weights misaligned, overlapping or out of bounds"),
            )?;
        }
        _ if record.weight_scales != 0 => return Err(wrong("scales of weights that are not int8")),
        _ => {}
    }
    let (length, epilogues) = (bytes(What::Epilogue), image.epilogues());
    sites.epilogue_end = end(record.epilogue, length, sites.epilogue_end, epilogues)
        .ok_or(wrong("epilogue misaligned, overlapping or out of bounds"))?;
    Ok(record.outputs)
}

fn check_tensor(image: &BackboneImage<'_>, index: usize) -> Result<(), ImageError> {
    let wrong = |problem| ImageError::Record {
        section: SectionKind::Plan,
        index,
        problem,
    };
    let tensor = image.tensor(index);
    let end = end_in_arena(image, index).ok_or(wrong("too large"))?;
    if !tensor.offset.is_multiple_of(ALIGN) || end > image.arena_bytes() as u64 {
        return Err(wrong("misaligned or outside of the arena"));
    }
    if index == image.layer_count() && tensor.last != image.layer_count() {
        return Err(wrong("the scores do not live to the end"));
    }
    for earlier in 0..index {
        let other = image.tensor(earlier);
        // Tensor `index` is written by layer `index - 1`; an earlier one that this layer still reads must not move.
        let is_alive = other.last + 1 >= index;
        let is_apart = || {
            let other_end = end_in_arena(image, earlier);
            end <= other.offset as u64 || other_end.is_some_and(|end| end <= tensor.offset as u64)
        };
        if is_alive && !is_apart() {
            return Err(wrong("shares memory with a tensor that is still alive"));
        }
    }
    Ok(())
}

/// One past the last byte of a tensor, the scores with room for the plan's most classes.
fn end_in_arena(image: &BackboneImage<'_>, index: usize) -> Option<u64> {
    let Tensor { shape, offset, .. } = image.tensor(index);
    let channels = match index == image.layer_count() {
        true => shape.channels.max(image.max_classes()),
        false => shape.channels,
    };
    (shape.height as u64 * shape.width as u64)
        .checked_mul(channels as u64)?
        .checked_mul(image.dtype().size() as u64)?
        .checked_add(offset as u64)
}

/// Whether the plan has room for an input: the same channels, no more rows or columns.
pub(crate) fn check_fits(image: &BackboneImage<'_>, input: Shape) -> Result<(), ImageError> {
    let planned = image.tensor(0).shape;
    let fits = (1..=planned.height).contains(&input.height)
        && (1..=planned.width).contains(&input.width)
        && input.channels == planned.channels;
    if fits {
        Ok(())
    } else {
        Err(resolution_error(image, input))
    }
}

fn resolution_error(image: &BackboneImage<'_>, input: Shape) -> ImageError {
    ImageError::Resolution {
        found: input,
        expected: image.tensor(0).shape,
    }
}

/// Walks the shapes of all layers for an input that the plan has room for.
///
/// `shapes` holds one entry more than the backbone has layers.
///
/// # Errors
/// [`ImageError::Resolution`] where the input is larger than the plan's, [`ImageError::TooSmall`] where a layer cannot
/// reduce it.
///
/// # Panics
/// If `shapes` is too short.
pub fn infer_shapes(
    image: &BackboneImage<'_>,
    input: Shape,
    shapes: &mut [Shape],
) -> Result<(), ImageError> {
    check_fits(image, input)?;
    shapes[0] = input;
    for index in 0..image.layer_count() {
        let layer = image.layer(index);
        let outputs = layer.site.map(|site| image.site(site).outputs);
        let right = if layer.op.arity() == 2 {
            layer.inputs[1]
        } else {
            layer.inputs[0]
        };
        shapes[index + 1] = output_shape(&layer, shapes[layer.inputs[0]], shapes[right], outputs)
            .map_err(|_| ImageError::TooSmall { found: input })?;
    }
    Ok(())
}
