//! A generator in training: its parameters, its loss on an episode, its optimiser.

use burn_tensor::{Device, Tensor, activation};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::tensors::{Tensors, values};
use graft_data::random::{self, Purpose};
use patchtool::hyper::Config;
use patchtool::hyper::network::{Generator, Inputs, Values};
use patchtool::hyper::ops::Ops as _;
use patchtool::hyper::parameter::{Parameter, Precision};
use patchtool::train::optimizer::{self, Algorithm, Optimizer, Update};

/// Steps at gradients of a larger norm are shortened in proportion: single episodes may be hopeless.
const MAX_NORM: f32 = 10.0;

/// Images with labels, as tensors are made of them.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Pixels NCHW, image by image.
    pub values: Vec<f32>,
    /// Class of each image; `None` where the generator does not see it.
    pub labels: Vec<Option<usize>>,
}

/// One task: a support set to generate from, and queries to measure the result on.
#[derive(Clone, Debug)]
pub struct Task {
    /// Label id of each class, below [`Config::max_ways`]: which are used does not matter, so training varies them.
    pub ids: Vec<usize>,
    /// Labels are indices into `ids`.
    pub support: Labelled,
    /// Labels are known.
    pub queries: Labelled,
}

/// The state of a [`Learner`], for checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Values of every parameter, in the generator's order.
    pub parameters: Vec<Vec<f32>>,
    /// The state of the optimiser.
    pub optimizer: optimizer::State,
}

/// A generator in training.
#[derive(Debug)]
pub struct Learner {
    generator: Generator,
    parameters: Vec<Parameter>,
    values: Vec<Vec<f32>>,
    optimizer: Optimizer,
    device: Device,
}

impl Learner {
    /// Untrained.
    pub fn new(config: &Config, device: Device, seed: u64) -> Self {
        let generator = Generator::new(config);
        let parameters = generator.parameters();
        let mut random = random::generator(seed, Purpose::Start);
        let values = parameters.iter().map(|p| p.start(&mut random)).collect();
        let lengths = parameters.iter().map(|p| p.shape[0] * p.shape[1]);
        Self {
            optimizer: Optimizer::new(Algorithm::Adam, 0.0, lengths),
            generator,
            values,
            parameters,
            device,
        }
    }

    /// The generator.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// Names, shapes and values of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = (&Parameter, &[f32])> {
        let values = self.values.iter().map(Vec::as_slice);
        self.parameters.iter().zip(values)
    }

    /// The state to restore to go on from here.
    pub fn state(&self) -> State {
        State {
            parameters: self.values.clone(),
            optimizer: self.optimizer.state(),
        }
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// If it is of another generator; nothing is changed then.
    pub fn restore(&mut self, state: State) -> Result<(), optimizer::StateError> {
        self.optimizer.restore(state.optimizer)?;
        self.values = state.parameters;
        Ok(())
    }

    /// Rounds all parameters as a file of this precision stores them, to measure what it will do.
    pub fn round(&mut self, precision: Precision) {
        for value in self.values.iter_mut().flatten() {
            *value = precision.round(*value);
        }
    }

    /// Tensors of its parameters, without gradients.
    pub fn frozen(&self) -> Tensors {
        self.tensors(self.device.clone())
    }

    fn tensors(&self, device: Device) -> Tensors {
        let tensors = Tensors::new(device);
        for (parameter, values) in self.parameters() {
            tensors.set(&parameter.name, parameter.shape, values);
        }
        tensors
    }

    /// One step against the mean gradient of the losses of these tasks, which are computed side by side; gives their mean loss
    /// and the mean share of right answers that `loss` counted. Where loss or gradient are not finite there is no step, and the
    /// loss is NaN.
    pub fn step<T: Sync>(
        &mut self,
        rate: f32,
        tasks: &[T],
        loss: impl Fn(&Generator, &Tensors, &T) -> Loss + Sync,
    ) -> (f32, f32) {
        let parts: Vec<Part> = tasks
            .par_iter()
            .map(|task| self.part(|tensors| loss(&self.generator, tensors, task)))
            .collect();
        let share = 1.0 / tasks.len() as f32;
        let sum = parts.into_iter().reduce(Part::with);
        let Part {
            loss: value,
            right,
            mut gradients,
        } = sum.expect("a step has a task");
        let [value, right] = [value, right].map(|sum| sum * share);
        gradients.iter_mut().flatten().for_each(|g| *g *= share);
        let norm = gradients
            .iter()
            .flatten()
            .map(|g| g * g)
            .sum::<f32>()
            .sqrt();
        if !norm.is_finite() || !value.is_finite() {
            return (f32::NAN, right);
        }
        let rate = rate * (MAX_NORM / norm).min(1.0);
        let updates = self.values.iter_mut().zip(&gradients);
        self.optimizer.step(
            rate,
            updates.map(|(values, gradient)| Update {
                values,
                gradient,
                decays: false,
                lr_multiplier: 1.0,
            }),
        );
        (value, right)
    }

    /// The gradient of one task.
    fn part(&self, loss: impl FnOnce(&Tensors) -> Loss) -> Part {
        let tensors = self.tensors(self.device.clone().autodiff());
        let loss = loss(&tensors);
        let mut all = loss.value.backward();
        let parameters = self.parameters.iter().zip(&self.values);
        let gradients = parameters.map(|(parameter, own)| {
            let gradient = tensors.parameter(&parameter.name).grad_remove(&mut all);
            gradient.map_or_else(|| vec![0.0; own.len()], values)
        });
        Part {
            gradients: gradients.collect(),
            loss: values(loss.value)[0],
            right: loss.right,
        }
    }
}

/// One task's part of a step.
struct Part {
    loss: f32,
    right: f32,
    /// Of every parameter.
    gradients: Vec<Vec<f32>>,
}

impl Part {
    /// The sum of two.
    fn with(mut self, other: Self) -> Self {
        self.loss += other.loss;
        self.right += other.right;
        let others = other.gradients.iter().flatten();
        for (sum, value) in self.gradients.iter_mut().flatten().zip(others) {
            *sum += value;
        }
        self
    }
}

/// A loss and how many of the answers behind it were right.
#[derive(Debug)]
pub struct Loss {
    /// Mean cross-entropy, one value.
    pub value: Tensor<1>,
    /// Share of right answers, 0 to 1.
    pub right: f32,
}

/// A support set as the generator reads it.
pub fn support(tensors: &Tensors, config: &Config, task: &Task) -> Inputs<Tensors> {
    let columns = config.max_ways + 1;
    let id = |label: &Option<usize>| label.map_or(config.max_ways, |class| task.ids[class]);
    let labels = task.support.labels.iter().map(id);
    Inputs {
        images: images(tensors, config, &task.support),
        labels: tensors.one_hot(labels, columns),
        classes: tensors.one_hot(task.ids.iter().copied(), columns),
    }
}

/// Pixels as a tensor.
pub fn images(tensors: &Tensors, config: &Config, images: &Labelled) -> Tensor<4> {
    let (count, side) = (images.labels.len(), config.target.side);
    tensors.maps([count, 1, side, side], &images.values)
}

/// Cross-entropy of scores `[images, classes]`, and how often the best score was right.
pub fn cross_entropy(tensors: &Tensors, scores: Tensor<2>, labels: &[usize]) -> Loss {
    let [rows, classes] = scores.dims();
    let expected = tensors.one_hot(labels.iter().copied(), classes);
    let log = activation::log_softmax(scores.clone(), 1);
    let value = (expected * log).sum() * (-1.0 / rows as f32);
    let scores = values(scores.detach());
    let right = scores.chunks_exact(classes).zip(labels);
    let right = right.filter(|(row, label)| best(row) == **label).count();
    Loss {
        value,
        right: right as f32 / rows as f32,
    }
}

/// Index of the largest value.
pub fn best(row: &[f32]) -> usize {
    let pairs = row.iter().enumerate();
    pairs
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(0, |(index, _)| index)
}

/// Labels of queries, which all have one.
pub fn known(images: &Labelled) -> Vec<usize> {
    images
        .labels
        .iter()
        .map(|label| label.expect("a query has a label"))
        .collect()
}

/// The loss of one task: generate from the support set, classify the queries.
pub fn episode(generator: &Generator, tensors: &Tensors, task: &Task) -> Loss {
    let config = generator.config();
    let values = generator.generate(tensors, &support(tensors, config, task), None);
    let queries = images(tensors, config, &task.queries);
    let features = Generator::embed(tensors, &queries, &values.convolutions);
    let scores = scores(tensors, &features, &values);
    cross_entropy(tensors, scores, &known(&task.queries))
}

/// The generated head on features.
pub fn scores(tensors: &Tensors, features: &Tensor<2>, values: &Values<Tensors>) -> Tensor<2> {
    let product = tensors.matmul(features, &tensors.transpose(&values.head_weights));
    tensors.add(&product, &values.head_bias)
}
