//! Heads for the embeddings of a frozen backbone, learned from a few images: how good each way is, and which steps are best.

pub mod recipe;

use graft_runtime::LayerOutput;
use graft_runtime::head_learner::{HeadLearner, LearnError, Projection, Recipe};
use patchtool::hyper::{Head, prototype};

use crate::episodes::Episode;

/// A way to make a head of a support set.
#[derive(Clone, Copy, Debug)]
pub enum Method<'a> {
    /// Class means, in closed form.
    Means,
    /// The runtime's head learner.
    Learner(&'a Recipe<'a>),
    /// Stochastic gradient descent on the cross-entropy, of all support images at once, from zeros.
    Sgd {
        /// Steps.
        steps: usize,
        /// Rate, in units of one over the greatest eigenvalue of the embeddings' covariance.
        rate: f32,
    },
}

/// The share of an episode's queries that a head finds the classes of. `unit` is that of the integers which head learners
/// round embeddings to: the backbone's ([`Projection::of`]).
///
/// # Errors
/// What the learner refuses.
pub fn accuracy(
    episode: &Episode,
    features: usize,
    unit: f32,
    method: Method<'_>,
) -> Result<f64, LearnError> {
    let head = head(episode, features, unit, method)?;
    let right = rows(&episode.queries.values, features)
        .zip(&episode.queries.labels)
        .filter(|(x, label)| best(&head, x) == Some(**label));
    Ok(right.count() as f64 / episode.queries.len() as f64)
}

/// The head that a method makes of an episode's support set.
///
/// # Errors
/// What the learner refuses.
pub fn head(
    episode: &Episode,
    features: usize,
    unit: f32,
    method: Method<'_>,
) -> Result<Head, LearnError> {
    let classes = episode.classes.len();
    let (x, labels) = (&episode.support.values, &episode.support.labels);
    match method {
        Method::Means => {
            let owned: Vec<Vec<f32>> = rows(x, features).map(<[f32]>::to_vec).collect();
            let means = prototype::means(&owned, labels, classes);
            Ok(prototype::head(&means, prototype::factor(&means)))
        }
        Method::Sgd { steps, rate } => Ok(sgd(x, labels, (classes, features), (steps, rate))),
        Method::Learner(recipe) => {
            let projection = Projection::new(features, features, 0, unit)?;
            let mut memory = vec![0; HeadLearner::words_len(features, classes)];
            let mut learner = HeadLearner::new(projection, &mut memory)?;
            for (x, &label) in rows(x, features).zip(labels) {
                learner.add(label, LayerOutput::F32(x))?;
            }
            let mut work = vec![0.0; learner.work_len(recipe.method)];
            let mut weights = vec![0.0; learner.weights_len()];
            let learned = learner.learn(recipe, &mut work, &mut weights)?;
            let all = (0..classes).flat_map(|class| (0..features).map(move |at| (class, at)));
            Ok(Head {
                weights: all.map(|(class, at)| learned.weight(class, at)).collect(),
                bias: (0..classes).map(|class| learned.bias(class)).collect(),
            })
        }
    }
}

fn rows(values: &[f32], features: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks_exact(features)
}

/// The class that scores highest.
fn best(head: &Head, x: &[f32]) -> Option<usize> {
    let scores: Vec<f32> = rows(&head.weights, x.len())
        .zip(&head.bias)
        .map(|(row, bias)| dot(row, x) + bias)
        .collect();
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The support set less its mean, and the mean.
fn centred(x: &[f32], features: usize) -> (Vec<f32>, Vec<f32>) {
    let count = (x.len() / features) as f32;
    let mean: Vec<f32> = (0..features)
        .map(|at| rows(x, features).map(|row| row[at]).sum::<f32>() / count)
        .collect();
    let centred = rows(x, features).flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| x - mean));
    (centred.collect(), mean)
}

/// Products of all rows of `a` with all rows of `b`, divided by `by`.
fn products(a: &[f32], b: &[f32], features: usize, by: f32) -> Vec<f32> {
    rows(a, features)
        .flat_map(|a| rows(b, features).map(move |b| dot(a, b) / by))
        .collect()
}

/// The greatest eigenvalue of a symmetric matrix without negative ones, by power iteration.
fn greatest_eigenvalue(matrix: &[f32], length: usize) -> f32 {
    let mut v = vec![1.0; length];
    // Rows of a centred set add up to zero: all ones would be no start.
    v[0] = 2.0;
    let mut eigenvalue = 0.0;
    for _ in 0..32 {
        let next: Vec<f32> = rows(matrix, length).map(|row| dot(row, &v)).collect();
        eigenvalue = dot(&next, &next).sqrt();
        if eigenvalue == 0.0 {
            return 0.0;
        }
        v = next.iter().map(|value| value / eigenvalue).collect();
    }
    eigenvalue
}

/// Gradient descent on the cross-entropy. Weights are sums of the support set's rows: what a step adds is a number for each
/// image and class.
fn sgd(
    x: &[f32],
    labels: &[usize],
    (classes, features): (usize, usize),
    (steps, rate): (usize, f32),
) -> Head {
    let count = labels.len();
    let (x, mean) = centred(x, features);
    let products = products(&x, &x, features, count as f32);
    let eigenvalue = greatest_eigenvalue(&products, count).max(f32::MIN_POSITIVE);
    let mut shares = vec![0.0f32; count * classes];
    for _ in 0..steps {
        let scores: Vec<f32> = rows(&products, count)
            .flat_map(|row| {
                let shares = &shares;
                (0..classes).map(move |class| {
                    let shares = shares[class..].iter().step_by(classes);
                    row.iter().zip(shares).map(|(a, b)| a * b).sum::<f32>()
                })
            })
            .collect();
        for (image, scores) in scores.chunks_exact(classes).enumerate() {
            let probabilities = patchtool::confidence::probabilities(scores, 1.0);
            for (class, probability) in probabilities.iter().enumerate() {
                let target = f32::from(u8::from(class == labels[image]));
                let share = &mut shares[image * classes + class];
                *share += rate / eigenvalue * (target - *probability as f32);
            }
        }
    }
    let mut head = Head {
        weights: vec![0.0; classes * features],
        bias: vec![0.0; classes],
    };
    for (image, x) in rows(&x, features).enumerate() {
        for class in 0..classes {
            let share = shares[image * classes + class] / count as f32;
            let row = &mut head.weights[class * features..][..features];
            row.iter_mut()
                .zip(x)
                .for_each(|(weight, x)| *weight += share * x);
        }
    }
    for (row, bias) in head.weights.chunks_exact(features).zip(&mut head.bias) {
        *bias = -dot(row, &mean);
    }
    head
}

#[cfg(test)]
mod tests {
    use graft_runtime::head_learner::{GD, GD_PLUS_PLUS, RIDGE};

    use super::*;
    use crate::episodes::{Drawn, Images};

    /// Three classes along three axes, with noise.
    fn episode() -> Episode {
        let mut random = graft_tests::Random(5);
        let mut images = |count: usize| {
            let labels: Vec<usize> = (0..count).map(|image| image % 3).collect();
            let values = labels.iter().flat_map(|&label| {
                let noise = random.values(8, 0.4);
                (0..8).map(move |at| noise[at] + 1.0 + 2.0 * f32::from(u8::from(at == label)))
            });
            Images {
                values: values.collect(),
                labels,
                indices: vec![0; count],
            }
        };
        Episode {
            classes: vec![Drawn { class: 0, turn: 0 }; 3],
            support: images(15),
            queries: images(60),
            unlabelled: Images::default(),
        }
    }

    #[test]
    fn every_method_tells_classes_apart_that_are() {
        let episode = episode();
        let sgd = Method::Sgd {
            steps: 50,
            rate: 1.0,
        };
        let learners = [&GD, &GD_PLUS_PLUS, &RIDGE].map(Method::Learner);
        for method in [&[Method::Means, sgd], &learners[..]].concat() {
            let found = accuracy(&episode, 8, 0.01, method).unwrap();
            assert!(found > 0.95, "{method:?}: {found}");
        }
    }

    #[test]
    fn a_head_of_no_steps_knows_nothing() {
        let none = Method::Sgd {
            steps: 0,
            rate: 1.0,
        };
        let head = head(&episode(), 8, 0.01, none).unwrap();
        assert!(
            head.weights
                .iter()
                .chain(&head.bias)
                .all(|&value| value == 0.0)
        );
    }
}
