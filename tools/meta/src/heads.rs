//! Heads for the embeddings of a frozen backbone, learned from a few images: how good each way is, and which steps are best.
//!
//! Rows of every head that is measured here are sums of the support set's embeddings, so that its scores follow from the
//! products of embeddings alone (a kernel method): an episode takes milliseconds, however large the matrices of the learner would be. The
//! heads of the runtime's learner are the same ones where each class has as many images, but for the rounding of embeddings.

pub mod recipe;
mod search;

use graft_runtime::head_learner::{self, Step};
use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::episodes::{Episode, Images};

pub use search::{Found, Sgd, accuracy, ridge, sgd};

/// Most iterations of conjugate gradients, as of the runtime.
const MAX_ITERATIONS: usize = 200;
/// The part of the square of the right-hand side that the square of the residual may remain.
const TOLERANCE: f32 = 1e-10;
/// Products with a matrix to find its greatest eigenvalue.
const POWER_ITERATIONS: usize = 32;

/// A way to make a head of a support set.
#[derive(Clone, Copy, Debug)]
pub enum Method<'a> {
    /// Class means, in closed form.
    Means,
    /// A method of the runtime's head learner.
    Learner(head_learner::Method<'a>),
    /// Gradient descent on the cross-entropy of all support images at once, from zeros.
    Sgd(Sgd),
}

/// An episode as heads see it: products of its embeddings, less the mean of the support set.
#[derive(Debug)]
pub struct Products {
    /// Of the support set with itself, divided by its number of images and by the greatest eigenvalue.
    own: Array2<f32>,
    /// Of queries (rows) with the support set, likewise.
    queries: Array2<f32>,
    /// One-hot classes of the support set.
    targets: Array2<f32>,
    /// Classes of the queries.
    answers: Vec<usize>,
}

impl Products {
    /// Of an episode of embeddings with so many features. `None` where all examples are the same.
    pub fn of(episode: &Episode, features: usize) -> Option<Self> {
        let classes = episode.classes.len();
        let rows = |images: &Images| {
            let shape = (images.len(), features);
            Array2::from_shape_vec(shape, images.values.clone()).expect("rows of features")
        };
        let (mut x, mut queries) = (rows(&episode.support), rows(&episode.queries));
        let mean = x.mean_axis(Axis(0)).expect("an episode has images");
        x -= &mean;
        queries -= &mean;
        let own = x.dot(&x.t()) / x.nrows() as f32;
        let eigenvalue = greatest_eigenvalue(&own);
        let targets = Array2::from_shape_fn((x.nrows(), classes), |(image, class)| {
            f32::from(u8::from(episode.support.labels[image] == class))
        });
        (eigenvalue > 0.0).then(|| Self {
            queries: queries.dot(&x.t()) / (x.nrows() as f32 * eigenvalue),
            own: own / eigenvalue,
            targets,
            answers: episode.queries.labels.clone(),
        })
    }

    /// The share of queries that a head finds the classes of.
    pub fn accuracy(&self, method: Method<'_>) -> f64 {
        let scores = self.scores(method);
        let right = scores
            .rows()
            .into_iter()
            .zip(&self.answers)
            .filter(|(scores, answer)| best(scores.view()) == Some(**answer));
        right.count() as f64 / self.answers.len() as f64
    }

    /// The mean cross-entropy of the queries.
    pub fn loss(&self, method: Method<'_>, confidence: f32) -> f64 {
        cross_entropy(&(self.scores(method) * confidence), &self.answers)
    }

    /// The score of each query (rows) for each class.
    pub fn scores(&self, method: Method<'_>) -> Array2<f32> {
        match method {
            Method::Means => self.means(),
            Method::Learner(head_learner::Method::Descent(steps)) => self.descent(steps),
            Method::Learner(head_learner::Method::Ridge { lambda }) => {
                self.queries
                    .dot(&solve(&self.own, lambda, &self.residuals()))
            }
            Method::Sgd(sgd) => self.sgd(sgd),
        }
    }

    /// What a head of zeros leaves of the targets, which are less their mean as the embeddings are.
    fn residuals(&self) -> Array2<f32> {
        &self.targets - 1.0 / self.targets.ncols() as f32
    }

    /// One-hot classes of the queries.
    fn answers(&self) -> Array2<f32> {
        let shape = (self.answers.len(), self.targets.ncols());
        Array2::from_shape_fn(shape, |(query, class)| {
            f32::from(u8::from(self.answers[query] == class))
        })
    }

    /// Less half the square of the distance to each class mean, but for what is the same of all classes.
    fn means(&self) -> Array2<f32> {
        let shares = &self.targets / &self.targets.sum_axis(Axis(0));
        let squares = (self.own.dot(&shares) * &shares).sum_axis(Axis(0));
        self.queries.dot(&shares) - squares * 0.5
    }

    /// Linear self-attention of von Oswald et al. (ICML 2023, appendix A.10).
    fn descent(&self, steps: &[Step]) -> Array2<f32> {
        let (mut own, mut queries) = (self.own.clone(), self.queries.clone());
        let mut residuals = self.residuals();
        let mut scores = Array2::zeros((queries.nrows(), residuals.ncols()));
        for step in steps {
            scores.scaled_add(step.eta, &queries.dot(&residuals));
            residuals = &residuals - own.dot(&residuals) * step.eta;
            if step.gamma != 0.0 {
                // x <- x - gamma A x, on both sides of every product.
                let less = own.clone() * step.gamma;
                let turned = &queries - &queries.dot(&less);
                queries = &turned - &turned.dot(&less);
                let left = &own - &less.dot(&own);
                own = &left - &left.dot(&less);
            }
        }
        scores
    }

    fn sgd(&self, Sgd { steps, rate }: Sgd) -> Array2<f32> {
        let mut shares = Array2::zeros(self.targets.raw_dim());
        for _ in 0..steps {
            let probabilities = softmax(self.own.dot(&shares));
            shares.scaled_add(rate, &(&self.targets - &probabilities));
        }
        self.queries.dot(&shares)
    }
}

/// Less the mean of the logarithms of the probabilities of the answers.
fn cross_entropy(scores: &Array2<f32>, answers: &[usize]) -> f64 {
    let rows = softmax(scores.clone());
    let rows = rows.rows().into_iter().zip(answers);
    let losses = rows.map(|(row, &answer)| -f64::from(row[answer].max(f32::MIN_POSITIVE)).ln());
    losses.sum::<f64>() / answers.len() as f64
}

/// Rows of scores as probabilities.
fn softmax(mut scores: Array2<f32>) -> Array2<f32> {
    for mut row in scores.rows_mut() {
        let highest = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        row.mapv_inplace(|score| (score - highest).exp());
        let sum = row.sum();
        row /= sum;
    }
    scores
}

/// The class that scores highest.
fn best(scores: ArrayView1<'_, f32>) -> Option<usize> {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
}

/// Columns that (matrix + lambda I) takes to those of `targets`, by conjugate gradients as in the runtime.
fn solve(matrix: &Array2<f32>, lambda: f32, targets: &Array2<f32>) -> Array2<f32> {
    let mut solution = Array2::zeros(targets.raw_dim());
    for (target, mut solution) in targets.columns().into_iter().zip(solution.columns_mut()) {
        let mut residual = target.to_owned();
        let mut direction = residual.clone();
        let mut square = residual.dot(&residual);
        let enough = TOLERANCE * square;
        for _ in 0..MAX_ITERATIONS {
            if square <= enough {
                break;
            }
            let product = matrix.dot(&direction) + &direction * lambda;
            let step = square / direction.dot(&product);
            solution.scaled_add(step, &direction);
            residual.scaled_add(-step, &product);
            let next = residual.dot(&residual);
            direction = &residual + &(direction * (next / square));
            square = next;
        }
    }
    solution
}

/// The greatest eigenvalue of a symmetric matrix without negative ones, by power iteration.
fn greatest_eigenvalue(matrix: &Array2<f32>) -> f32 {
    let mut v = Array1::ones(matrix.nrows());
    // Rows of a centred set add up to zero: all ones would be no start.
    v[0] = 2.0;
    let mut eigenvalue = 0.0;
    for _ in 0..POWER_ITERATIONS {
        let next = matrix.dot(&v);
        eigenvalue = next.dot(&next).sqrt();
        if eigenvalue == 0.0 {
            return 0.0;
        }
        v = next / eigenvalue;
    }
    eigenvalue
}

#[cfg(test)]
mod tests;
