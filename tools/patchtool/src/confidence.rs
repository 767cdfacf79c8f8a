//! How sure scores are: probabilities, and the temperature that makes them come true (Guo et al. 2017, "On Calibration of
//! Modern Neural Networks").

use graft_patches::TEMPERATURES;

/// Ranges of confidence that the expected calibration error compares; as in the paper.
const BINS: usize = 15;

/// The softmax of the scores divided by a temperature: shares of the exponentials, which add up to 1. A single score stands
/// against 0: its sigmoid.
pub fn probabilities(scores: &[f32], temperature: f32) -> Vec<f64> {
    let divided = |score: f32| f64::from(score) / f64::from(temperature);
    if let [score] = *scores {
        return vec![1.0 / (1.0 + (-divided(score)).exp())];
    }
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = scores
        .iter()
        .map(|&score| (divided(score) - divided(highest)).exp());
    let sum: f64 = powers.clone().sum();
    powers.map(|power| power / sum).collect()
}

/// The class that scores highest, and its probability; `None` where a score is not a number.
pub fn surest(scores: &[f32], temperature: f32) -> Option<(usize, f64)> {
    let predicted = crate::confusion::predicted(scores)?;
    Some((predicted, probabilities(scores, temperature)[predicted]))
}

/// How far probabilities come true.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Mean negative log-likelihood of the right classes.
    pub loss: f64,
    /// Expected calibration error: the mean distance between confidence and accuracy, in 15 ranges of confidence.
    pub error: f64,
}

/// Scores of labelled images, `[images][classes]`.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    classes: usize,
    scores: Vec<f32>,
    targets: Vec<usize>,
}

impl Scored {
    /// Images with these scores for the classes, and their right ones.
    pub fn new(scores: Vec<f32>, targets: Vec<usize>) -> Self {
        Self {
            classes: scores.len() / targets.len().max(1),
            scores,
            targets,
        }
    }

    fn images(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let scores = self.scores.chunks_exact(self.classes.max(1));
        scores.zip(self.targets.iter().copied())
    }

    /// The temperature at which the right classes are likeliest, within [`TEMPERATURES`]; `None` where there are fewer than
    /// two classes, no images, or scores that are not finite.
    pub fn temperature(&self) -> Option<f32> {
        let is_finite = self.scores.iter().all(|score| score.is_finite());
        if self.classes < 2 || self.targets.is_empty() || !is_finite {
            return None;
        }
        // The loss is convex in the inverse: its slope, which rises, is zero at the least loss.
        let (mut low, mut high) = (
            1.0 / f64::from(*TEMPERATURES.end()),
            1.0 / f64::from(*TEMPERATURES.start()),
        );
        for _ in 0..60 {
            let middle = (low * high).sqrt();
            match self.slope(middle) > 0.0 {
                true => high = middle,
                false => low = middle,
            }
        }
        let temperature = (1.0 / (low * high).sqrt()) as f32;
        Some(temperature.clamp(*TEMPERATURES.start(), *TEMPERATURES.end()))
    }

    /// Derivative of the loss by the inverse of the temperature: expected score minus that of the right class.
    fn slope(&self, inverse: f64) -> f64 {
        self.images()
            .map(|(scores, target)| {
                let shares = probabilities(scores, (1.0 / inverse) as f32);
                let expected = shares.iter().zip(scores);
                let expected: f64 = expected
                    .map(|(share, &score)| share * f64::from(score))
                    .sum();
                expected - f64::from(scores[target])
            })
            .sum()
    }

    /// How far the probabilities at a temperature come true.
    pub fn calibration(&self, temperature: f32) -> Calibration {
        let mut bins = [(0usize, 0.0, 0usize); BINS];
        let mut loss = 0.0;
        for (scores, target) in self.images() {
            let shares = probabilities(scores, temperature);
            loss -= shares[target].max(f64::MIN_POSITIVE).ln();
            let Some((predicted, confidence)) = surest(scores, temperature) else {
                continue;
            };
            let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
            bin.0 += 1;
            bin.1 += confidence;
            bin.2 += usize::from(predicted == target);
        }
        let images = self.targets.len().max(1) as f64;
        let distances = bins
            .iter()
            .map(|&(_, confidence, right)| (confidence - right as f64).abs());
        Calibration {
            loss: loss / images,
            error: distances.sum::<f64>() / images,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};

    /// Scores that are `factor` times the logarithms of the shares by which the classes are drawn.
    fn drawn(factor: f32, images: usize) -> Scored {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let (mut scores, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..images {
            let logits: [f32; 4] = std::array::from_fn(|_| random.random_range(-2.0..2.0));
            let shares = probabilities(&logits, 1.0);
            let mut left = random.random::<f64>();
            let target = shares.iter().position(|share| {
                left -= share;
                left < 0.0
            });
            targets.push(target.unwrap_or(3));
            scores.extend(logits.map(|logit| factor * logit));
        }
        Scored::new(scores, targets)
    }

    #[test]
    fn the_temperature_of_scores_is_found_again() {
        for factor in [0.3, 1.0, 4.0] {
            let scored = drawn(factor, 4000);
            let temperature = scored.temperature().unwrap();
            assert!((temperature / factor - 1.0).abs() < 0.1, "{temperature}");
            let [plain, warm] = [1.0, temperature].map(|t| scored.calibration(t));
            assert!(warm.loss <= plain.loss && warm.error < 0.03, "{warm:?}");
            if factor != 1.0 {
                assert!(plain.error > 0.1, "{plain:?}");
            }
        }
    }

    #[test]
    fn what_has_no_temperature_gets_none() {
        assert_eq!(Scored::default().temperature(), None);
        assert_eq!(Scored::new(vec![1.0, 2.0], vec![0, 0]).temperature(), None);
        let wrong = Scored::new(vec![1.0, f32::NAN], vec![0]);
        assert_eq!(wrong.temperature(), None);
        // Always right: as cold as may be; always wrong: as warm.
        let right = Scored::new(vec![1.0, 0.0], vec![0]);
        assert!((right.temperature().unwrap() - 0.01).abs() < 1e-3);
        let wrong = Scored::new(vec![1.0, 0.0], vec![1]);
        assert!((wrong.temperature().unwrap() - 100.0).abs() < 0.1);
    }

    #[test]
    fn probabilities_are_the_softmax_of_all_scores() {
        let all = probabilities(&[500.0, -500.0, 500.0], 1.0);
        assert_eq!(all, [0.5, 0.0, 0.5]);
        let single = probabilities(&[3.0_f32.ln()], 1.0)[0];
        assert!((single - 0.75).abs() < 1e-6, "{single}");
        let warm = probabilities(&[2.0 * 3.0_f32.ln(), 0.0], 2.0);
        assert!((warm[0] - 0.75).abs() < 1e-6, "{warm:?}");
        assert_eq!(surest(&[1.0, f32::NAN], 1.0), None);
    }
}
