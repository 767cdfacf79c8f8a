//! Weights of the classes in the loss, for data sets where some classes have far more images than others.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The rule that gives each class its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every image counts alike.
    #[default]
    None,
    /// Every class counts alike, however many images it has.
    Balanced,
}

impl ClassWeights {
    /// The weight of each of `classes` classes in a set whose images have these `labels`; `None` where all are 1.
    ///
    /// Of n images in k classes, each of the n_c images of a class weighs n / (k n_c): on average 1.
    pub fn of(self, labels: impl Iterator<Item = usize>, classes: usize) -> Option<Vec<f32>> {
        match self {
            Self::None => None,
            Self::Balanced => {
                let mut counts = vec![0_usize; classes];
                labels.for_each(|label| counts[label] += 1);
                let images: usize = counts.iter().sum();
                let present = counts.iter().filter(|&&count| count > 0).count();
                let weight = |&count: &usize| match count {
                    0 => 0.0,
                    _ => (images as f64 / (present * count) as f64) as f32,
                };
                Some(counts.iter().map(weight).collect())
            }
        }
    }
}

impl fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Balanced => "balanced",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_classes_weigh_the_same_in_sum() {
        let labels = [0, 0, 0, 0, 0, 0, 2, 2];
        assert_eq!(ClassWeights::None.of(labels.into_iter(), 3), None);
        // 8 / (2 * 6) and 8 / (2 * 2); class 1 has no image.
        let weights = ClassWeights::Balanced.of(labels.into_iter(), 3).unwrap();
        assert_eq!(weights, [2.0 / 3.0, 0.0, 2.0]);
    }
}
