//! Numbers of methods that have one or two, by search: those by which heads of many episodes classify their queries best.

use graft_runtime::head_learner::{self, Recipe};
use patchtool::taught::RecipeFile;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Method, Products, cross_entropy};

/// Lambdas of ridge regression to try, in units of the greatest eigenvalue.
const LAMBDAS: [f32; 12] = [
    0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5,
];
/// Factors of scores to try.
const CONFIDENCES: [f32; 12] = [
    2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0,
];
/// Rates of gradient descent on the cross-entropy to try.
const RATES: [f32; 8] = [0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// Its numbers of steps to try.
const STEPS: [usize; 6] = [10, 25, 50, 100, 200, 400];

/// Steps and rate of gradient descent on the cross-entropy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// Steps.
    pub steps: usize,
    /// Rate, in units of one over the greatest eigenvalue of the embeddings' covariance.
    pub rate: f32,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found<T> {
    /// The best of those that were tried.
    pub best: T,
    /// The mean cross-entropy of queries with it.
    pub loss: f64,
}

/// Ridge regression: the lambda of the best accuracy on the episodes that choose, and the confidence of the least loss on the
/// others.
pub fn ridge(episodes: &[Products], choosing: &[Products]) -> Found<RecipeFile> {
    let method = |&lambda: &f32| head_learner::Method::Ridge { lambda };
    let method = best(choosing, LAMBDAS.iter().map(method), Method::Learner);
    // A confidence is a factor of scores that are there.
    let scores: Vec<_> = episodes
        .par_iter()
        .map(|episode| (episode.scores(Method::Learner(method)), &episode.answers))
        .collect();
    least(CONFIDENCES.iter().map(|&confidence| {
        let losses = scores
            .par_iter()
            .map(|(scores, answers)| cross_entropy(&(scores * confidence), answers));
        Found {
            best: RecipeFile::from(&Recipe { method, confidence }),
            loss: losses.sum::<f64>() / episodes.len() as f64,
        }
    }))
}

/// The steps and rate of gradient descent on the cross-entropy of the best accuracy on the episodes that choose.
pub fn sgd(choosing: &[Products]) -> Sgd {
    let rates = |&steps: &usize| RATES.map(|rate| Sgd { steps, rate });
    best(choosing, STEPS.iter().flat_map(rates), Method::Sgd)
}

/// The mean accuracy of a method.
pub fn accuracy(episodes: &[Products], method: Method<'_>) -> f64 {
    let shares = episodes.par_iter().map(|episode| episode.accuracy(method));
    shares.sum::<f64>() / episodes.len() as f64
}

/// The mean cross-entropy of queries with a method.
pub(super) fn loss(episodes: &[Products], method: Method<'_>, confidence: f32) -> f64 {
    let losses = episodes
        .par_iter()
        .map(|episode| episode.loss(method, confidence));
    losses.sum::<f64>() / episodes.len() as f64
}

/// The one of the best accuracy.
fn best<T: Copy>(
    choosing: &[Products],
    tried: impl Iterator<Item = T>,
    method: impl Fn(T) -> Method<'static>,
) -> T {
    tried
        .map(|one| (one, accuracy(choosing, method(one))))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .expect("some are tried")
        .0
}

/// The one with the least loss, of those that have one.
///
/// # Panics
/// If none has: every learned recipe starts from steps that are small enough, so one of them would have to diverge in learning.
pub(super) fn least<T>(tried: impl IntoIterator<Item = Found<T>>) -> Found<T> {
    tried
        .into_iter()
        .filter(|found| found.loss.is_finite())
        .min_by(|a, b| a.loss.total_cmp(&b.loss))
        .expect("one of those that are tried gives numbers")
}
