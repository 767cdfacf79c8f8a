//! Figures of every epoch.

use serde::{Deserialize, Serialize};

use super::curves::Point;

/// Loss and accuracy on one set of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of the images, or of their weights, that are classified right, 0 to 1.
    pub accuracy: f64,
}

impl Score {
    /// Whether more is classified right, or as much with a lower loss.
    pub fn is_better_than(&self, other: &Self) -> bool {
        self.accuracy > other.accuracy
            || (self.accuracy == other.accuracy && self.loss < other.loss)
    }

    /// The mean of `count` scores, whose sum this is.
    pub fn over(&self, count: usize) -> Self {
        Self {
            loss: self.loss / count as f64,
            accuracy: self.accuracy / count as f64,
        }
    }
}

/// One epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// On the augmented training images, while the parameters changed.
    pub train: Score,
    /// On the validation images, after the epoch, if there are any.
    pub validation: Option<Score>,
    /// Time of training, in seconds, without the validation.
    pub seconds: f64,
}

impl Epoch {
    /// Its point of the learning curves; epochs are counted from 0.
    pub fn point(&self, index: usize) -> Point {
        Point {
            at: index + 1,
            train: self.train,
            held_out: self.validation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equally_accurate_scores_the_one_with_the_lower_loss_is_better() {
        let score = |accuracy, loss| Score { loss, accuracy };
        assert!(score(0.75, 9.0).is_better_than(&score(0.5, 0.1)));
        assert!(score(1.0, 0.245).is_better_than(&score(1.0, 0.575)));
        for no_better in [score(1.0, 0.5), score(1.0, 0.6), score(0.9, 0.1)] {
            assert!(!no_better.is_better_than(&score(1.0, 0.5)));
        }
    }
}
