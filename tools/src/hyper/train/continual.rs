//! Learning task after task (Vladymyrov et al. 2024, "Continual HyperTransformer", algorithm 1).
//!
//! Weights of each step go into the weight tokens of the next. Prototypes are computed once, with the weights of their own
//! time, and kept.

use burn_tensor::Tensor;

use super::learner::{self, Loss, Task};
use super::tensors::Tensors;
use crate::hyper::network::{Generator, Values};
use crate::hyper::ops::Ops as _;

/// What weights an image set is generated from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Those of the step before.
    Previous,
    /// Always the target network's own: what came before is forgotten.
    Start,
}

/// What is known after each task.
#[derive(Debug)]
pub struct Step {
    /// The network of this time.
    pub values: Values<Tensors>,
    /// Heads of the tasks so far, each with the weights of its own time.
    pub heads: Vec<(Tensor<2>, Tensor<2>)>,
}

/// Learns one task after the other.
pub fn learn(generator: &Generator, tensors: &Tensors, tasks: &[Task], from: From) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(tasks.len());
    for task in tasks {
        let support = learner::support(tensors, generator.config(), task);
        let last = steps.last().filter(|_| from == From::Previous);
        let previous: Option<Vec<_>> = last.map(|step| {
            let weights = step.values.convolutions.iter();
            weights
                .map(|convolution| convolution.weights.clone())
                .collect()
        });
        let values = generator.generate(tensors, &support, previous.as_deref());
        let mut heads = steps
            .last()
            .map_or_else(Vec::new, |step| step.heads.clone());
        heads.push((values.head_weights.clone(), values.head_bias.clone()));
        steps.push(Step { values, heads });
    }
    steps
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
    let steps = learn(generator, tensors, tasks, From::Previous);
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
