//! The values of sites as training leaves them.

use std::vec::Vec;

pub use graft_patches::metadata::BatchNorm;

/// Values of one site after training, row-major as in `graft_patches::writer::SiteValues`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteParameters {
    /// `[outputs][depth]`, where the weights were trained.
    pub weights: Option<Vec<f32>>,
    /// Batch norm, or scale and bias, where they were trained.
    pub norm: Option<Norm>,
}

/// The affine map that follows a site's accumulator.
#[derive(Clone, Debug, PartialEq)]
pub enum Norm {
    /// Raw batch norm, folded at export with [`BatchNorm::fold`].
    Batch(BatchNorm),
    /// A plain scale and bias of each channel: sites without raw batch norm, and the head.
    Affine {
        /// One per output channel.
        scale: Vec<f32>,
        /// One per output channel.
        bias: Vec<f32>,
    },
}
