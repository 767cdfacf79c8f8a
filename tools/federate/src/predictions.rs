//! What a head says of images, as it leaves a client: the most probable classes of each, probabilities in 255ths.
//!
//! Four classes at two bytes each are 8 kB for a thousand images and a head; a patch that only replaces batch norms of
//! MobileNetV2 has 136 kB.

use serde::{Deserialize, Serialize};

/// Classes that are said of an image.
pub const TOP: usize = 4;

/// A class and its probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Index of the class.
    pub class: u16,
    /// Its probability in 255ths.
    pub share: u8,
}

/// What one head says of some images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predictions {
    classes: usize,
    /// `[images][top]`, the most probable class first.
    entries: Vec<Entry>,
}

/// Entries that no head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PredictionsError {
    /// Bytes left over, or missing.
    #[error("{found} bytes of predictions, expected a multiple of {expected}")]
    Length {
        /// Bytes.
        found: usize,
        /// Bytes of an image.
        expected: usize,
    },
    /// No such class.
    #[error("class {found} of {classes}")]
    Class {
        /// The class.
        found: usize,
        /// Number of classes.
        classes: usize,
    },
    /// The same class twice for one image.
    #[error("class {found} twice for an image")]
    Twice {
        /// The class.
        found: usize,
    },
    /// Probabilities that sum to more than 1, or to less where there are no other classes.
    #[error("probabilities of {found} 255ths")]
    Sum {
        /// Their sum.
        found: usize,
    },
}

impl Predictions {
    /// What these scores say, of images in as many rows of `classes` values.
    ///
    /// # Panics
    /// If the scores are no such rows.
    pub fn of(scores: &[f32], classes: usize) -> Self {
        assert!(scores.len().is_multiple_of(classes), "rows of scores");
        let entries = scores.chunks_exact(classes).flat_map(most_probable);
        Self {
            classes,
            entries: entries.collect(),
        }
    }

    /// Predictions of `images` images that say nothing.
    pub fn silent(images: usize, classes: usize) -> Self {
        Self {
            classes,
            entries: vec![Entry::default(); images * top(classes)],
        }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.entries.len() / top(self.classes)
    }

    fn image(&self, image: usize) -> &[Entry] {
        let top = top(self.classes);
        &self.entries[image * top..][..top]
    }

    /// The probability of the most probable class of an image, in 255ths.
    pub fn confidence(&self, image: usize) -> u8 {
        self.image(image)[0].share
    }

    /// Writes the probabilities of all classes of an image; those that were not said share what is left.
    pub fn probabilities(&self, image: usize, probabilities: &mut [f32]) {
        let entries = self.image(image);
        let said: f32 = entries.iter().map(|entry| f32::from(entry.share)).sum();
        let others = self.classes - entries.len();
        probabilities.fill((255.0 - said) / 255.0 / others.max(1) as f32);
        for entry in entries {
            probabilities[usize::from(entry.class)] = f32::from(entry.share) / 255.0;
        }
    }

    /// A part of the images.
    pub fn part(&self, images: std::ops::Range<usize>) -> Self {
        let top = top(self.classes);
        Self {
            classes: self.classes,
            entries: self.entries[images.start * top..images.end * top].to_vec(),
        }
    }

    /// Puts a part in the place of what is there from an image on.
    ///
    /// # Panics
    /// If it reaches beyond the last image.
    pub fn replace(&mut self, first: usize, part: &Self) {
        let at = first * top(self.classes);
        self.entries[at..at + part.entries.len()].copy_from_slice(&part.entries);
    }

    /// Bytes of an entry: a class of one byte, or two where there are more than 256, and its probability.
    pub fn to_bytes(&self) -> Vec<u8> {
        let width = class_bytes(self.classes);
        let bytes = |entry: &Entry| {
            let class = entry.class.to_le_bytes();
            class.into_iter().take(width).chain([entry.share])
        };
        self.entries.iter().flat_map(bytes).collect()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// See [`PredictionsError`].
    pub fn from_bytes(bytes: &[u8], classes: usize) -> Result<Self, PredictionsError> {
        let width = class_bytes(classes);
        let expected = top(classes) * (width + 1);
        if !bytes.len().is_multiple_of(expected) {
            let found = bytes.len();
            return Err(PredictionsError::Length { found, expected });
        }
        let entry = |bytes: &[u8]| Entry {
            class: bytes[..width]
                .iter()
                .rev()
                .fold(0, |class, &byte| class << 8 | u16::from(byte)),
            share: bytes[width],
        };
        let entries: Vec<Entry> = bytes.chunks_exact(width + 1).map(entry).collect();
        for image in entries.chunks_exact(top(classes)) {
            check(image, classes)?;
        }
        Ok(Self { classes, entries })
    }
}

/// Bytes of a class's index.
fn class_bytes(classes: usize) -> usize {
    if classes <= 256 { 1 } else { 2 }
}

/// Classes that are said of an image where there are so many.
fn top(classes: usize) -> usize {
    TOP.min(classes)
}

/// The most probable classes by these scores: cumulated probabilities are rounded, so that they never sum to more than 1.
fn most_probable(scores: &[f32]) -> Vec<Entry> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = scores
        .iter()
        .map(|&score| f64::from(score - highest).exp())
        .collect();
    let total: f64 = exponentials.iter().sum();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| exponentials[b].total_cmp(&exponentials[a]));
    let (mut sum, mut before) = (0.0, 0);
    let said = order.into_iter().take(top(scores.len()));
    said.map(|class| {
        sum += exponentials[class];
        let until = (255.0 * sum / total).round() as u8;
        let share = until - before;
        before = until;
        Entry {
            class: class as u16,
            share,
        }
    })
    .collect()
}

fn check(image: &[Entry], classes: usize) -> Result<(), PredictionsError> {
    let mut sum = 0;
    for (at, entry) in image.iter().enumerate() {
        let found = usize::from(entry.class);
        if found >= classes {
            return Err(PredictionsError::Class { found, classes });
        }
        if image[..at].iter().any(|other| other.class == entry.class) {
            return Err(PredictionsError::Twice { found });
        }
        sum += usize::from(entry.share);
    }
    let is_all = image.len() == classes;
    match sum {
        255 => Ok(()),
        0..255 if !is_all => Ok(()),
        found => Err(PredictionsError::Sum { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scores_come_back_as_probabilities() {
        // Probabilities 8, 4, 2, 1, 1 of 16.
        let scores = [1.0_f32, 8.0, 4.0, 1.0, 2.0].map(f32::ln);
        let predictions = Predictions::of(&scores, 5);
        assert_eq!(predictions.to_bytes(), [1, 128, 2, 63, 4, 32, 0, 16]);
        assert_eq!(predictions.confidence(0), 128);
        let mut found = [0.0; 5];
        predictions.probabilities(0, &mut found);
        for (found, expected) in found.iter().zip([1.0, 8.0, 4.0, 1.0, 2.0]) {
            assert!((found - expected / 16.0).abs() < 1.0 / 255.0, "{found}");
        }
        assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn bytes_come_back(classes in 1_usize..600, images in 0_usize..5, seed in any::<u64>()) {
            let scores = graft_tests::Random(seed).values(images * classes, 9.0);
            let predictions = Predictions::of(&scores, classes);
            let bytes = predictions.to_bytes();
            prop_assert_eq!(Predictions::from_bytes(&bytes, classes).unwrap(), predictions);
        }

        #[test]
        fn any_bytes_are_predictions_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), classes in 1_usize..600) {
            if let Ok(predictions) = Predictions::from_bytes(&bytes, classes) {
                let mut found = vec![0.0; classes];
                for image in 0..predictions.images() {
                    predictions.probabilities(image, &mut found);
                    prop_assert!(found.iter().all(|share| (0.0..=1.0).contains(share)));
                }
            }
        }
    }

    #[test]
    fn what_no_head_says_is_refused() {
        let cases: [(&[u8], PredictionsError); 4] = [
            (
                &[1, 9, 0],
                PredictionsError::Length {
                    found: 3,
                    expected: 8,
                },
            ),
            (
                &[7, 9, 0, 9, 1, 9, 2, 9],
                PredictionsError::Class {
                    found: 7,
                    classes: 5,
                },
            ),
            (
                &[1, 9, 0, 9, 1, 9, 2, 9],
                PredictionsError::Twice { found: 1 },
            ),
            (
                &[1, 200, 0, 50, 3, 9, 2, 9],
                PredictionsError::Sum { found: 268 },
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Predictions::from_bytes(bytes, 5), Err(expected));
        }
    }
}
