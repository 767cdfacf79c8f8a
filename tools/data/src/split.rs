//! Split of images into those to train on and those that are held back, to validate or to test with.
//!
//! Every choice is made class by class, so that each class keeps its share, and depends on the seed alone.

use rand::seq::SliceRandom as _;

use super::dataset::Dataset;
use super::listed;
use super::random::{Purpose, generator};

/// Images to train on and images that are held back, as ascending indices into [`Dataset::items`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// To train on.
    pub train: Vec<usize>,
    /// To test or to validate with.
    pub held_back: Vec<usize>,
}

/// Reasons why a data set cannot be trained on as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Nothing to tell apart.
    #[error("all images are of one class: {class}")]
    OneClass {
        /// Its name.
        class: String,
    },
    /// A share that leaves nothing on one side.
    #[error("a share of {found} cannot be held back: expected more than 0 and less than 1")]
    BadFraction {
        /// The value that was asked for.
        found: f64,
    },
    /// No class can spare an image.
    #[error("every class has a single image: nothing is left to test with")]
    NothingToTest,
    /// Another set shows what the training set does not.
    #[error(
        "the {set} set has classes that the training set lacks: {} (the training set has {})",
        listed(unknown),
        listed(known)
    )]
    UnknownClasses {
        /// The use of the set: test or validation.
        set: &'static str,
        /// Class folders of that set only.
        unknown: Vec<String>,
        /// Class folders of the training set.
        known: Vec<String>,
    },
}

impl SplitError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OneClass { .. } => {
                "add a folder with images of something else: a network learns to tell classes apart"
            }
            Self::BadFraction { .. } => "give a share such as --split 0.2",
            Self::NothingToTest => "add images, or name a test set with --test",
            Self::UnknownClasses { .. } => {
                "name the class folders of both sets alike; the other set may lack some"
            }
        }
    }
}

impl Split {
    /// Holds back `fraction` of every class, rounded; of two or more images at least one goes to each side.
    ///
    /// `labels` has the class of every image, `classes` the names.
    ///
    /// # Errors
    /// A single class, a fraction outside 0 to 1, or not one image to hold back.
    pub fn new(
        labels: &[usize],
        classes: &[String],
        fraction: f64,
        seed: u64,
    ) -> Result<Self, SplitError> {
        check_classes(classes)?;
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(SplitError::BadFraction { found: fraction });
        }
        let all: Vec<usize> = (0..labels.len()).collect();
        let split = Self::of(&all, labels, (seed, Purpose::Split), |images| {
            let wanted = (images as f64 * fraction).round() as usize;
            wanted.max(1).min(images - 1)
        });
        match split.held_back.is_empty() {
            true => Err(SplitError::NothingToTest),
            false => Ok(split),
        }
    }

    /// Holds back `share` of every class of the images `indices` to validate with, rounded, but never all of a class. A
    /// class that is too small for one image stays whole: to train on it matters more.
    pub fn validation(indices: &[usize], labels: &[usize], share: f64, seed: u64) -> Self {
        Self::of(indices, labels, (seed, Purpose::Validation), |images| {
            ((images as f64 * share).round() as usize).min(images - 1)
        })
    }

    /// Holds back as many images of each class as `count` says of its number of images.
    fn of(
        indices: &[usize],
        labels: &[usize],
        (seed, purpose): (u64, Purpose),
        count: impl Fn(usize) -> usize,
    ) -> Self {
        let (mut train, mut held_back) = (Vec::new(), Vec::new());
        for members in shuffled_classes(indices, labels, seed, purpose) {
            let (held, kept) = members.split_at(count(members.len()));
            held_back.extend_from_slice(held);
            train.extend_from_slice(kept);
        }
        train.sort_unstable();
        held_back.sort_unstable();
        Self { train, held_back }
    }
}

/// A selection of `count` of the images `indices` in which every class keeps its share, ascending.
///
/// Every class keeps at least one image, even if that makes more than `count`. Of two counts the smaller selects a
/// part of what the larger does.
pub fn limit(indices: &[usize], labels: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let mut ranked = Vec::with_capacity(indices.len());
    let classes = shuffled_classes(indices, labels, seed, Purpose::Limit);
    for members in &classes {
        let spread = |rank: usize| match rank {
            0 => 0.0,
            _ => (rank as f64 + 0.5) / members.len() as f64,
        };
        ranked.extend((0..members.len()).map(|rank| (spread(rank), members[rank])));
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    ranked.truncate(count.max(classes.len()));
    let mut kept: Vec<usize> = ranked.into_iter().map(|(_, index)| index).collect();
    kept.sort_unstable();
    kept
}

/// Whether there are two classes to tell apart.
///
/// # Errors
/// There is only one.
pub fn check_classes(classes: &[String]) -> Result<(), SplitError> {
    match classes {
        [class] => Err(SplitError::OneClass {
            class: class.clone(),
        }),
        _ => Ok(()),
    }
}

/// Makes the images of another set, which is there for `purpose` (test or validation), refer to the classes of the
/// training set, by the names of the folders.
///
/// # Errors
/// Class folders that the training set does not have. The other set may lack some.
pub fn match_classes(
    other: &mut Dataset,
    classes: &[String],
    purpose: &'static str,
) -> Result<(), SplitError> {
    let place = |name: &String| classes.iter().position(|class| class == name);
    let found: Vec<Option<usize>> = other.classes().iter().map(place).collect();
    let Some(indices) = found.iter().copied().collect::<Option<Vec<usize>>>() else {
        let names = other.classes().iter().zip(&found);
        let unknown = names.filter(|(_, found)| found.is_none());
        return Err(SplitError::UnknownClasses {
            set: purpose,
            unknown: unknown.map(|(name, _)| name.clone()).collect(),
            known: classes.to_vec(),
        });
    };
    other.renumber(&indices, classes);
    Ok(())
}

/// The images of each class that has any, each class in a random order.
fn shuffled_classes(
    indices: &[usize],
    labels: &[usize],
    seed: u64,
    purpose: Purpose,
) -> Vec<Vec<usize>> {
    let count = indices.iter().map(|&index| labels[index] + 1).max();
    let mut classes = vec![Vec::new(); count.unwrap_or(0)];
    for &index in indices {
        classes[labels[index]].push(index);
    }
    classes.retain(|members| !members.is_empty());
    let mut generator = generator(seed, purpose);
    for members in &mut classes {
        members.shuffle(&mut generator);
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("class{class}")).collect()
    }

    fn count(of: &[usize], labels: &[usize], class: usize) -> usize {
        of.iter().filter(|&&index| labels[index] == class).count()
    }

    proptest! {
        #[test]
        fn every_image_is_on_one_side_and_every_class_on_both(
            labels in prop::collection::vec(0..4usize, 1..200), fraction in 0.01..0.99f64, seed: u64,
        ) {
            let Ok(split) = Split::new(&labels, &names(4), fraction, seed) else {
                prop_assert!((0..4).all(|class| labels.iter().filter(|&&l| l == class).count() < 2));
                return Ok(());
            };
            let mut all = [split.train.clone(), split.held_back.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            for class in 0..4 {
                let (train, test) = (count(&split.train, &labels, class), count(&split.held_back, &labels, class));
                let exact = (train + test) as f64 * fraction;
                prop_assert!(train + test < 2 || (train > 0 && test > 0));
                prop_assert!(train + test < 2 || (test as f64 - exact).abs() <= 1.0);
                prop_assert!(train + test != 1 || train == 1);
            }
            prop_assert_eq!(&Split::new(&labels, &names(4), fraction, seed).unwrap(), &split);
        }

        #[test]
        fn a_selection_keeps_the_shares_and_grows(
            labels in prop::collection::vec(0..4usize, 1..200), wanted in 0..220usize, seed: u64,
        ) {
            let all: Vec<usize> = (0..labels.len()).collect();
            let kept = limit(&all, &labels, wanted, seed);
            let present = (0..4).filter(|&class| labels.contains(&class)).count();
            prop_assert_eq!(kept.len(), wanted.clamp(present, labels.len()));
            prop_assert!(kept.is_sorted());
            for class in (0..4).filter(|class| labels.contains(class)) {
                let share = count(&all, &labels, class) as f64 / labels.len() as f64;
                let found = count(&kept, &labels, class);
                prop_assert!(found > 0);
                prop_assert!((found as f64 - share * kept.len() as f64).abs() <= 4.0);
            }
            let more = limit(&all, &labels, wanted + 10, seed);
            prop_assert!(kept.iter().all(|index| more.contains(index)));
        }
    }

    #[test]
    fn validation_takes_its_share_of_every_class_that_can_spare_it() {
        // 40 images, 4, 5, 1 and none.
        let labels: Vec<usize> = [(0, 40), (1, 4), (2, 5), (3, 1)]
            .into_iter()
            .flat_map(|(class, images)| vec![class; images])
            .collect();
        let chosen: Vec<usize> = (0..labels.len()).filter(|index| *index != 7).collect();
        let held = |share, seed| Split::validation(&chosen, &labels, share, seed).held_back;
        let counts = |share| [0, 1, 2, 3].map(|class| count(&held(share, 1), &labels, class));
        assert_eq!(counts(0.1), [4, 0, 1, 0]);
        assert_eq!(counts(0.5), [20, 2, 3, 0]);
        assert_eq!(counts(0.99), [38, 3, 4, 0]);
        assert_eq!(counts(0.0), [0; 4]);
        assert_eq!(held(0.5, 1), held(0.5, 1));
        assert_ne!(held(0.5, 1), held(0.5, 2));
        let split = Split::validation(&chosen, &labels, 0.3, 1);
        let mut all = [split.train, split.held_back].concat();
        all.sort_unstable();
        assert_eq!(all, chosen);
    }

    #[test]
    fn the_seed_decides() {
        let labels: Vec<usize> = (0..100).map(|index| index % 2).collect();
        let split = |seed| Split::new(&labels, &names(2), 0.2, seed).unwrap();
        assert_ne!(split(1), split(2));
        assert_eq!(split(1).held_back.len(), 20);
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        let refused = |labels: &[usize], classes, fraction| {
            let error = Split::new(labels, &names(classes), fraction, 1).unwrap_err();
            assert!(!error.hint().is_empty());
            error
        };
        assert!(matches!(
            refused(&[0, 0], 1, 0.5),
            SplitError::OneClass { class } if class == "class0"
        ));
        for fraction in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                refused(&[0, 1], 2, fraction),
                SplitError::BadFraction { .. }
            ));
        }
        assert!(matches!(
            refused(&[0, 1], 2, 0.5),
            SplitError::NothingToTest
        ));
    }

    #[test]
    fn a_test_set_takes_over_the_classes_of_the_training_set() {
        let folder = tempfile::tempdir().unwrap();
        for class in ["b", "d"] {
            std::fs::create_dir(folder.path().join(class)).unwrap();
            std::fs::write(folder.path().join(class).join("1.png"), "").unwrap();
        }
        let known = |classes: &[&str]| -> Vec<String> {
            classes.iter().map(|&class| class.to_owned()).collect()
        };
        let mut test = Dataset::open(folder.path()).unwrap();
        match_classes(&mut test, &known(&["a", "b", "c", "d"]), "test").unwrap();
        assert_eq!(test.classes().len(), 4);
        let found: Vec<_> = test.items().iter().map(|item| item.class).collect();
        assert_eq!(found, [1, 3]);
        let error = match_classes(&mut test, &known(&["a", "d"]), "validation").unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("the validation set") && error.contains("lacks: b, c"),
            "{error}"
        );
    }
}
