//! The record of a fused block.

use core::ops::Range;

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Most layers of a [`Block`]: expand, depthwise, project, add.
pub const MAX_BLOCK: usize = 4;

/// Neighbouring layers that are computed together, a few output rows at a time.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlockRecord {
    /// First layer.
    pub first: U16,
    /// Last layer, the one whose output is in the arena.
    pub last: U16,
    /// Output rows of the last layer that are computed at a time.
    pub rows: U16,
    /// Zero.
    pub reserved: U16,
}

/// A decoded fused block: its first layer reads the arena, each other the output of the one before, and what lies between
/// them is never whole in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First layer.
    pub first: usize,
    /// Last layer.
    pub last: usize,
    /// Output rows of the last layer that are computed at a time.
    pub rows: usize,
}

impl Block {
    /// Its layers.
    pub fn layers(&self) -> Range<usize> {
        self.first..self.last + 1
    }

    /// The tensors between its layers.
    pub fn inner(&self) -> Range<usize> {
        self.first + 1..self.last + 1
    }
}

impl BlockRecord {
    pub(crate) fn decode(&self) -> Result<Block, &'static str> {
        let block = Block {
            first: self.first.get().into(),
            last: self.last.get().into(),
            rows: self.rows.get().into(),
        };
        if self.reserved.get() != 0 {
            return Err("a reserved field of a block is set");
        }
        if block.rows == 0 {
            return Err("a block that computes no rows at a time");
        }
        match block.last.checked_sub(block.first) {
            Some(1..MAX_BLOCK) => Ok(block),
            _ => Err("a block of fewer than two layers, or more than four"),
        }
    }
}

impl From<&Block> for BlockRecord {
    fn from(block: &Block) -> Self {
        Self {
            first: (block.first as u16).into(),
            last: (block.last as u16).into(),
            rows: (block.rows as u16).into(),
            reserved: 0.into(),
        }
    }
}
