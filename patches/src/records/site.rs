//! The record of one site.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::layout::{epilogue_len, padded, quad_weights_len, weights_len};

use super::layer::{LayerRecord, Op};
use super::replacement::{Dtype, What};

/// One site: a layer with weights and an epilogue.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SiteRecord {
    /// Its layer.
    pub layer: U16,
    /// Zero.
    pub reserved: U16,
    /// Output channels, N.
    pub outputs: U32,
    /// Weights per output channel: kh * kw * C_in, or kh * kw of a depthwise site.
    pub depth: U32,
    /// Of the packed weights, in the frozen section.
    pub weights: U32,
    /// Of the identity epilogue, in its section.
    pub epilogue: U32,
    /// Of the scales of int8 weights, in the frozen section; 0 in f32.
    pub weight_scales: U32,
    /// Zero.
    pub reserved2: [U32; 2],
}

/// A decoded site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its layer.
    pub layer: usize,
    /// Output channels, N.
    pub outputs: usize,
    /// Weights per output channel.
    pub depth: usize,
    /// Whether it is the last layer: the head, whose number of outputs a patch may change.
    pub is_head: bool,
    /// Whether it is depthwise.
    pub is_depthwise: bool,
    /// Offset of the packed weights in the frozen section.
    pub(crate) weights: usize,
    /// Offset of the identity epilogue in its section.
    pub(crate) epilogue: usize,
    /// Offset of the scales of int8 weights in the frozen section.
    pub(crate) weight_scales: usize,
}

impl SiteRecord {
    /// The site, which is one of these layers.
    pub(crate) fn decode(&self, layers: &[LayerRecord]) -> Result<Site, &'static str> {
        if self.reserved != 0 || self.reserved2.iter().any(|&word| word != 0) {
            return Err("a reserved field is set");
        }
        let layer = usize::from(self.layer.get());
        let op = layers.get(layer).map(|layer| layer.op);
        let is_depthwise = op == Some(Op::Depthwise as u8);
        Ok(Site {
            layer,
            outputs: self.outputs.get() as usize,
            depth: self.depth.get() as usize,
            is_head: layer + 1 == layers.len() && !is_depthwise,
            is_depthwise,
            weights: self.weights.get() as usize,
            epilogue: self.epilogue.get() as usize,
            weight_scales: self.weight_scales.get() as usize,
        })
    }
}

impl Site {
    /// Bytes of the scales of int8 weights, padded to whole panels.
    pub(crate) const fn weight_scales_bytes(&self) -> usize {
        padded(self.outputs).saturating_mul(size_of::<f32>())
    }

    /// Bytes of packed values of `what` for `outputs` channels.
    pub const fn bytes(&self, what: What, dtype: Dtype, outputs: usize) -> usize {
        let (epilogue, weights) = (epilogue_len(outputs), weights_len(outputs, self.depth));
        match (what, dtype) {
            // A multiplier and a bias of four bytes each.
            (What::Epilogue, Dtype::I8) => epilogue.saturating_mul(4),
            (What::Epilogue, Dtype::I8Half) => epilogue.saturating_mul(2),
            (What::Epilogue, Dtype::F32 | Dtype::F16) => epilogue.saturating_mul(dtype.size()),
            (What::Weights, Dtype::I8 | Dtype::I8Half) if !self.is_depthwise => {
                quad_weights_len(outputs, self.depth)
            }
            (What::Weights, Dtype::F32 | Dtype::F16 | Dtype::I8 | Dtype::I8Half) => {
                weights.saturating_mul(dtype.size())
            }
        }
    }
}
