//! Properties of values that int8 kernels rely on beside memory safety, so that all of them compute the same bytes: checked
//! with the digests of values, by [`Verify::Full`](crate::Verify::Full).

use crate::layout::{PANEL, QUAD, quad_weights_len};
use crate::values::Values;

/// Every multiplier is a finite number. No weight is -128, so that sums of two products fit 16 bits, and what is padded to
/// whole quads is zero.
pub(crate) fn check(
    values: Values<'_>,
    depth: usize,
    is_depthwise: bool,
) -> Result<(), &'static str> {
    match values {
        Values::Requantize(table) => check_multipliers(table.iter().map(|panel| panel.multiplier)),
        Values::HalfTable(table) => {
            check_multipliers(table.iter().map(|panel| panel.multipliers()))
        }
        Values::I8(packed) if packed.contains(&i8::MIN) => Err("a weight of -128"),
        Values::I8(packed) if !is_depthwise => check_padding(packed, depth),
        Values::I8(_) | Values::F32(_) | Values::F16(_) => Ok(()),
    }
}

fn check_multipliers(panels: impl Iterator<Item = [f32; PANEL]>) -> Result<(), &'static str> {
    match panels.flatten().all(f32::is_finite) {
        true => Ok(()),
        false => Err("a multiplier that is infinite or not a number"),
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
