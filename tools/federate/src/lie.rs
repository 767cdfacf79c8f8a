//! What a client says that wants to harm the others: a class at random for every public image.

use graft_data::random::{Purpose, generator};
use rand::RngExt as _;

use crate::predictions::Predictions;

/// Ways to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lie {
    /// With probability 1, all of them.
    Sure,
    /// With probabilities from 0.5 to 1, so that some rank above others.
    Cunning,
}

impl Lie {
    /// What a head says of so many images.
    pub fn predictions(self, images: usize, classes: usize, seed: u64) -> Predictions {
        let mut random = generator(seed, Purpose::Start);
        let mut scores = vec![0.0; images * classes];
        for image in scores.chunks_exact_mut(classes) {
            let probability: f32 = match self {
                Self::Sure => 1.0 - 1e-6,
                Self::Cunning => random.random_range(0.5..1.0 - 1e-6),
            };
            let others = (1.0 - probability) / (classes - 1).max(1) as f32;
            image.fill(others.ln());
            image[random.random_range(0..classes)] = probability.ln();
        }
        Predictions::of(&scores, classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_are_confident() {
        for (lie, least) in [(Lie::Sure, 255), (Lie::Cunning, 127)] {
            let said = lie.predictions(100, 10, 1);
            let confidences: Vec<u8> = (0..100).map(|image| said.confidence(image)).collect();
            assert!(confidences.iter().all(|&confidence| confidence >= least));
            assert_eq!(
                confidences.iter().all(|&confidence| confidence == 255),
                lie == Lie::Sure
            );
        }
    }
}
