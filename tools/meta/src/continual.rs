//! Learning task after task (Vladymyrov et al. 2024, "Continual HyperTransformer", algorithm 1).
//!
//! Weights of each step go into the weight tokens of the next. Prototypes are computed once, with the weights of their own
//! time, and kept.

use burn_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::evaluate::{fine_tuned, with_prototypes};
use crate::learner::{self, Loss, Task};
use crate::tensors::Tensors;
use patchtool::hyper::network::{Generator, Values};
use patchtool::hyper::ops::Ops as _;

/// The steps of continual learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Tasks with classes of their own.
    Tasks,
    /// Further images of the same classes.
    MiniBatch,
}

impl Scenario {
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::MiniBatch => "mini-batches",
        }
    }
}

/// The method that learns one task after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The generator goes on from the weights of the step before.
    Continual,
    /// The generator starts anew with each task: what came before is forgotten.
    Naive,
    /// The generator starts anew with all images so far, as if none had to be forgotten: only for further images of the same
    /// classes.
    Merged,
    /// One network for all tasks, with the statistics of the first one's support set ("constant ProtoNet").
    Constant,
    /// Gradient descent on the support set, from the weights of the step before.
    FineTuned,
}

/// The knowledge after each task.
#[derive(Debug)]
pub struct Step {
    /// The network of this time.
    pub values: Values<Tensors>,
    /// Heads of the tasks so far, each with the weights of its own time; for further images of the same classes, the one head
    /// of their mean prototypes.
    pub heads: Vec<(Tensor<2>, Tensor<2>)>,
}

/// Learns one task after the other.
pub fn learn(
    generator: &Generator,
    tensors: &Tensors,
    tasks: &[Task],
    scenario: Scenario,
    strategy: Strategy,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.iter().enumerate() {
        let support = |task| learner::support(tensors, generator.config(), task);
        let generate = |task, previous: Option<&[Tensor<2>]>| {
            generator.generate(tensors, &support(task), previous)
        };
        let constant = || {
            let values = steps.last().map(|last| last.values.clone());
            let values = values.unwrap_or_else(|| generate(task, None));
            with_prototypes(tensors, &support(task), values)
        };
        let values = match strategy {
            Strategy::Continual => {
                let previous = steps.last().map(|last| earlier(tensors, &last.values));
                generate(task, previous.as_deref())
            }
            Strategy::Naive => generate(task, None),
            Strategy::Merged => generate(&merged(&tasks[..=index]), None),
            Strategy::Constant => constant(),
            Strategy::FineTuned => {
                let start = match (scenario, steps.last()) {
                    (Scenario::MiniBatch, Some(last)) => last.values.clone(),
                    _ => sharpened(generator, tensors, constant()),
                };
                fine_tuned(generator.config(), tensors, task, &start)
            }
        };
        let heads = heads(tensors, &steps, &values, scenario, strategy);
        steps.push(Step { values, heads });
    }
    steps
}

/// The same network with a head that gradient descent can start from.
fn sharpened(
    generator: &Generator,
    tensors: &Tensors,
    mut values: Values<Tensors>,
) -> Values<Tensors> {
    (values.head_weights, values.head_bias) =
        generator.sharpened(tensors, values.head_weights, values.head_bias);
    values
}

/// The convolutions that the next step goes on from.
fn earlier(tensors: &Tensors, values: &Values<Tensors>) -> Vec<Tensor<2>> {
    let all = values.convolutions.iter();
    all.map(|convolution| {
        let [scale, bias] =
            [&convolution.scale, &convolution.bias].map(|row| tensors.transpose(row));
        let [outputs, _] = scale.dims();
        let known = tensors.matrix([outputs, 1], &vec![1.0; outputs]);
        tensors.concat_columns(&[convolution.weights.clone(), known, scale, bias])
    })
    .collect()
}

/// One task with the support images of all of them, whose classes are the same.
fn merged(tasks: &[Task]) -> Task {
    let mut all = tasks[0].clone();
    for task in &tasks[1..] {
        all.support.values.extend(&task.support.values);
        all.support.labels.extend(&task.support.labels);
    }
    all
}

/// The heads after one more step.
fn heads(
    tensors: &Tensors,
    steps: &[Step],
    values: &Values<Tensors>,
    scenario: Scenario,
    strategy: Strategy,
) -> Vec<(Tensor<2>, Tensor<2>)> {
    let new = (values.head_weights.clone(), values.head_bias.clone());
    let mut heads = steps
        .last()
        .map_or_else(Vec::new, |step| step.heads.clone());
    match (scenario, strategy) {
        (Scenario::Tasks, _) => heads.push(new),
        (_, Strategy::Merged | Strategy::FineTuned) => heads = vec![new],
        (Scenario::MiniBatch, _) => match heads.pop() {
            Some((weights, _)) => {
                let change = tensors.add(&new.0, &tensors.scale(&weights, -1.0));
                let share = 1.0 / (steps.len() + 1) as f32;
                let weights = tensors.add(&weights, &tensors.scale(&change, share));
                // Weights are twice the prototypes m, the bias is -|m|^2.
                let squares = tensors.sum_columns(&tensors.mul(&weights, &weights));
                let bias = tensors.transpose(&tensors.scale(&squares, -0.25));
                heads = vec![(weights, bias)];
            }
            None => heads = vec![new],
        },
    }
    heads
}

/// Share of right answers after each slice of the same classes' images.
pub fn slice_accuracies(
    generator: &Generator,
    tensors: &Tensors,
    slices: &[Task],
    strategy: Strategy,
) -> Vec<f64> {
    let steps = learn(generator, tensors, slices, Scenario::MiniBatch, strategy);
    let pairs = steps.iter().zip(slices);
    pairs
        .map(|(step, slice)| {
            let [scores, _] = scores(generator, tensors, step, 0, &slice.queries);
            let labels = learner::known(&slice.queries);
            f64::from(learner::cross_entropy(tensors, scores, &labels).right)
        })
        .collect()
}

/// Share of right answers on the queries of each task so far (columns) after each task (rows), where the task is known and
/// where it is not.
pub fn accuracies(
    generator: &Generator,
    tensors: &Tensors,
    tasks: &[Task],
    strategy: Strategy,
) -> [Vec<Vec<f64>>; 2] {
    let steps = learn(generator, tensors, tasks, Scenario::Tasks, strategy);
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for (time, step) in steps.iter().enumerate() {
        let shares = tasks[..=time].iter().enumerate().map(|(index, task)| {
            let labels = learner::known(&task.queries);
            let [own, all] = scores(generator, tensors, step, index, &task.queries);
            let before: usize = tasks[..index].iter().map(|task| task.ids.len()).sum();
            let among_all: Vec<usize> = labels.iter().map(|label| label + before).collect();
            let right = |scores, labels: &[usize]| {
                f64::from(learner::cross_entropy(tensors, scores, labels).right)
            };
            (right(own, &labels), right(all, &among_all))
        });
        let (own, all): (Vec<f64>, Vec<f64>) = shares.unzip();
        known.push(own);
        unknown.push(all);
    }
    [known, unknown]
}

/// Mean over tasks but the last of what their accuracy gained from their own time to the end (Lopez-Paz and Ranzato 2017,
/// equation 3).
pub fn backward_transfer(matrix: &[Vec<f64>]) -> f64 {
    let Some((last, before)) = matrix.split_last().filter(|(_, before)| !before.is_empty()) else {
        return 0.0;
    };
    let gains = before
        .iter()
        .enumerate()
        .map(|(task, row)| last[task] - row[task]);
    gains.sum::<f64>() / before.len() as f64
}

/// Scores of a task's queries at some time: over the classes of that task, and over all classes so far.
pub fn scores(
    generator: &Generator,
    tensors: &Tensors,
    step: &Step,
    task: usize,
    queries: &learner::Labelled,
) -> [Tensor<2>; 2] {
    let images = learner::images(tensors, generator.config(), queries);
    let features = Generator::embed(tensors, &images, &step.values.convolutions);
    let by_head = |(weights, bias): &(Tensor<2>, Tensor<2>)| {
        tensors.add(
            &tensors.matmul(&features, &tensors.transpose(weights)),
            bias,
        )
    };
    let all: Vec<Tensor<2>> = step.heads.iter().map(by_head).collect();
    [all[task].clone(), tensors.concat_columns(&all)]
}

/// Mean over times of the loss on the queries of all tasks so far: where the task is known and where it is not; for further
/// images of the same classes there is one loss each time.
pub fn loss(generator: &Generator, tensors: &Tensors, tasks: &[Task], scenario: Scenario) -> Loss {
    let steps = learn(generator, tensors, tasks, scenario, Strategy::Continual);
    let mut losses = Vec::new();
    for (time, step) in steps.iter().enumerate() {
        let asked = match scenario {
            Scenario::Tasks => &tasks[..=time],
            Scenario::MiniBatch => &tasks[..1],
        };
        let mut before = 0;
        for (index, task) in asked.iter().enumerate() {
            let labels = learner::known(&task.queries);
            let [own, all] = scores(generator, tensors, step, index, &task.queries);
            losses.push(learner::cross_entropy(tensors, own, &labels));
            if scenario == Scenario::Tasks {
                let among_all: Vec<usize> = labels.iter().map(|label| label + before).collect();
                losses.push(learner::cross_entropy(tensors, all, &among_all));
            }
            before += task.ids.len();
        }
    }
    let count = losses.len() as f32;
    let right = losses.iter().map(|loss| loss.right).sum::<f32>() / count;
    let values = losses.into_iter().map(|loss| loss.value);
    let sum = values.reduce(|a, b| a + b).expect("a task at least");
    Loss {
        value: sum * (1.0 / count),
        right,
    }
}
