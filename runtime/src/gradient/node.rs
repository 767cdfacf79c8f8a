//! A layer in training, and its weights as the gradient of its input wants them.

use std::vec::Vec;

use graft_patches::BackboneImage;
use graft_patches::geometry::Shape;
use graft_patches::layout::weights_len;
use graft_patches::records::{Layer, Site};

use super::epilogue::TrainedEpilogue;
use crate::kernels::Window;
use crate::kernels::f32::gradient::{flip, transpose};

/// One layer.
pub(super) struct Node {
    pub(super) layer: Layer,
    pub(super) site: Option<SiteNode>,
    /// `None` where the accumulators are the output.
    pub(super) epilogue: Option<TrainedEpilogue>,
}

/// A site in training.
pub(super) struct SiteNode {
    pub(super) index: usize,
    pub(super) site: Site,
    /// Packed; `None` where the backbone's serve.
    pub(super) weights: Option<Vec<f32>>,
    /// Of trained weights, packed.
    pub(super) gradient: Vec<f32>,
    /// Dense: packed weights with inputs and outputs exchanged. Depthwise of stride 1: flipped filters. Empty
    /// where the gradient of the input is not wanted.
    pub(super) transposed: Vec<f32>,
    /// Window of the convolution with the flipped filters.
    pub(super) flipped: Option<Window>,
}

impl Node {
    /// The site of an operator with weights.
    pub(super) fn weighted(&self) -> &SiteNode {
        match &self.site {
            Some(site) => site,
            None => unreachable!("loading has seen to sites"),
        }
    }

    /// Makes a site's weights for the gradient of its input; again after each change of the weights.
    pub(super) fn transpose(&mut self, image: &BackboneImage<'_>, shapes: &[Shape]) {
        let Some(node) = &mut self.site else { return };
        let SiteNode { site, weights, .. } = node;
        let weights = weights.as_deref().unwrap_or_else(|| image.weights(site));
        let [input, output] = [self.layer.inputs[0], site.layer + 1].map(|tensor| shapes[tensor]);
        if site.is_depthwise {
            if let Some((filters, window)) = flip(weights, input, output, self.layer.window) {
                node.transposed = filters;
                node.flipped = Some(window);
            }
            return;
        }
        let (depth, outputs) = (site.depth, output.channels);
        node.transposed.resize(weights_len(depth, outputs), 0.0);
        transpose(weights, depth, outputs, &mut node.transposed);
    }
}
