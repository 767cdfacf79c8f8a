//! The rules that fields of all records share.

use zerocopy::{Immutable, IntoBytes};

/// Largest height, width or channel count.
pub const MAX_SIDE: usize = 1 << 16;

/// There is one way to write a record: reserved fields are zero, fields without a meaning have their one value.
pub(super) fn is_canonical<T: IntoBytes + Immutable>(
    found: &T,
    expected: &T,
) -> Result<(), &'static str> {
    if found.as_bytes() == expected.as_bytes() {
        return Ok(());
    }
    Err("a reserved field, or one without a meaning here, is set")
}

/// A height, width or channel count.
pub(super) fn side(value: u32, problem: &'static str) -> Result<usize, &'static str> {
    match usize::try_from(value) {
        Ok(side @ 1..=MAX_SIDE) => Ok(side),
        _ => Err(problem),
    }
}
