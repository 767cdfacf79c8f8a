//! The accuracy of a generator on classes that it has never seen.

use burn_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::learner::{self, Learner, Task};
use crate::tensors::{Tensors, values};
use patchtool::hyper::Config;
use patchtool::hyper::network::{self, Generator, Inputs, Values};
use patchtool::hyper::ops::Ops as _;

/// The method that learns a task from its support set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// By the generator.
    Generated,
    /// The generated network, then trained on the support set.
    FineTuned,
}

/// A share of right answers and half of its 95 % interval over episodes, both 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Mean over episodes.
    pub mean: f64,
    /// 1.96 standard errors of the mean.
    pub interval: f64,
    /// Number of episodes.
    pub episodes: usize,
}

impl Accuracy {
    /// Of the accuracies of many episodes.
    pub fn of(shares: &[f64]) -> Self {
        let count = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / count;
        let squares: f64 = shares.iter().map(|share| (share - mean).powi(2)).sum();
        let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
        Self {
            mean,
            interval: 1.96 * deviation / count.sqrt(),
            episodes: shares.len(),
        }
    }
}

impl std::fmt::Display for Accuracy {
    /// `91.23 ± 0.35`, in percent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ± {:.2}", 100.0 * self.mean, 100.0 * self.interval)
    }
}

/// Share of queries of a task that are classified right.
pub fn accuracy(learner: &Learner, tensors: &Tensors, task: &Task, method: Method) -> f64 {
    let generator = learner.generator();
    let config = generator.config();
    let support = learner::support(tensors, config, task);
    let mut generated = generator.generate(tensors, &support, None);
    match method {
        Method::Generated => {}
        Method::FineTuned => generated = fine_tuned(config, tensors, task, &generated),
    }
    let queries = learner::images(tensors, config, &task.queries);
    let features = Generator::embed(tensors, &queries, &generated.convolutions);
    let scores = learner::scores(tensors, &features, &generated);
    let loss = learner::cross_entropy(tensors, scores, &learner::known(&task.queries));
    f64::from(loss.right)
}

/// The same convolutions with the closed-form head of a support set.
pub(crate) fn with_prototypes(
    tensors: &Tensors,
    support: &Inputs<Tensors>,
    mut values: Values<Tensors>,
) -> Values<Tensors> {
    let features = Generator::embed(tensors, &support.images, &values.convolutions);
    let (weights, bias) = network::prototypes(tensors, support, &features);
    values.head_weights = weights;
    values.head_bias = tensors.transpose(&bias);
    values
}

/// Steps and rate of fine-tuning by gradient descent on the support set.
const STEPS: usize = 20;
const RATE: f32 = 0.01;

/// The generated weights after gradient descent on the cross-entropy of the labelled support images; epilogues stay.
pub(crate) fn fine_tuned(
    config: &Config,
    plain: &Tensors,
    task: &Task,
    start: &Values<Tensors>,
) -> Values<Tensors> {
    let tensors = plain.with_gradients();
    let fresh = |tensor: &Tensor<2>| tensors.matrix(tensor.dims(), &values(tensor.clone()));
    let mut all = start.clone();
    for convolution in &mut all.convolutions {
        convolution.scale = fresh(&convolution.scale);
        convolution.bias = fresh(&convolution.bias);
    }
    each_trained(&mut all, |tensor| fresh(&tensor).require_grad());
    let labelled = labelled(task);
    let images = learner::images(&tensors, config, &labelled);
    for _ in 0..STEPS {
        let features = Generator::embed(&tensors, &images, &all.convolutions);
        let scores = learner::scores(&tensors, &features, &all);
        let loss = learner::cross_entropy(&tensors, scores, &learner::known(&labelled));
        let mut gradients = loss.value.backward();
        each_trained(&mut all, |tensor| {
            match tensor.grad_remove(&mut gradients) {
                Some(gradient) => {
                    let stepped = values(tensor.clone());
                    let gradient = values(gradient);
                    let stepped: Vec<f32> = stepped
                        .iter()
                        .zip(gradient)
                        .map(|(value, g)| value - RATE * g)
                        .collect();
                    tensors.matrix(tensor.dims(), &stepped).require_grad()
                }
                None => tensor,
            }
        });
    }
    let fresh = |tensor: Tensor<2>| plain.matrix(tensor.dims(), &values(tensor.clone()));
    for convolution in &mut all.convolutions {
        convolution.scale = fresh(convolution.scale.clone());
        convolution.bias = fresh(convolution.bias.clone());
    }
    each_trained(&mut all, fresh);
    all
}

/// Changes what fine-tuning trains: weights and head.
fn each_trained(values: &mut Values<Tensors>, mut change: impl FnMut(Tensor<2>) -> Tensor<2>) {
    for convolution in &mut values.convolutions {
        convolution.weights = change(convolution.weights.clone());
    }
    values.head_weights = change(values.head_weights.clone());
    values.head_bias = change(values.head_bias.clone());
}

/// The support images whose labels are known.
fn labelled(task: &Task) -> learner::Labelled {
    let count = task.support.labels.len();
    let length = task.support.values.len() / count.max(1);
    let keep = (0..count).filter(|&index| task.support.labels[index].is_some());
    let mut kept = learner::Labelled {
        values: Vec::new(),
        labels: Vec::new(),
    };
    for index in keep {
        kept.values
            .extend(&task.support.values[index * length..(index + 1) * length]);
        kept.labels.push(task.support.labels[index]);
    }
    kept
}
