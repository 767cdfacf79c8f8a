//! Steps of GD and GD++ that are learned: the ones by which heads of many episodes classify their queries best.
//!
//! Without the features themselves: with examples as rows of X, all that a step computes follows from the products X X^T and
//! those of queries and examples (von Oswald et al. 2023, appendix A.10, as a kernel method).

use burn_tensor::{Device, Tensor, TensorData};
use graft_runtime::head_learner::{Method, Recipe, Step};
use ndarray::Array2;
use patchtool::taught::RecipeFile;
use patchtool::train::optimizer::{Algorithm, Optimizer, Update};
use rayon::prelude::*;

use super::Products;
use super::search::{Found, least, loss};
use crate::heads;
use crate::tensors::values;

/// Rate of Adam on the logarithms.
const RATE: f32 = 0.03;
/// Logarithms of the growth of etas to start from.
const GROWTHS: [f32; 3] = [0.0, 0.5, 1.0];
/// Episodes of a step.
const BATCH: usize = 8;

/// The mean cross-entropy of an episode's queries. `logarithms` are those of all etas, then all gammas if there are any, then the
/// confidence, in one row.
fn tracked_loss(
    episode: &Products,
    logarithms: &Tensor<2>,
    steps: usize,
    device: &Device,
) -> Tensor<1> {
    let tensor = |values: &Array2<f32>| {
        let data = TensorData::new(
            values.iter().copied().collect::<Vec<f32>>(),
            [values.nrows(), values.ncols()],
        );
        Tensor::<2>::from_data(data, device)
    };
    let [mut own, mut queries] = [&episode.own, &episode.queries].map(tensor);
    let mut residuals = tensor(&episode.residuals());
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
    let answers = episode.answers();
    let count = answers.nrows() as f32;
    let likelihoods = (scores - normaliser) * tensor(&answers);
    likelihoods.sum() * (-1.0 / count)
}

/// Learns a recipe of so many steps, of GD++ if they transform, from episodes: the best of several starts.
pub fn learn(
    episodes: &[Products],
    steps: usize,
    transforms: bool,
    updates: usize,
) -> Found<RecipeFile> {
    let from = |&growth: &f32| learn_from(growth, episodes, steps, transforms, updates);
    least(GROWTHS.par_iter().map(from).collect::<Vec<_>>())
}

/// Learns from etas that grow from step to step by e to the power of `growth`: small ones first, larger ones where transformations
/// have taken the large eigenvalues away.
fn learn_from(
    growth: f32,
    episodes: &[Products],
    steps: usize,
    transforms: bool,
    updates: usize,
) -> Found<RecipeFile> {
    let plain = Device::flex();
    let gammas = if transforms { steps } else { 0 };
    let mut logarithms: Vec<f32> = (0..steps).map(|step| growth * step as f32).collect();
    logarithms.extend(vec![-0.5; gammas]);
    logarithms.push(5.0f32.ln());
    let length = logarithms.len();
    let mut optimizer = Optimizer::new(Algorithm::Adam, 0.0, [length]);
    for update in 0..updates {
        let device = plain.clone().autodiff();
        let data = TensorData::new(logarithms.clone(), [1, length]);
        let tensor = Tensor::<2>::from_data(data, &device).require_grad();
        let batch = (0..BATCH).map(|at| &episodes[(update * BATCH + at) % episodes.len()]);
        let losses = batch.map(|episode| tracked_loss(episode, &tensor, steps, &device));
        let mean =
            losses.reduce(|a, b| a + b).expect("a batch has episodes") * (1.0 / BATCH as f32);
        let mut gradients = mean.backward();
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
    Found {
        best: RecipeFile::from(&recipe),
        loss: loss(
            episodes,
            heads::Method::Learner(recipe.method),
            recipe.confidence,
        ),
    }
}
