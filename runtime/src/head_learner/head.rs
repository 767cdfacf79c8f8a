//! A head that was learned.

use super::Projection;

/// Weights and biases of a head, for embeddings as the backbone computes them.
#[derive(Clone, Copy, Debug)]
pub struct Head<'w> {
    projection: Projection,
    /// Of each class its weights in the dimensions of the projection, in units of its integers, and its bias.
    rows: &'w [f32],
    scores: [f32; 2],
    eigenvalue: f32,
}

impl<'w> Head<'w> {
    pub(super) fn new(
        projection: Projection,
        rows: &'w [f32],
        scores: [f32; 2],
        eigenvalue: f32,
    ) -> Self {
        Self {
            projection,
            rows,
            scores,
            eigenvalue,
        }
    }

    /// Classes.
    pub fn classes(&self) -> usize {
        self.rows.len() / (self.projection.dimensions() + 1)
    }

    /// The weight of a class for a value of the embedding.
    ///
    /// # Panics
    /// If there is no such class or value.
    pub fn weight(&self, class: usize, input: usize) -> f32 {
        let weight = self.row(class)[self.projection.dimension(input)];
        self.projection.sign(input) * weight / self.projection.unit()
    }

    /// The bias of a class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn bias(&self, class: usize) -> f32 {
        self.row(class)[self.projection.dimensions()]
    }

    /// Least and greatest score to expect.
    pub fn scores(&self) -> [f32; 2] {
        self.scores
    }

    /// The greatest eigenvalue of the covariance of the integers, of which steps are in units of one over it.
    pub fn eigenvalue(&self) -> f32 {
        self.eigenvalue
    }

    fn row(&self, class: usize) -> &'w [f32] {
        let length = self.projection.dimensions() + 1;
        &self.rows[class * length..][..length]
    }
}
