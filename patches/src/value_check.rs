//! Properties of values beside memory safety: scores are numbers, and all int8 kernels compute the same bytes. Checked with
//! the digests of values, by [`Verify::Full`](crate::Verify::Full).

use crate::layout::{PANEL, QUAD, quad_weights_len};
use crate::values::Values;

/// Every value is a finite number. No weight of int8 is -128, so that sums of two products fit 16 bits, and what is padded
/// to whole quads is zero.
pub(crate) fn check(
    values: Values<'_>,
    depth: usize,
    is_depthwise: bool,
) -> Result<(), &'static str> {
    match values {
        Values::F32(values) => check_finite(values.iter().copied()),
        Values::F16(values) => check_finite(values.iter().map(|value| value.to_f32())),
        Values::Requantize(table) => check_finite(table.iter().flat_map(|panel| panel.multiplier)),
        Values::HalfTable(table) => check_finite(
            table
                .iter()
                .flat_map(|panel| [panel.multipliers(), panel.biases()])
                .flatten(),
        ),
        Values::I8(packed) if packed.contains(&i8::MIN) => Err("a weight of -128"),
        Values::I8(packed) if !is_depthwise => check_padding(packed, depth),
        Values::I8(_) => Ok(()),
    }
}

/// Without a way out in the middle, so that it is computed many values at a time.
fn check_finite(values: impl Iterator<Item = f32>) -> Result<(), &'static str> {
    match values.fold(true, |all, value| all & value.is_finite()) {
        true => Ok(()),
        false => Err("a value that is infinite or not a number"),
    }
}

fn check_padding(packed: &[i8], depth: usize) -> Result<(), &'static str> {
    let inputs = QUAD - (depth.next_multiple_of(QUAD) - depth);
    let last_lines = packed
        .chunks_exact(quad_weights_len(PANEL, depth))
        .filter_map(|panel| panel.last_chunk::<{ PANEL * QUAD }>());
    let mut quads = last_lines.flat_map(|line| line.chunks_exact(QUAD));
    match quads.all(|quad| quad[inputs..].iter().all(|&weight| weight == 0)) {
        true => Ok(()),
        false => Err("padding of weights that is not zero"),
    }
}
