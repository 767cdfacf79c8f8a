//! The records of the memory plan: its head, and one for each tensor. Those of fused blocks follow ([`super::Block`]).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::geometry::Shape;

use super::field::side;

/// Head of the plan section.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PlanRecord {
    /// Bytes of the arena for activations.
    pub arena: U32,
    /// Most classes that a patch's head may have: the scores tensor is planned for this number of channels.
    pub max_classes: U32,
    /// Fused blocks, whose records follow those of the tensors.
    pub blocks: U32,
    /// Zero.
    pub reserved: U32,
}

/// Shape, place and lifetime of one activation at the plan's resolution.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TensorRecord {
    /// Rows.
    pub height: U32,
    /// Columns.
    pub width: U32,
    /// Channels.
    pub channels: U32,
    /// Byte offset in the arena, a multiple of 64; 0 of a tensor inside a fused block.
    pub offset: U32,
    /// Last layer that reads it, or the last of that one's fused block; the number of layers for the scores.
    pub last: U16,
    /// Zero.
    pub reserved: [U16; 3],
}

/// A decoded tensor of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// At the plan's resolution.
    pub shape: Shape,
    /// Byte offset in the arena.
    pub offset: usize,
    /// Last layer that reads it, or the last of that one's fused block; the number of layers for the scores.
    pub last: usize,
}

impl TensorRecord {
    pub(crate) fn decode(&self) -> Result<Tensor, &'static str> {
        if self.reserved.iter().any(|&word| word != 0) {
            return Err("a reserved field is set");
        }
        let side = |value: U32| side(value.get(), "a side of zero, or above 65,536");
        Ok(Tensor {
            shape: Shape::new(side(self.height)?, side(self.width)?, side(self.channels)?),
            offset: self.offset.get() as usize,
            last: self.last.get().into(),
        })
    }
}
