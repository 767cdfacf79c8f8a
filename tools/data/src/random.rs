//! Random numbers that depend on what they are for, never on which thread asks first.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// Purposes of random numbers: each draws from a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Choice of the images that are held back for the test.
    Split,
    /// Choice of the images that are held back for validation.
    Validation,
    /// Choice of the images that a smaller selection keeps.
    Limit,
    /// Order in which an epoch visits the images.
    Order {
        /// Counted from 0.
        epoch: u32,
    },
    /// Changes of an image in an epoch.
    Augment {
        /// Counted from 0.
        epoch: u32,
        /// Index of the image in its set.
        image: usize,
    },
    /// Choice of the classes and images of an episode of meta-learning.
    Episode {
        /// Counted from 0.
        number: u64,
    },
    /// Choice of the folder whose classes an episode has.
    Folder {
        /// Number of the episode.
        number: u64,
    },
    /// Label ids of the classes of an episode.
    Labels {
        /// Number of the episode.
        number: u64,
    },
    /// Parameters of a generator before training.
    Start,
}

/// The generator of a run with this seed, for this purpose: the same whenever it is asked for.
///
/// ChaCha8 is made for it: the seed is the key, purpose and epoch are the stream, the image is the position in it.
pub fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    /// Words set aside for one image, far more than augmenting it draws.
    const WORDS: u128 = 1 << 10;
    /// The streams of meta-learning lie above those of the other purposes, which take 34 bits.
    const EPISODES: u64 = 1 << 63;
    const LABELS: u64 = 1 << 62;
    const START: u64 = 1 << 61;
    const FOLDERS: u64 = 1 << 60;
    let of_epoch = |kind: u64, epoch: u32| u64::from(epoch) << 2 | kind;
    let (stream, image) = match purpose {
        Purpose::Split => (of_epoch(0, 0), 0),
        Purpose::Validation => (of_epoch(0, 1), 0),
        Purpose::Limit => (of_epoch(1, 0), 0),
        Purpose::Order { epoch } => (of_epoch(2, epoch), 0),
        Purpose::Augment { epoch, image } => (of_epoch(3, epoch), image),
        Purpose::Episode { number } => (EPISODES | number, 0),
        Purpose::Folder { number } => (FOLDERS | number, 0),
        Purpose::Labels { number } => (LABELS | number, 0),
        Purpose::Start => (START, 0),
    };
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    generator.set_word_pos(image as u128 * WORDS);
    generator
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;
    use std::collections::BTreeSet;

    #[test]
    fn every_purpose_has_its_own_numbers_and_keeps_them() {
        let mut purposes = vec![
            Purpose::Split,
            Purpose::Validation,
            Purpose::Limit,
            Purpose::Start,
        ];
        for epoch in 0..5 {
            purposes.push(Purpose::Order { epoch });
            purposes.extend((0..5).map(|image| Purpose::Augment { epoch, image }));
            purposes.push(Purpose::Episode {
                number: epoch.into(),
            });
            purposes.push(Purpose::Folder {
                number: epoch.into(),
            });
            purposes.push(Purpose::Labels {
                number: epoch.into(),
            });
        }
        let draw = |seed, &purpose: &Purpose| generator(seed, purpose).next_u64();
        let first: Vec<u64> = purposes.iter().map(|purpose| draw(1, purpose)).collect();
        let again: Vec<u64> = purposes.iter().map(|purpose| draw(1, purpose)).collect();
        assert_eq!(first, again);
        let mut all: BTreeSet<u64> = first.into_iter().collect();
        all.extend(purposes.iter().map(|purpose| draw(2, purpose)));
        assert_eq!(all.len(), 2 * purposes.len());
    }
}
