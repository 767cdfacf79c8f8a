//! The record of one replacement of a patch.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::coded::coded;

coded! { u8:
/// The part of a site that a patch record replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Scale and bias of the site.
    Epilogue = 1,
    /// Packed weights of the site.
    Weights = 2,
}
}

impl core::fmt::Display for What {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Epilogue => "epilogue",
            Self::Weights => "weights",
        })
    }
}

coded! { u8:
/// The storage of an image's values; in a patch the code in [`PatchRecord::dtype`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision, read in place.
    #[default]
    F32 = 1,
    /// IEEE half precision: half of the bytes, widened to f32 once, when the patch is bound.
    F16 = 2,
    /// Bytes, read in place: weights are s8, an epilogue is its requantisation table
    /// ([`crate::requantize::RequantizePanel`]).
    I8 = 3,
    /// As [`Self::I8`], but tables in half precision ([`crate::half_table::HalfPanel`]): half of the bytes, widened once,
    /// when the patch is bound.
    I8Half = 4,
}
}

impl Dtype {
    /// Bytes of one weight.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 | Self::I8Half => 1,
        }
    }

    /// The dtype of the backbones that patches with such values are for.
    pub const fn of_backbone(self) -> Self {
        match self {
            Self::F32 | Self::F16 => Self::F32,
            Self::I8 | Self::I8Half => Self::I8,
        }
    }
}

impl core::fmt::Display for Dtype {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "int8",
            Self::I8Half => "int8+f16",
        })
    }
}

/// One replacement of a patch. Records are sorted by (site, what), each pair at most once.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PatchRecord {
    /// Site of the backbone.
    pub site: U16,
    /// [`What`].
    pub what: u8,
    /// [`Dtype`], the same in all records of a patch.
    pub dtype: u8,
    /// Output channels: those of the site, or for the head the number of classes.
    pub outputs: U32,
    /// Of the packed values, in the values section.
    pub offset: U32,
    /// Bytes.
    pub length: U32,
}
