//! Episodes: small classification tasks, each of a few classes drawn from many.
//!
//! Vinyals et al. 2016, "Matching Networks for One Shot Learning", section 3: meta-training sees in every episode
//! its later use, a support set of a few images per class and queries of the same classes.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::classes::{Classes, Content};
use crate::distort::Distortion;
use crate::rotate::{ROTATIONS, TURNS, turned};
use graft_data::preprocess::Preprocess;
use graft_data::random::{Purpose, generator};

/// The numbers of classes and images of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Classes.
    pub ways: usize,
    /// Images of each class with their labels: the support set.
    pub shots: usize,
    /// Images of each class to classify.
    pub queries: usize,
    /// Images of each class whose labels the generator does not see.
    pub unlabelled: usize,
}

impl Setting {
    /// `ways` classes and `shots` images of each, with 15 queries of each class, as is usual, and no unlabelled images.
    pub fn new(ways: usize, shots: usize) -> Self {
        Self {
            ways,
            shots,
            queries: 15,
            unlabelled: 0,
        }
    }

    /// Images that an episode needs of each class.
    pub fn images(&self) -> usize {
        self.shots
            .saturating_add(self.queries)
            .saturating_add(self.unlabelled)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-way {}-shot", self.ways, self.shots)
    }
}

impl FromStr for Setting {
    type Err = SettingError;

    /// `5x1` is [`Setting::new`] with 5 ways and 1 shot.
    fn from_str(text: &str) -> Result<Self, SettingError> {
        let parsed = text
            .split_once('x')
            .and_then(|(ways, shots)| Some(Self::new(ways.parse().ok()?, shots.parse().ok()?)));
        parsed
            .filter(|setting| setting.ways > 0 && setting.shots > 0)
            .ok_or_else(|| SettingError {
                found: text.to_owned(),
            })
    }
}

/// A text that is no setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no setting: expected ways x shots, such as 5x1")]
pub struct SettingError {
    /// The text.
    pub found: String,
}

/// Reasons why no episodes can be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EpisodeError {
    /// No class, or no image to learn a class from.
    #[error("{setting} is no task: expected at least one way and one shot")]
    NoTask {
        /// As it was asked for.
        setting: Setting,
    },
    /// More ways than classes.
    #[error("{setting} needs {} classes: found {found}", setting.ways)]
    TooFewClasses {
        /// As it was asked for.
        setting: Setting,
        /// The number that there is.
        found: usize,
    },
    /// A class with fewer images than an episode takes.
    #[error(
        "{setting} with {} queries and {} unlabelled images of each class needs {} images: {class} has {found}",
        setting.queries, setting.unlabelled, setting.images()
    )]
    TooFewImages {
        /// As it was asked for.
        setting: Setting,
        /// The class.
        class: String,
        /// The number that it has.
        found: usize,
    },
    /// Rotations and distortions need pixels.
    #[error("embeddings cannot be rotated or distorted")]
    Embeddings,
    /// Rotations and distortions need rows and columns alike.
    #[error(
        "only square images can be rotated or distorted: these are prepared as {height} rows and {width} columns"
    )]
    NotSquare {
        /// Rows.
        height: u32,
        /// Columns.
        width: u32,
    },
}

impl EpisodeError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoTask { .. } => "ask for one way and one shot or more",
            Self::TooFewClasses { .. } => "add classes, hold fewer out, or ask for fewer ways",
            Self::TooFewImages { .. } => {
                "add images, remove the class, or ask for fewer shots, queries or unlabelled images"
            }
            Self::Embeddings => "leave augmentation out",
            Self::NotSquare { .. } => "prepare square images, or leave augmentation out",
        }
    }
}

/// One small task. A class's label is its place in `classes`, from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The classes, no two of them the same folder.
    pub classes: Vec<Drawn>,
    /// The support set that the task is learned from.
    pub support: Images,
    /// The queries that it is tested with.
    pub queries: Images,
    /// Images whose labels are not for the generator to see.
    pub unlabelled: Images,
}

/// A class of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Index into [`Classes::all`].
    pub class: usize,
    /// Quarters by which all its images are rotated, clockwise: 0 to 3; 4 more where they are mirrored then.
    pub turn: u8,
}

/// Images of an episode, class by class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Images {
    /// Normalised inputs `[N, H, W, C]`, which with one channel is also `[N, C, H, W]`; or embeddings `[N, features]`.
    pub values: Vec<f32>,
    /// Label of each.
    pub labels: Vec<usize>,
    /// Index of each into the images of its class.
    pub indices: Vec<usize>,
}

impl Images {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn push(
        &mut self,
        preprocess: &Preprocess,
        content: &Content,
        turn: u8,
        distortion: Option<Distortion>,
    ) {
        let pixels = match content {
            Content::Pixels(pixels) => pixels,
            Content::Embedding { values, .. } => return self.values.extend(values),
        };
        let (side, channels) = (preprocess.height as usize, preprocess.channels.count());
        let mut pixels = turned(pixels, side, channels, turn);
        if let Some(distortion) = distortion {
            pixels = distortion.apply(&pixels, side, channels).into();
        }
        let start = self.values.len();
        self.values.resize(start + preprocess.values(), 0.0);
        preprocess.normalise(&pixels, &mut self.values[start..]);
    }
}

/// What is changed about the images of an episode, so that there are more of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augmentation {
    /// The rotated classes.
    pub turns: Turns,
    /// Whether images are drawings: their classes come mirrored too, and each is distorted a little.
    pub drawings: bool,
}

/// The classes that come rotated by 90, 180 or 270 degrees (Santoro et al. 2016, "Meta-Learning with Memory-Augmented Neural
/// Networks"): each position makes another class of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turns {
    /// None.
    #[default]
    None,
    /// Each on its own; an episode has at most one position of each class.
    Each,
    /// All of an episode alike, since related classes are harder to tell apart.
    Alike,
}

/// Draws episodes. An episode depends on the seed and on its number, on nothing that was drawn before.
#[derive(Clone, Debug)]
pub struct Sampler<'a> {
    classes: &'a Classes,
    setting: Setting,
    augmentation: Augmentation,
    seed: u64,
}

impl<'a> Sampler<'a> {
    /// Draws episodes of `classes`.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn new(
        classes: &'a Classes,
        setting: Setting,
        augmentation: Augmentation,
        seed: u64,
    ) -> Result<Self, EpisodeError> {
        Self::check(classes, setting, augmentation)?;
        Ok(Self {
            classes,
            setting,
            augmentation,
            seed,
        })
    }

    /// Whether `classes` have what every episode needs.
    ///
    /// # Errors
    /// The first that is missing.
    pub fn check(
        classes: &Classes,
        setting: Setting,
        augmentation: Augmentation,
    ) -> Result<(), EpisodeError> {
        if setting.ways == 0 || setting.shots == 0 {
            return Err(EpisodeError::NoTask { setting });
        }
        let found = classes.len();
        if found < setting.ways {
            return Err(EpisodeError::TooFewClasses { setting, found });
        }
        let small = |images: usize| images < setting.images();
        if let Some(class) = classes.all().iter().find(|class| small(class.images.len())) {
            return Err(EpisodeError::TooFewImages {
                setting,
                class: class.name.clone(),
                found: class.images.len(),
            });
        }
        let &Preprocess { height, width, .. } = classes.preprocess();
        let is_changed = augmentation != Augmentation::default();
        if is_changed && classes.are_embedded() {
            return Err(EpisodeError::Embeddings);
        }
        if is_changed && height != width {
            return Err(EpisodeError::NotSquare { height, width });
        }
        Ok(())
    }

    /// The episode of this number.
    pub fn episode(&self, number: u64) -> Episode {
        let mut random = generator(self.seed, Purpose::Episode { number });
        let drawn = sample(&mut random, self.classes.len(), self.setting.ways);
        let mut episode = Episode {
            classes: Vec::with_capacity(self.setting.ways),
            support: Images::default(),
            queries: Images::default(),
            unlabelled: Images::default(),
        };
        let Augmentation { turns, drawings } = self.augmentation;
        let positions = if drawings { TURNS } else { ROTATIONS };
        let mut turn = 0;
        for (label, class) in drawn.into_iter().enumerate() {
            if turns == Turns::Each || (turns == Turns::Alike && label == 0) {
                turn = random.random_range(0..positions);
            }
            self.add(&mut episode, Drawn { class, turn }, &mut random);
        }
        episode
    }

    /// Adds a class with images of which no two are the same.
    fn add(&self, episode: &mut Episode, drawn: Drawn, random: &mut ChaCha8Rng) {
        let label = episode.classes.len();
        episode.classes.push(drawn);
        let images = &self.classes.all()[drawn.class].images;
        let mut indices = sample(random, images.len(), self.setting.images()).into_iter();
        for (part, count) in [
            (&mut episode.support, self.setting.shots),
            (&mut episode.queries, self.setting.queries),
            (&mut episode.unlabelled, self.setting.unlabelled),
        ] {
            for index in indices.by_ref().take(count) {
                part.labels.push(label);
                part.indices.push(index);
                let is_distorted = self.augmentation.drawings;
                part.push(
                    self.classes.preprocess(),
                    &images[index].content,
                    drawn.turn,
                    is_distorted.then(|| Distortion::draw(random)),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::tests::{grey, numbered, numbered_for};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn setting(ways: usize, shots: usize, queries: usize, unlabelled: usize) -> Setting {
        Setting {
            ways,
            shots,
            queries,
            unlabelled,
        }
    }

    fn rotations(is_turned: bool) -> Augmentation {
        Augmentation {
            turns: if is_turned { Turns::Each } else { Turns::None },
            drawings: false,
        }
    }

    proptest! {
        #[test]
        fn no_image_comes_twice_and_labels_name_their_class(
            counts in prop::collection::vec(6u8..12, 1..15),
            ways in 1usize..15,
            (shots, queries, unlabelled) in (1usize..3, 0usize..3, 0usize..3),
            is_turned: bool,
            seed: u64,
        ) {
            let classes = numbered(&counts);
            let setting = setting(ways.min(classes.len()), shots, queries, unlabelled);
            let sampler = Sampler::new(&classes, setting, rotations(is_turned), seed).unwrap();
            for number in 0..10 {
                let episode = sampler.episode(number);
                let drawn: BTreeSet<usize> = episode.classes.iter().map(|d| d.class).collect();
                prop_assert_eq!((drawn.len(), episode.classes.len()), (setting.ways, setting.ways));
                let mut seen = BTreeSet::new();
                for (images, each) in [
                    (&episode.support, shots),
                    (&episode.queries, queries),
                    (&episode.unlabelled, unlabelled),
                ] {
                    let labels: Vec<usize> = (0..setting.ways).flat_map(|way| vec![way; each]).collect();
                    prop_assert_eq!(&images.labels, &labels);
                    prop_assert_eq!(images.values.len(), 4 * labels.len());
                    for (at, pixels) in images.values.chunks(4).enumerate() {
                        let Drawn { class, turn } = episode.classes[labels[at]];
                        let index = images.indices[at];
                        prop_assert!(index < usize::from(counts[class]));
                        prop_assert!(is_turned || turn == 0);
                        // The marked corner goes round clockwise.
                        let corner = [0, 1, 3, 2][usize::from(turn)];
                        let mut expected = [0.0; 4];
                        expected[corner] = (16 * class + index) as f32;
                        prop_assert_eq!(pixels, expected);
                        prop_assert!(seen.insert((class, index)));
                    }
                }
            }
        }
    }

    #[test]
    fn every_class_image_and_rotation_comes_up() {
        let classes = numbered(&[3; 6]);
        let sampler = Sampler::new(&classes, setting(2, 1, 1, 0), rotations(true), 1).unwrap();
        let mut seen = BTreeSet::new();
        for number in 0..2000 {
            let Episode {
                classes, queries, ..
            } = sampler.episode(number);
            let pairs = classes.iter().zip(queries.indices);
            seen.extend(pairs.map(|(drawn, index)| (drawn.class, drawn.turn, index)));
        }
        assert_eq!(seen.len(), 6 * usize::from(ROTATIONS) * 3);
    }

    #[test]
    fn drawings_are_mirrored_and_distorted_and_alike_where_they_are_to_be() {
        let classes = numbered_for(grey(2), &[3; 6]);
        let augmentation = |turns| Augmentation {
            turns,
            drawings: true,
        };
        let sampler =
            |turns| Sampler::new(&classes, setting(3, 1, 1, 0), augmentation(turns), 1).unwrap();
        let turns = |episode: &Episode| -> BTreeSet<u8> {
            episode.classes.iter().map(|drawn| drawn.turn).collect()
        };
        let (each, alike) = (sampler(Turns::Each), sampler(Turns::Alike));
        let all: BTreeSet<u8> = (0..200).flat_map(|n| turns(&each.episode(n))).collect();
        assert_eq!(all, (0..TURNS).collect());
        assert!((0..20).any(|n| turns(&each.episode(n)).len() == 3));
        assert!((0..20).all(|n| turns(&alike.episode(n)).len() == 1));
        assert!((0..20).any(|n| !turns(&alike.episode(n)).contains(&0)));
        let plain = Sampler::new(&classes, setting(3, 1, 1, 0), rotations(false), 1).unwrap();
        let none = sampler(Turns::None);
        assert!((0..5).all(|n| none.episode(n).support != plain.episode(n).support));
        assert_eq!(none.episode(3), none.episode(3));
    }

    #[test]
    fn episodes_are_those_of_the_seed_and_number() {
        let classes = numbered(&[8; 10]);
        let sampler =
            |seed| Sampler::new(&classes, setting(5, 1, 2, 1), rotations(true), seed).unwrap();
        let whole = sampler(7);
        let episodes: Vec<Episode> = (0..20).map(|number| whole.episode(number)).collect();
        assert_eq!(sampler(7).episode(15), episodes[15]);
        assert_ne!(sampler(8).episode(0), episodes[0]);
        assert_ne!(episodes[0], episodes[1]);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let classes = numbered(&[9, 5, 9]);
        let check = |setting| Sampler::new(&classes, setting, rotations(false), 0).map(drop);
        assert_eq!(check(setting(3, 1, 2, 2)), Ok(()));
        let message = |setting| check(setting).unwrap_err().to_string();
        assert_eq!(
            message(setting(4, 1, 1, 0)),
            "4-way 1-shot needs 4 classes: found 3"
        );
        assert!(message(setting(2, 1, 3, 2)).ends_with("needs 6 images: set/01 has 5"));
        assert!(message(setting(2, usize::MAX, 1, 1)).contains("set/00 has 9"));
        for nothing in [setting(0, 1, 1, 0), setting(1, 0, 1, 0)] {
            assert_eq!(
                check(nothing),
                Err(EpisodeError::NoTask { setting: nothing })
            );
        }
        let wide = Preprocess {
            width: 3,
            ..grey(2)
        };
        let wide = numbered_for(wide, &[1]);
        let check =
            |is_turned| Sampler::new(&wide, setting(1, 1, 0, 0), rotations(is_turned), 0).map(drop);
        let (height, width) = (2, 3);
        assert_eq!(check(true), Err(EpisodeError::NotSquare { height, width }));
        assert_eq!(check(false), Ok(()));
    }

    #[test]
    fn settings_are_read_and_written() {
        let setting: Setting = "5x1".parse().unwrap();
        assert_eq!(setting, Setting::new(5, 1));
        assert_eq!(setting.to_string(), "5-way 1-shot");
        for wrong in ["", "5", "x", "5x", "0x1", "5x0", "5x1x1", "-5x1", "5 x 1"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }
}
