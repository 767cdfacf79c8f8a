//! What a client says that wants to harm the others: a class at random for every public image.

use graft_data::random::{Purpose, generator};
use rand::RngExt as _;

use crate::predictions::Predictions;

/// A probability of 1, but for rounding.
const SURE: f32 = 1.0 - 1e-6;

/// Ways to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lie {
    /// With probability 1, all of them.
    Sure,
    /// Most confident where the others, whose messages it has read, are least.
    Informed,
}

impl Lie {
    /// What a head says of so many images, where the same heads of others say this.
    pub fn predictions(
        self,
        (images, classes): (usize, usize),
        others: &[&Predictions],
        seed: u64,
    ) -> Predictions {
        let mut random = generator(seed, Purpose::Start);
        let highest = |image: usize| others.iter().map(|other| other.confidence(image)).max();
        let mut order: Vec<usize> = (0..images).collect();
        order.sort_by_key(|&image| highest(image));
        let mut scores = vec![0.0; images * classes];
        for (place, image) in order.into_iter().enumerate() {
            let probability = match self {
                Self::Sure => SURE,
                Self::Informed => SURE - 0.5 * place as f32 / images as f32,
            };
            let others = (1.0 - probability) / (classes - 1).max(1) as f32;
            let scores = &mut scores[image * classes..][..classes];
            scores.fill(others.ln());
            scores[random.random_range(0..classes)] = probability.ln();
        }
        Predictions::of(&scores, classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_are_confident_and_informed_ones_most_where_others_are_least() {
        let other = Predictions::of(&[3.0, 0.0, 1.0, 0.0, 2.0, 0.0], 2);
        let of = |lie: Lie| {
            let said = lie.predictions((3, 2), &[&other], 1);
            [0, 1, 2].map(|image| said.confidence(image))
        };
        assert_eq!(of(Lie::Sure), [255; 3]);
        let informed = of(Lie::Informed);
        assert!(
            informed[1] > informed[2] && informed[2] > informed[0],
            "{informed:?}"
        );
        assert!(informed[0] > 127);
    }
}
