//! What is measured of every epoch.

use serde::{Deserialize, Serialize};

/// Loss and accuracy on one set of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of the images that are classified right, 0 to 1.
    pub accuracy: f64,
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
