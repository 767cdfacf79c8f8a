//! BatchNormalization: kept raw where it follows a convolution or linear layer, else an affine map.

use super::affine::Affine;
use super::value::{Call, View};
use super::walk::Walk;
use crate::import::error::ImportError;
use crate::import::graph::BatchNorm;

impl<'a> Walk<'a> {
    pub(super) fn batch_normalization(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let view = self.fused(call.view(0)?)?;
        if view.channel_axis != 1 {
            return Err(node.unsupported(format!(
                "its input has shape {:?}, expected channels in the second dimension",
                view.dims
            )));
        }
        if node.int("training_mode", 0)? != 0 || node.int("spatial", 1)? != 1 {
            return Err(node.unsupported("training_mode is set, or spatial is not"));
        }
        let channels = view.channels();
        let values = |index: usize| call.constant(index)?.per_channel(channels);
        let norm = BatchNorm {
            name: node.name().to_owned(),
            gamma: values(1)?,
            beta: values(2)?,
            mean: values(3)?,
            var: values(4)?,
            epsilon: node.float("epsilon", 1e-5)?,
        };
        let is_positive = |var: &f32| var + norm.epsilon > 0.0;
        if !norm.epsilon.is_finite() || !norm.var.iter().all(is_positive) {
            return Err(node.malformed("a variance plus epsilon is not above 0"));
        }
        if view.affine.is_none() && self.builder.takes_affine(&view) {
            let generation = self.builder.fuse_batch_norm(node, &view, norm)?;
            return Ok(view.fused(generation));
        }
        self.map_behind(node, view, Affine::from(&norm))
    }
}
