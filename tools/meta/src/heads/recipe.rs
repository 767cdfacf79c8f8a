//! Steps of GD and GD++ that are learned: the ones by which heads of many episodes classify their queries best.
//!
//! Without the features themselves: with examples as rows of X, all that a step computes follows from the products X X^T and
//! those of queries and examples (von Oswald et al. 2023, appendix A.10, as a kernel method).

use burn_tensor::{Device, Tensor, TensorData};
use graft_runtime::head_learner::{Method, Recipe, Step};
use patchtool::taught::RecipeFile;
use patchtool::train::optimizer::{Algorithm, Optimizer, Update};

use super::{centred, greatest_eigenvalue, products, rows};
use crate::episodes::Episode;
use crate::tensors::values;

/// Rate of Adam on the logarithms.
const RATE: f32 = 0.03;
/// Episodes of a step.
const BATCH: usize = 8;

/// An episode as gradient descent sees it.
#[derive(Debug)]
pub struct Products {
    /// Of the examples, divided by their number and by the greatest eigenvalue.
    own: TensorData,
    /// Of queries and examples, likewise.
    queries: TensorData,
    /// One-hot classes of the examples, less their mean.
    targets: TensorData,
    /// One-hot classes of the queries.
    answers: TensorData,
}

impl Products {
    /// Of an episode of embeddings with so many features. `None` where all examples are the same.
    pub fn of(episode: &Episode, features: usize) -> Option<Self> {
        let classes = episode.classes.len();
        let (support, queries) = (&episode.support, &episode.queries);
        let (x, mean) = centred(&support.values, features);
        let asked: Vec<f32> = rows(&queries.values, features)
            .flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| x - mean))
            .collect();
        let (count, asked_count) = (support.len(), queries.len());
        let own = products(&x, &x, features, count as f32);
        let eigenvalue = greatest_eigenvalue(&own, count);
        if eigenvalue <= 0.0 {
            return None;
        }
        let one_hot = |labels: &[usize], less: f32| -> Vec<f32> {
            let entry = |label: usize, class| f32::from(u8::from(label == class)) - less;
            let labels = labels.iter().copied();
            labels
                .flat_map(|label| (0..classes).map(move |class| entry(label, class)))
                .collect()
        };
        let own = own.into_iter().map(|value| value / eigenvalue).collect();
        let asked = products(&asked, &x, features, count as f32 * eigenvalue);
        let targets = one_hot(&support.labels, 1.0 / classes as f32);
        let answers = one_hot(&queries.labels, 0.0);
        Some(Self {
            own: TensorData::new::<f32, _>(own, [count, count]),
            queries: TensorData::new(asked, [asked_count, count]),
            targets: TensorData::new(targets, [count, classes]),
            answers: TensorData::new(answers, [asked_count, classes]),
        })
    }

    /// The mean cross-entropy of the queries. `logarithms` are those of all etas, then all gammas if there are any, then the
    /// confidence, in one row.
    fn loss(&self, logarithms: &Tensor<2>, steps: usize, device: &Device) -> Tensor<1> {
        let tensor = |data: &TensorData| Tensor::<2>::from_data(data.clone(), device);
        let [mut own, mut queries] = [&self.own, &self.queries].map(tensor);
        let mut residuals = tensor(&self.targets);
        let all = logarithms.clone().exp();
        let number = |at: usize| all.clone().narrow(1, at, 1);
        let last = all.dims()[1] - 1;
        let mut scores = queries.zeros_like().matmul(residuals.zeros_like());
        for step in 0..steps {
            let eta = number(step);
            scores = scores + queries.clone().matmul(residuals.clone()) * eta.clone();
            residuals = residuals.clone() - own.clone().matmul(residuals) * eta;
            if last > steps {
                let gamma = number(steps + step);
                // x <- x - gamma X^T X x: of rows a of X, (I - gamma G) from the left, and the same for queries.
                let less = own.clone() * gamma.clone();
                let turned = queries.clone() - queries.clone().matmul(own.clone()) * gamma;
                queries = turned.clone() - turned.matmul(less.clone());
                let left = own.clone() - less.clone().matmul(own);
                own = left.clone() - left.matmul(less);
            }
        }
        let scores = scores * number(last);
        let highest = scores.clone().detach().max_dim(1);
        let scores = scores - highest;
        let normaliser = scores.clone().exp().sum_dim(1).log();
        let likelihoods = (scores - normaliser) * tensor(&self.answers);
        likelihoods.sum() * (-1.0 / self.answers.shape()[0] as f32)
    }
}

/// Learns a recipe of so many steps, of GD++ if they transform, from episodes. Gives the mean loss of the last hundred updates,
/// too.
pub fn learn(
    episodes: &[Products],
    steps: usize,
    transforms: bool,
    updates: usize,
    mut progress: impl FnMut(usize, f32),
) -> (RecipeFile, f32) {
    let plain = Device::flex();
    // Small steps first, larger ones where the first have taken the large eigenvalues away.
    let eta = |step: usize| if transforms { step as f32 } else { 0.0 };
    let gammas = if transforms { steps } else { 0 };
    let mut logarithms: Vec<f32> = (0..steps).map(eta).collect();
    logarithms.extend(vec![-0.5; gammas]);
    logarithms.push(5.0f32.ln());
    let length = logarithms.len();
    let mut optimizer = Optimizer::new(Algorithm::Adam, 0.0, [length]);
    let mut recent = Vec::new();
    for update in 0..updates {
        let device = plain.clone().autodiff();
        let data = TensorData::new(logarithms.clone(), [1, length]);
        let tensor = Tensor::<2>::from_data(data, &device).require_grad();
        let batch = (0..BATCH).map(|at| &episodes[(update * BATCH + at) % episodes.len()]);
        let losses = batch.map(|episode| episode.loss(&tensor, steps, &device));
        let loss =
            losses.reduce(|a, b| a + b).expect("a batch has episodes") * (1.0 / BATCH as f32);
        let mut gradients = loss.backward();
        let gradient = values(
            tensor
                .grad_remove(&mut gradients)
                .expect("it is in the loss"),
        );
        let share = (1.0 / gradient.iter().map(|g| g * g).sum::<f32>().sqrt()).min(1.0);
        let gradient: Vec<f32> = gradient.iter().map(|g| share * g).collect();
        let update_values = Update {
            values: &mut logarithms[..],
            gradient: &gradient[..],
            decays: false,
            lr_multiplier: 1.0,
        };
        let left = 1.0 - update as f32 / updates as f32;
        optimizer.step(RATE * left, [update_values]);
        recent.push(values(loss)[0]);
        if (update + 1) % 100 == 0 {
            progress(update + 1, mean_of_last(&recent));
        }
    }
    let numbers: Vec<f32> = logarithms.iter().map(|logarithm| logarithm.exp()).collect();
    let step = |at: usize| Step {
        eta: numbers[at],
        gamma: match transforms && at + 1 < steps {
            true => numbers[steps + at],
            // Nothing comes after the last step.
            false => 0.0,
        },
    };
    let all: Vec<Step> = (0..steps).map(step).collect();
    let recipe = Recipe {
        method: Method::Descent(&all),
        confidence: numbers[length - 1],
    };
    (RecipeFile::from(&recipe), mean_of_last(&recent))
}

fn mean_of_last(losses: &[f32]) -> f32 {
    let last = &losses[losses.len().saturating_sub(100)..];
    last.iter().sum::<f32>() / last.len().max(1) as f32
}
