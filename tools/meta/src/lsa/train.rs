//! Training linear self-attention on the paper's regression tasks: it finds gradient descent.
//!
//! Outputs are one number, a linear function of the inputs with normal weights; the inputs are uniform. One layer is applied as
//! often as there are steps. Sizes, rates and start are those of the paper's released code.

use burn_tensor::{Device, Tensor, TensorData};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Context, Layer, predict};
use crate::tensors::values;
use graft_data::random::{Purpose, generator};
use patchtool::hyper::parameter::normal;
use patchtool::train::optimizer::{Algorithm, Optimizer, Update};

/// Length of an input.
pub const INPUTS: usize = 10;
/// Examples of a task.
pub const EXAMPLES: usize = 10;
/// Largest value of an input; the smallest is its negative.
const RANGE: f32 = 0.5;
/// Length of a token.
const LENGTH: usize = INPUTS + 1;
/// Tasks of a step of training.
const BATCH: usize = 2048;
/// The four matrices start with this variance times their rows, shared out among the steps.
const START: f32 = 0.002;
/// Steps of the layer above which it is trained more slowly, and tokens are kept within [`MOST`].
const DEEP: usize = 3;
const MOST: f32 = 10.0;

/// The rate of the one step of gradient descent that is best on average, and half of the mean squared error after it, in closed
/// form.
pub fn best_step() -> [f64; 2] {
    let (d, n, range) = (INPUTS as f64, EXAMPLES as f64, f64::from(RANGE));
    let (second, fourth) = (range.powi(2) / 3.0, range.powi(4) / 5.0);
    let own = n * (d * fourth + d * (d - 1.0) * second.powi(2));
    let trace = (own + n * (n - 1.0) * d * second.powi(2)) / n.powi(2);
    let explained = (d * second).powi(2) / trace;
    [d * second / trace, second / 2.0 * (d - explained)]
}

/// Tasks, drawn one after another.
struct Tasks {
    count: usize,
    /// Tokens of examples `[tasks, EXAMPLES, LENGTH]`.
    examples: Vec<f32>,
    /// Inputs of each task's query `[tasks, INPUTS]`.
    queries: Vec<f32>,
    /// Outputs of the queries.
    answers: Vec<f32>,
}

impl Tasks {
    fn draw(random: &mut ChaCha8Rng, count: usize) -> Self {
        let mut tasks = Self {
            count,
            examples: Vec::with_capacity(count * EXAMPLES * LENGTH),
            queries: Vec::with_capacity(count * INPUTS),
            answers: Vec::with_capacity(count),
        };
        for _ in 0..count {
            let teacher: [f32; INPUTS] = std::array::from_fn(|_| normal(random));
            for _ in 0..EXAMPLES {
                let input: [f32; INPUTS] =
                    std::array::from_fn(|_| random.random_range(-RANGE..RANGE));
                tasks.examples.extend(input);
                tasks.examples.push(super::dot(&input, &teacher));
            }
            let query: [f32; INPUTS] = std::array::from_fn(|_| random.random_range(-RANGE..RANGE));
            tasks.queries.extend(query);
            tasks.answers.push(super::dot(&query, &teacher));
        }
        tasks
    }

    /// Queries and the vectors of each axis after them, which are answered by the weights that were learned.
    fn queries_and_axes(&self) -> Vec<f32> {
        let axes =
            (0..INPUTS).flat_map(|axis| (0..INPUTS).map(move |at| f32::from(u8::from(at == axis))));
        let axes: Vec<f32> = axes.collect();
        let queries = self.queries.chunks_exact(INPUTS);
        queries.flat_map(|query| [query, &axes].concat()).collect()
    }
}

/// A layer that is applied a number of times, trained so far.
#[derive(Debug)]
pub struct Learner {
    /// Steps of gradient descent that it may learn: how often the layer is applied.
    depth: usize,
    /// W_K, W_Q, W_V and P, each transposed and row by row.
    weights: [Vec<f32>; 4],
    optimizer: Optimizer,
    device: Device,
    random: ChaCha8Rng,
}

impl Learner {
    /// Untrained.
    pub fn new(depth: usize, seed: u64, device: Device) -> Self {
        let mut start = generator(seed, Purpose::Start);
        let deviation = (START / depth as f32 / LENGTH as f32).sqrt();
        let mut matrix = || {
            (0..LENGTH * LENGTH)
                .map(|_| deviation * normal(&mut start))
                .collect()
        };
        Self {
            weights: [(); 4].map(|()| matrix()),
            optimizer: Optimizer::new(Algorithm::Adam, 0.0, [LENGTH * LENGTH; 4]),
            random: generator(seed, Purpose::Episode { number: 0 }),
            depth,
            device,
        }
    }

    /// One step of training on new tasks; gives half of the mean squared error before it.
    pub fn step(&mut self) -> f32 {
        let [rate, most_norm] = match self.depth {
            ..3 => [1e-3, 1e-3],
            DEEP => [1e-3, 10.0],
            _ => [5e-4, 10.0],
        };
        let tasks = Tasks::draw(&mut self.random, BATCH);
        let device = self.device.clone().autodiff();
        let tensor = |values: &Vec<f32>| matrix(values, &device).require_grad();
        let weights = self.weights.each_ref().map(tensor);
        let found = self.predictions(&weights, &tasks, &tasks.queries);
        let answers = TensorData::new(tasks.answers, [BATCH, 1]);
        let errors = found - Tensor::from_data(answers, &device);
        let loss = (errors.clone() * errors).mean() * 0.5;
        let mut all = loss.backward();
        let gradients = weights.map(|tensor| {
            let gradient = tensor.grad_remove(&mut all);
            values(gradient.expect("every matrix has a part in the loss"))
        });
        let squares: f32 = gradients.iter().flatten().map(|g| g * g).sum();
        let share = (most_norm / squares.sqrt()).min(1.0);
        let gradients = gradients.map(|all| all.iter().map(|g| share * g).collect::<Vec<f32>>());
        let updates = self.weights.iter_mut().zip(&gradients);
        self.optimizer.step(
            rate,
            updates.map(|(values, gradient)| Update {
                values,
                gradient,
                decays: false,
                lr_multiplier: 1.0,
            }),
        );
        values(loss)[0]
    }

    /// Predictions for queries, as many for each task: `[tasks, queries]`.
    fn predictions(&self, weights: &[Tensor<2>; 4], tasks: &Tasks, queries: &[f32]) -> Tensor<2> {
        let device = weights[0].device();
        let asked = queries.len() / INPUTS / tasks.count;
        let examples = TensorData::new(tasks.examples.clone(), [tasks.count, EXAMPLES, LENGTH]);
        let queries = TensorData::new(queries.to_vec(), [tasks.count, asked, INPUTS]);
        let zeros = Tensor::zeros([tasks.count, asked, 1], &device);
        let queries = Tensor::cat(vec![Tensor::from_data(queries, &device), zeros], 2);
        let tokens = Tensor::cat(vec![Tensor::from_data(examples, &device), queries], 1);
        let last = (0..self.depth).fold(tokens, |tokens, _| self.layer(weights, tokens));
        let answers = last.narrow(1, EXAMPLES, asked).narrow(2, INPUTS, 1);
        answers.reshape([tasks.count, asked]) * -1.0
    }

    fn layer(&self, weights: &[Tensor<2>; 4], tokens: Tensor<3>) -> Tensor<3> {
        let [key, query, value, projection] = weights;
        let examples = tokens.clone().narrow(1, 0, EXAMPLES);
        let keys = times(examples.clone(), key);
        let attended = keys.transpose().matmul(times(examples, value));
        let changes = times(times(tokens.clone(), query).matmul(attended), projection);
        let tokens = tokens + changes;
        match self.depth > DEEP {
            true => tokens.clamp(-MOST, MOST),
            false => tokens,
        }
    }
}

fn matrix(values: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [LENGTH; 2]), device)
}

/// Every token times the same matrix.
fn times(tokens: Tensor<3>, matrix: &Tensor<2>) -> Tensor<3> {
    let [tasks, count, length] = tokens.dims();
    let rows = tokens
        .reshape([tasks * count, length])
        .matmul(matrix.clone());
    rows.reshape([tasks, count, length])
}

/// How a trained layer compares with the constructed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Tasks that this is the mean over.
    pub tasks: usize,
    /// Half of the mean squared error of the trained layer.
    pub trained: f64,
    /// The same of the constructed one.
    pub constructed: f64,
    /// Mean distance of their predictions.
    pub prediction_distance: f64,
    /// Mean cosine of the weights that both apply to a query: the derivatives of their predictions.
    pub cosine: f64,
    /// Mean distance of these weights.
    pub weight_distance: f64,
}

impl Learner {
    /// Compares the layer as it is with that of constructed steps (eta, gamma), on new tasks.
    pub fn compare(&self, steps: &[(f32, f32)], batches: usize, seed: u64) -> Comparison {
        let mut random = generator(seed, Purpose::Episode { number: 1 });
        let weights = self
            .weights
            .each_ref()
            .map(|values| matrix(values, &self.device));
        let mut sum = Comparison::default();
        for _ in 0..batches {
            let tasks = Tasks::draw(&mut random, BATCH);
            let queries = tasks.queries_and_axes();
            let found = values(self.predictions(&weights, &tasks, &queries));
            let each = queries.chunks_exact((1 + INPUTS) * INPUTS);
            let tokens = tasks.examples.chunks_exact(EXAMPLES * LENGTH);
            let parts = each.zip(tokens).zip(found.chunks_exact(1 + INPUTS));
            for (((queries, tokens), found), answer) in parts.zip(&tasks.answers) {
                let expected = constructed(steps, tokens, queries);
                sum.add(found, &expected, *answer);
            }
        }
        sum.mean()
    }
}

/// Predictions of constructed layers for the queries of one task.
fn constructed(steps: &[(f32, f32)], tokens: &[f32], queries: &[f32]) -> Vec<f32> {
    let tokens = tokens.chunks_exact(LENGTH);
    let (inputs, outputs): (Vec<_>, Vec<_>) = tokens
        .map(|token| token.split_at(INPUTS))
        .map(|(x, y)| (x.to_vec(), y.to_vec()))
        .unzip();
    let context = Context {
        inputs: &inputs,
        outputs: &outputs,
        start: &[vec![0.0; INPUTS]],
    };
    let layer = |&(eta, gamma): &(f32, f32)| Layer::step(&context, eta, gamma);
    let layers: Vec<Layer> = steps.iter().map(layer).collect();
    let queries = queries.chunks_exact(INPUTS);
    queries
        .flat_map(|query| predict(&layers, &context, query))
        .collect()
}

impl Comparison {
    /// Adds a task: predictions for its query, then its weights.
    fn add(&mut self, found: &[f32], expected: &[f32], answer: f32) {
        let half_square = |prediction: f32| 0.5 * f64::from(prediction - answer).powi(2);
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        let (own, other) = (&found[1..], &expected[1..]);
        let lengths = dot(own, own).sqrt() * dot(other, other).sqrt();
        let pairs = own.iter().zip(other);
        let squares: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        self.tasks += 1;
        self.trained += half_square(found[0]);
        self.constructed += half_square(expected[0]);
        self.prediction_distance += f64::from((found[0] - expected[0]).abs());
        self.cosine += dot(own, other) / lengths.max(f64::MIN_POSITIVE);
        self.weight_distance += squares.sqrt();
    }

    fn mean(self) -> Self {
        let share = 1.0 / self.tasks as f64;
        Self {
            tasks: self.tasks,
            trained: self.trained * share,
            constructed: self.constructed * share,
            prediction_distance: self.prediction_distance * share,
            cosine: self.cosine * share,
            weight_distance: self.weight_distance * share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_reaches_its_closed_form() {
        let [eta, loss] = best_step();
        assert!(
            (eta - 6.0606).abs() < 1e-4 && (loss - 0.20623).abs() < 1e-5,
            "{eta} {loss}"
        );
        let learner = Learner::new(1, 1, Device::flex());
        let found = learner.compare(&[(eta as f32, 0.0)], 4, 1);
        assert_eq!(found.tasks, 4 * BATCH);
        assert!((found.constructed - loss).abs() < 0.01, "{found:?}");
        // Untrained, it predicts next to nothing.
        assert!((found.trained - 5.0 / 12.0).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn training_comes_nearer_to_gradient_descent() {
        let mut learner = Learner::new(1, 1, Device::flex());
        let steps = [(best_step()[0] as f32, 0.0)];
        for _ in 0..300 {
            learner.step();
        }
        let found = learner.compare(&steps, 1, 1);
        assert!(found.cosine > 0.9 && found.trained < 0.3, "{found:?}");
    }
}
