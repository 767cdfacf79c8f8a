//! Values in half precision: widened once, when a patch is bound, to memory that holds those of all replacements one after
//! another.

use graft_patches::half_table::TableSite;
use graft_patches::requantize::RequantizePanel;
use graft_patches::{BackboneImage, PatchImage, Values};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const MESSAGE: &str = "whole panels in aligned memory";

/// Bytes of memory that it takes: whole lines of 64. None for a patch that is read in place.
pub(crate) fn wide_bytes(patch: &PatchImage<'_>) -> usize {
    let replacements = patch.replacements();
    replacements.map(|own| own.values.wide_bytes()).sum()
}

/// Fills aligned memory of [`wide_bytes`] from a patch that was checked against its backbone.
pub(crate) fn widen(patch: &PatchImage<'_>, backbone: &BackboneImage<'_>, mut wide: &mut [u8]) {
    for replacement in patch.replacements() {
        let bytes = replacement.values.wide_bytes();
        let (own, rest) = wide.split_at_mut(bytes);
        wide = rest;
        match replacement.values {
            Values::F16(_) => replacement.values.widen(written(own)),
            Values::HalfTable(table) => {
                let site = TableSite::of(patch, backbone, replacement.site);
                site.widen(table, written::<RequantizePanel>(own));
            }
            Values::F32(_) | Values::I8(_) | Values::Requantize(_) => {}
        }
    }
}

/// Values as kernels read them: in place, or the next that were widened.
pub(crate) fn as_read<'a>(values: Values<'a>, wide: &mut &'a [u8]) -> Values<'a> {
    let (own, rest) = wide.split_at(values.wide_bytes());
    *wide = rest;
    match values {
        Values::F16(_) => Values::F32(read(own)),
        Values::HalfTable(_) => Values::Requantize(read(own)),
        Values::F32(_) | Values::I8(_) | Values::Requantize(_) => values,
    }
}

fn read<T: FromBytes + Immutable>(bytes: &[u8]) -> &[T] {
    <[T]>::ref_from_bytes(bytes).unwrap_or_else(|_| unreachable!("{MESSAGE}"))
}

fn written<T: FromBytes + IntoBytes + KnownLayout>(bytes: &mut [u8]) -> &mut [T] {
    <[T]>::mut_from_bytes(bytes).unwrap_or_else(|_| unreachable!("{MESSAGE}"))
}
