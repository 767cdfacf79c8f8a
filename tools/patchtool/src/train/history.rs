//! Figures of every epoch.

use serde::{Deserialize, Serialize};

use super::curves::Point;

/// Loss and accuracy on one set of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of the images that are classified right, 0 to 1.
    pub accuracy: f64,
}

impl Score {
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
    /// On the test images, after the epoch.
    pub test: Score,
    /// Time of training, in seconds, without the test.
    pub seconds: f64,
}

impl Epoch {
    /// Its point of the learning curves; epochs are counted from 0.
    pub fn point(&self, index: usize) -> Point {
        Point {
            at: index + 1,
            train: self.train,
            test: Some(self.test),
        }
    }
}

/// The epoch, counted from 0, with the highest test accuracy: the earliest of equal ones.
pub fn best(history: &[Epoch]) -> Option<usize> {
    let accuracy = |index: &usize| history[*index].test.accuracy;
    (0..history.len()).reduce(|best, index| {
        if accuracy(&index) > accuracy(&best) {
            index
        } else {
            best
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equally_good_epochs_is_best() {
        let epoch = |accuracy| Epoch {
            test: Score {
                loss: 0.0,
                accuracy,
            },
            ..Epoch::default()
        };
        assert_eq!(best(&[]), None);
        assert_eq!(
            best(&[epoch(0.5), epoch(0.75), epoch(0.75), epoch(0.25)]),
            Some(1)
        );
    }
}
