//! What a client is taught, and the loss by which it learns that.
//!
//! The main head learns private labels alone, head k what the believed teacher's head k - 1 says of public images.

use patchtool::train::loss::cross_entropy;

use crate::choice::{Belief, choose};
use crate::predictions::Predictions;

/// What a client is taught about every public image.
pub struct Lessons {
    /// What each teacher's heads say, the main one first.
    teachers: Vec<Vec<Predictions>>,
    /// The index of the teacher that is believed about each image, by head.
    believed: Vec<Vec<usize>>,
}

impl Lessons {
    /// Lessons of the same heads of these teachers, at least one, of which the most confident is believed.
    pub fn new(
        teachers: Vec<Vec<Predictions>>,
        belief: Belief,
        random: &mut impl rand::Rng,
    ) -> Self {
        let heads = 0..teachers[0].len();
        let believed = heads.map(|head| {
            let said: Vec<&Predictions> = teachers.iter().map(|heads| &heads[head]).collect();
            choose(&said, belief, random)
        });
        let believed = believed.collect();
        Self { teachers, believed }
    }

    /// Writes the probabilities that head `head` is taught about an image.
    fn target(&self, head: usize, image: usize, target: &mut [f32]) {
        let teacher = self.believed[head - 1][image];
        self.teachers[teacher][head - 1].probabilities(image, target);
    }
}

/// Losses of a step, or their means over a round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// Mean loss of the main head on private images.
    pub private_loss: f64,
    /// Share of the private images that the main head classified right.
    pub private_accuracy: f64,
    /// Mean loss of the other heads, all together, on public images.
    pub public_loss: f64,
}

/// The loss of a step: cross-entropy of the main head on private images, and of each other head on public ones with what it is
/// taught.
pub(crate) struct Loss<'a> {
    pub(crate) classes: usize,
    pub(crate) heads: usize,
    pub(crate) weight: f32,
    /// Of the private images, which come first.
    pub(crate) labels: &'a [usize],
    /// Of the public ones.
    pub(crate) lessons: Option<(&'a Lessons, &'a [usize])>,
}

impl Loss<'_> {
    /// The loss of the scores `[images][heads + 1][classes]`, and its derivative by each, over zeros.
    pub(crate) fn of(&self, scores: &[f32], gradient: &mut [f32]) -> Round {
        let classes = self.classes;
        let outputs = classes * (self.heads + 1);
        let private = self.labels.len() * outputs;
        let (own, theirs) = gradient.split_at_mut(private);
        let main: Vec<f32> = scores[..private]
            .chunks_exact(outputs)
            .flat_map(|scores| &scores[..classes])
            .copied()
            .collect();
        let mut of_main = vec![0.0; main.len()];
        let loss = cross_entropy(&main, self.labels, 0.0, None, &mut of_main);
        for (to, from) in own
            .chunks_exact_mut(outputs)
            .zip(of_main.chunks_exact(classes))
        {
            to[..classes].copy_from_slice(from);
        }
        let public_loss = self.lessons.map_or(0.0, |(lessons, images)| {
            let rows = scores[private..].chunks_exact(outputs);
            let rows = rows.zip(theirs.chunks_exact_mut(outputs));
            let share = self.weight / images.len() as f32;
            let mut target = vec![0.0; classes];
            let losses = rows.zip(images).map(|((scores, gradient), &image)| {
                let heads = scores
                    .chunks_exact(classes)
                    .zip(gradient.chunks_exact_mut(classes));
                let heads = heads.enumerate().skip(1);
                let of_heads = heads.map(|(head, (scores, gradient))| {
                    lessons.target(head, image, &mut target);
                    distil(scores, &target, share, gradient)
                });
                of_heads.sum::<f64>()
            });
            losses.sum::<f64>() / images.len() as f64
        });
        Round {
            private_loss: loss.mean,
            private_accuracy: loss.correct as f64 / self.labels.len() as f64,
            public_loss,
        }
    }
}

/// The cross-entropy of scores with the probabilities of a teacher; `gradient` gets its derivative times `share`.
fn distil(scores: &[f32], target: &[f32], share: f32, gradient: &mut [f32]) -> f64 {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = scores
        .iter()
        .map(|score| f64::from(score - highest).exp())
        .sum();
    let log_total = total.ln();
    let mut loss = 0.0;
    for ((gradient, score), target) in gradient.iter_mut().zip(scores).zip(target) {
        let log_share = f64::from(score - highest) - log_total;
        *gradient = share * (log_share.exp() as f32 - target);
        loss -= f64::from(*target) * log_share;
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_data::random::{Purpose, generator};
    use graft_tests::Random;

    fn lessons(teachers: usize, images: usize, classes: usize, heads: usize) -> Lessons {
        let said = (0..teachers as u64).map(|teacher| {
            let of_head = |head: u64| {
                let scores = Random(9 * teacher + head).values(images * classes, 3.0);
                Predictions::of(&scores, classes)
            };
            (0..heads as u64).map(of_head).collect()
        });
        Lessons::new(
            said.collect(),
            Belief::default(),
            &mut generator(1, Purpose::Start),
        )
    }

    #[test]
    fn the_gradient_of_a_step_is_that_of_its_loss() {
        let (classes, heads) = (5, 2);
        let lessons = lessons(3, 4, classes, heads);
        let loss = Loss {
            classes,
            heads,
            weight: 0.7,
            labels: &[3, 0],
            lessons: Some((&lessons, &[2, 0, 3])),
        };
        let scores = Random(4).values(5 * classes * (heads + 1), 2.0);
        let value = |scores: &[f32]| {
            let sums = loss.of(scores, &mut vec![0.0; scores.len()]);
            sums.private_loss + 0.7 * sums.public_loss
        };
        let mut gradient = vec![0.0; scores.len()];
        loss.of(&scores, &mut gradient);
        for at in 0..scores.len() {
            let step = 1e-2;
            let moved = |by: f32| {
                let mut scores = scores.clone();
                scores[at] += by;
                value(&scores)
            };
            let expected = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            assert!(
                (f64::from(gradient[at]) - expected).abs() < 1e-4,
                "{at}: {} {expected}",
                gradient[at]
            );
        }
        // Private images teach the main head alone, public ones every other.
        for (image, of_image) in gradient.chunks_exact(classes * (heads + 1)).enumerate() {
            let (main, others) = of_image.split_at(classes);
            let (silent, learns) = if image < 2 {
                (others, main)
            } else {
                (main, others)
            };
            assert!(silent.iter().all(|&value| value == 0.0));
            assert!(learns.iter().any(|&value| value != 0.0));
        }
    }
}
