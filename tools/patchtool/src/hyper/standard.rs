//! Embeddings of a frozen backbone on one scale, whatever the backbone.

use super::network::Inputs;
use super::ops::Ops;

/// Added to the variance, which a single image makes 0: so little that embeddings of any scale are the same to a generator.
const EPSILON: f32 = 1e-12;

/// `z = s (x - m)` for embeddings x: m is the mean of the labelled images, s one number, so that values of z have variance 1 on
/// average. One number for all columns keeps the nearest class mean the nearest.
#[derive(Clone, Debug)]
pub(super) struct Standard<O: Ops> {
    /// Standardized embeddings of the whole support set, `[images, features]`.
    pub(super) values: O::Matrix,
    /// m, `[1, features]`
    mean: O::Matrix,
    /// s, one value.
    factor: O::Matrix,
}

impl<O: Ops> Standard<O> {
    /// Of the embeddings of a support set. Only labelled images count for m and s.
    pub(super) fn of(ops: &O, inputs: &Inputs<O>, embeddings: &O::Matrix, features: usize) -> Self {
        let sum_rows = |a: &O::Matrix| ops.transpose(&ops.sum_columns(&ops.transpose(a)));
        let members = ops.matmul(&inputs.classes, &ops.transpose(&inputs.labels));
        let known = sum_rows(&members);
        let shares = ops.mul(&known, &ops.inverse(&ops.sum_columns(&known)));
        let mean = ops.matmul(&shares, embeddings);
        let centred = ops.add(embeddings, &ops.scale(&mean, -1.0));
        let squares = ops.sum_columns(&ops.mul(&centred, &centred));
        let variance = ops.scale(&ops.matmul(&shares, &squares), 1.0 / features as f32);
        let factor = ops.inverse_sqrt(&variance, EPSILON);
        Self {
            values: ops.mul(&centred, &factor),
            mean,
            factor,
        }
    }

    /// The head of embeddings that computes what a head of standardized ones does: weights `[classes, features]`, bias
    /// `[classes, 1]`.
    pub(super) fn head(
        &self,
        ops: &O,
        weights: &O::Matrix,
        bias: &O::Matrix,
    ) -> (O::Matrix, O::Matrix) {
        let weights = ops.mul(weights, &self.factor);
        let at_mean = ops.matmul(&weights, &ops.transpose(&self.mean));
        (weights, ops.add(bias, &ops.scale(&at_mean, -1.0)))
    }
}
