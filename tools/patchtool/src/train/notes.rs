//! Notes on the images of a run that its user should know of before the figures are believed.

use graft_data::cache::Cache;
use graft_data::first;

use super::examples::Shared;
use super::sets::HeldOut;

/// How many times as many images the largest class may have as the smallest before that is worth a note.
const IMBALANCE: usize = 10;

/// With fewer validation images an accuracy of 90 % is uncertain by more than 4 points.
const FEW: usize = 50;

/// The sets of a run.
pub(super) struct Notes<'a> {
    /// To train on.
    pub(super) train: &'a Cache,
    /// To choose the best epoch by.
    pub(super) validation: Option<&'a Cache>,
    /// To test with.
    pub(super) test: Option<&'a Cache>,
    /// Images that are in more than one of them.
    pub(super) shared: Shared,
}

impl Notes<'_> {
    /// A batch that the images to train on do not fill.
    pub(super) fn small_batch(&self, batch: usize) -> Option<String> {
        let images = self.train.len();
        (images < batch).then(|| {
            format!(
                "{images} images to train on are fewer than a batch of {batch}: a step takes all of them"
            )
        })
    }

    /// Classes that no validation image is of, where there should be some.
    pub(super) fn unvalidated(&self, wanted: HeldOut<'_>) -> Option<String> {
        let (none, some) = match wanted {
            HeldOut::None => return None,
            HeldOut::Share(_) => (
                "no class has enough images to validate with".into(),
                ", too few to spare one".into(),
            ),
            HeldOut::Path(path) => (
                format!("{} has no image to validate with", path.display()),
                format!(" in {}, so the epoch is chosen without", path.display()),
            ),
        };
        let Some(validation) = self.validation else {
            return Some(format!(
                "{none}: the last epoch is kept, whether it is the best or not"
            ));
        };
        let missing = counted(validation).filter(|(_, images)| *images == 0);
        let missing: Vec<&str> = missing.map(|(class, _)| class).collect();
        (!missing.is_empty())
            .then(|| format!("no image to validate with{some}: {}", first(&missing, 5)))
    }

    /// A share to validate with that is too small to tell epochs apart.
    pub(super) fn few_to_validate(&self, wanted: HeldOut<'_>) -> Option<String> {
        let images = self.validation?.len();
        (matches!(wanted, HeldOut::Share(_)) && images < FEW).then(|| {
            format!(
                "{images} validation images choose the epoch by chance more than by merit (--validation 0 learns from all \
                 images and keeps the last epoch)"
            )
        })
    }

    /// A class that has far fewer images than another.
    pub(super) fn imbalance(&self) -> Option<String> {
        let (most, images) = counted(self.train).max_by_key(|(_, images)| *images)?;
        let (least, few) = counted(self.train).min_by_key(|(_, images)| *images)?;
        (images >= IMBALANCE * few).then(|| {
            format!(
                "to train on there are {images} images of {most} and {few} of {least}: a high accuracy may hide that the \
                 rare classes are not learned (--class-weights balanced lets every class count alike)"
            )
        })
    }

    /// Validation images that are trained on.
    pub(super) fn shared_validation(&self) -> Option<String> {
        shared(
            self.shared.validation,
            self.validation?,
            "validation",
            "trained on",
        )
    }

    /// Test images that are trained on or chose the epoch.
    pub(super) fn shared_test(&self) -> Option<String> {
        shared(
            self.shared.test,
            self.test?,
            "test",
            "trained on or validated with",
        )
    }
}

fn shared(count: usize, set: &Cache, name: &str, elsewhere: &str) -> Option<String> {
    let all = set.len();
    let share = match count {
        0 => return None,
        count if count == all => format!("all {all}"),
        count => format!("{count} of {all}"),
    };
    Some(format!(
        "{share} {name} images are also {elsewhere}: the {name} accuracy is no measure for new images"
    ))
}

/// Every class with its number of images.
fn counted(set: &Cache) -> impl Iterator<Item = (&str, usize)> {
    let mut counts = vec![0; set.classes().len()];
    (0..set.len()).for_each(|image| counts[set.class(image)] += 1);
    set.classes().iter().map(String::as_str).zip(counts)
}
