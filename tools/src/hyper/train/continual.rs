//! Learning task after task (Vladymyrov et al. 2024, "Continual HyperTransformer", algorithm 1).
//!
//! Weights of each step go into the weight tokens of the next. Prototypes are computed once, with the weights of their own
//! time, and kept.

use burn_tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::evaluate::fine_tuned;
use super::learner::{self, Learner, Loss, Task};
use super::tensors::Tensors;
use crate::hyper::network::{self, Generator, Support, Values};
use crate::hyper::ops::Ops as _;

/// How one task is learned after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The generator goes on from the weights of the step before.
    Continual,
    /// The generator starts anew with each task: what came before is forgotten.
    Naive,
    /// One network for all tasks, with the statistics of the first one's support set ("constant ProtoNet").
    Constant,
    /// Gradient descent on the support set, from the weights of the step before.
    FineTuned,
}

/// What is known after each task.
#[derive(Debug)]
pub struct Step {
    /// The network of this time.
    pub values: Values<Tensors>,
    /// Heads of the tasks so far, each with the weights of its own time.
    pub heads: Vec<(Tensor<2>, Tensor<2>)>,
}

/// Learns one task after the other by generating (or, where `strategy` keeps it, by the network of the first).
pub fn learn(
    generator: &Generator,
    tensors: &Tensors,
    tasks: &[Task],
    strategy: Strategy,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(tasks.len());
    for task in tasks {
        let support = learner::support(tensors, generator.config(), task);
        let values = match (steps.last(), strategy) {
            (Some(last), Strategy::Constant | Strategy::FineTuned) => {
                with_prototypes(tensors, &support, last.values.clone())
            }
            (Some(last), Strategy::Continual) => {
                let weights = last.values.convolutions.iter();
                let previous: Vec<_> = weights.map(|conv| conv.weights.clone()).collect();
                generator.generate(tensors, &support, Some(&previous))
            }
            _ => generator.generate(tensors, &support, None),
        };
        push(&mut steps, values);
    }
    steps
}

/// The same by gradient descent.
pub fn fine_tune(learner: &Learner, tensors: &Tensors, tasks: &[Task]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(tasks.len());
    for task in tasks {
        let support = learner::support(tensors, learner.generator().config(), task);
        let start = match steps.last() {
            Some(last) => with_prototypes(tensors, &support, last.values.clone()),
            None => learner.generator().generate(tensors, &support, None),
        };
        push(&mut steps, fine_tuned(learner, task, &start));
    }
    steps
}

fn push(steps: &mut Vec<Step>, values: Values<Tensors>) {
    let mut heads = steps
        .last()
        .map_or_else(Vec::new, |step| step.heads.clone());
    heads.push((values.head_weights.clone(), values.head_bias.clone()));
    steps.push(Step { values, heads });
}

/// The same convolutions with the closed-form head of another support set.
fn with_prototypes(
    tensors: &Tensors,
    support: &Support<Tensors>,
    mut values: Values<Tensors>,
) -> Values<Tensors> {
    let features = learner::features(tensors, &support.images, &values);
    let (weights, bias) = network::prototypes(tensors, support, &features);
    values.head_weights = weights;
    values.head_bias = tensors.transpose(&bias);
    values
}

/// Share of right answers on the queries of each task so far (columns) after each task (rows), where the task is known and
/// where it is not.
pub fn accuracies(
    learner: &Learner,
    tensors: &Tensors,
    tasks: &[Task],
    strategy: Strategy,
) -> [Vec<Vec<f64>>; 2] {
    let generator = learner.generator();
    let steps = match strategy {
        Strategy::FineTuned => fine_tune(learner, tensors, tasks),
        _ => learn(generator, tensors, tasks, strategy),
    };
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
    let features = learner::features(tensors, &images, &step.values);
    let by_head = |(weights, bias): &(Tensor<2>, Tensor<2>)| {
        tensors.add(
            &tensors.matmul(&features, &tensors.transpose(weights)),
            bias,
        )
    };
    let all: Vec<Tensor<2>> = step.heads.iter().map(by_head).collect();
    [all[task].clone(), tensors.concat_columns(&all)]
}

/// Mean over times and tasks so far of the losses of both scenarios: the task is known, and it is not.
pub fn loss(generator: &Generator, tensors: &Tensors, tasks: &[Task]) -> Loss {
    let steps = learn(generator, tensors, tasks, Strategy::Continual);
    let mut losses = Vec::new();
    let mut offset = vec![0; tasks.len() + 1];
    for (index, task) in tasks.iter().enumerate() {
        offset[index + 1] = offset[index] + task.ids.len();
    }
    for (time, step) in steps.iter().enumerate() {
        for (index, task) in tasks.iter().enumerate().take(time + 1) {
            let labels = learner::known(&task.queries);
            let [own, all] = scores(generator, tensors, step, index, &task.queries);
            let among_all: Vec<usize> = labels.iter().map(|label| label + offset[index]).collect();
            losses.push(learner::cross_entropy(tensors, own, &labels));
            losses.push(learner::cross_entropy(tensors, all, &among_all));
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
