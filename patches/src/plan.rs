//! Shapes through the layers of a backbone, for inputs that its memory plan has room for.

use crate::backbone::BackboneImage;
use crate::error::ImageError;
use crate::geometry::{Shape, Window};
use crate::records::MAX_BLOCK;

/// Bytes that the int8 kernels of a Cortex-M have in scratch memory for each input of a convolution, pointwise or other: a
/// window, and the halves of 16 bits of four pixels.
pub const PREPARED: usize = 9;

/// Checks that the plan has room for an input: the same channels, no more rows or columns.
pub(crate) fn check_fits(image: &BackboneImage<'_>, input: Shape) -> Result<(), ImageError> {
    let planned = image.tensor(0).shape;
    let fits = (1..=planned.height).contains(&input.height)
        && (1..=planned.width).contains(&input.width)
        && input.channels == planned.channels;
    match fits {
        true => Ok(()),
        false => Err(ImageError::Resolution {
            found: input,
            expected: planned,
        }),
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
        let operands = &layer.inputs[..layer.op.arity()];
        let [left, right] = [operands[0], operands[operands.len() - 1]];
        shapes[index + 1] = layer
            .output_shape(shapes[left], shapes[right], outputs)
            .map_err(|_| ImageError::TooSmall { found: input })?;
    }
    Ok(())
}

/// Rows that are kept of the output of each layer of a fused block, of which the last computes `rows` at a time: each
/// keeps what the next one needs for that. The layers are given by their windows and the heights of their outputs.
pub fn kept_rows(rows: usize, layers: &[(Window, usize)]) -> [usize; MAX_BLOCK] {
    let mut kept = [0; MAX_BLOCK];
    let mut needed = rows;
    for (kept, &(window, height)) in kept.iter_mut().zip(layers).rev() {
        *kept = needed.min(height);
        needed = window.rows_under(*kept);
    }
    kept
}
