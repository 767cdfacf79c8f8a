//! Confusion matrices.

mod names;
mod picture;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::report::Table;

/// Counts of images of each class that were classified as each class.
///
/// Only what was seen takes space: a thousand classes cost nothing where ten have images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// By actual and then predicted class.
    counts: BTreeMap<(usize, usize), usize>,
}

impl Confusion {
    /// Most classes that [`Self::table`] shows.
    pub const TABLE_CLASSES: usize = 20;

    /// Counts one image of class `actual`.
    pub fn add(&mut self, actual: usize, predicted: usize) {
        *self.counts.entry((actual, predicted)).or_default() += 1;
    }

    /// Number of images of class `actual` that were classified as `predicted`.
    pub fn count(&self, actual: usize, predicted: usize) -> usize {
        let found = self.counts.get(&(actual, predicted));
        found.copied().unwrap_or_default()
    }

    /// All images.
    pub fn images(&self) -> usize {
        self.counts.values().sum()
    }

    /// Images that were classified right.
    pub fn correct(&self) -> usize {
        let right = self.counts.iter().filter(|((a, p), _)| a == p);
        right.map(|(_, count)| count).sum()
    }

    /// Images of each class that has any, and how many of them were classified right.
    fn recalls(&self) -> BTreeMap<usize, (usize, usize)> {
        let mut recalls = BTreeMap::new();
        for (&(actual, predicted), count) in &self.counts {
            let (right, images) = recalls.entry(actual).or_insert((0, 0));
            *right += if actual == predicted { *count } else { 0 };
            *images += count;
        }
        recalls
    }

    /// Balanced accuracy: the mean over the classes of the share of images that are right, so that every class counts
    /// alike; 0 without any image.
    pub fn balanced_accuracy(&self) -> f64 {
        let recalls = self.recalls();
        let shares = recalls
            .values()
            .map(|&(right, images)| right as f64 / images as f64);
        shares.sum::<f64>() / recalls.len().max(1) as f64
    }

    /// The class with the smallest share of right images, these and all its images: where the share of all images, to
    /// which a class of few images adds little, is better than balanced accuracy by a tenth or more.
    fn hidden_class(&self) -> Option<(usize, usize, usize)> {
        let accuracy = self.correct() as f64 / self.images().max(1) as f64;
        let share = |&(_, right, images): &(usize, usize, usize)| right as f64 / images as f64;
        let classes = self.recalls().into_iter();
        let classes = classes.map(|(class, (right, images))| (class, right, images));
        classes
            .filter(|_| accuracy - self.balanced_accuracy() >= 0.1)
            .min_by(|a, b| share(a).total_cmp(&share(b)))
    }

    /// A line on the worst class and on balanced accuracy, where the accuracy of all images hides it; otherwise nothing.
    pub fn hidden(&self, label: impl Fn(usize) -> String) -> String {
        self.hidden_class().map_or_else(String::new, |(class, right, images)| {
            format!(
                "balanced accuracy {:.2} %: of class {}, {right} of {images} images are right\n",
                100.0 * self.balanced_accuracy(),
                label(class),
            )
        })
    }

    /// The classes that have images or were predicted, in order.
    pub fn classes(&self) -> Vec<usize> {
        let pairs = self.counts.keys();
        let seen: BTreeSet<usize> = pairs.flat_map(|&(a, p)| [a, p]).collect();
        seen.into_iter().collect()
    }

    /// Counts of the classes `classes`: a row for each actual class, a column for each predicted one.
    fn matrix(&self, classes: &[usize]) -> Vec<Vec<usize>> {
        let row = |&actual: &usize| {
            let cells = classes.iter();
            cells
                .map(|&predicted| self.count(actual, predicted))
                .collect()
        };
        classes.iter().map(row).collect()
    }

    /// The matrix for people: a row for each actual class, a column for each predicted one by its number. `None` where
    /// more than [`Self::TABLE_CLASSES`] were seen.
    pub fn table(&self, label: impl Fn(usize) -> String) -> Option<Table> {
        let classes = self.classes();
        if classes.len() > Self::TABLE_CLASSES {
            return None;
        }
        let numbers: Vec<String> = classes.iter().map(ToString::to_string).collect();
        let heads: Vec<&str> = ["actual", "is predicted as"]
            .into_iter()
            .chain(numbers.iter().map(String::as_str))
            .collect();
        let mut table = Table::new(&heads);
        for (&class, row) in classes.iter().zip(self.matrix(&classes)) {
            let counts = row.iter().map(ToString::to_string);
            table.row([class.to_string(), label(class)].into_iter().chain(counts));
        }
        Some(table)
    }

    /// The matrix for scripts: `classes: [{index, label}]`, and `counts` with a row for each actual class and a column
    /// for each predicted one, both in the order of `classes`.
    pub fn json(&self, label: impl Fn(usize) -> String) -> Value {
        let classes = self.classes();
        let named: Vec<Value> = classes
            .iter()
            .map(|&index| json!({ "index": index, "label": label(index) }))
            .collect();
        json!({ "classes": named, "counts": self.matrix(&classes) })
    }
}

/// The class with the highest score: the first of equal ones; `None` where a score is no number.
pub fn predicted(scores: &[f32]) -> Option<usize> {
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    (0..scores.len()).reduce(|best, index| {
        if scores[index] > scores[best] {
            index
        } else {
            best
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(pairs: &[(usize, usize)]) -> Confusion {
        let mut confusion = Confusion::default();
        for &(actual, predicted) in pairs {
            confusion.add(actual, predicted);
        }
        confusion
    }

    #[test]
    fn only_classes_that_were_seen_are_shown() {
        let confusion = counted(&[(3, 3), (3, 900), (3, 3), (7, 3)]);
        assert_eq!((confusion.images(), confusion.correct()), (4, 2));
        assert_eq!(
            confusion.json(|index| format!("c{index}")),
            json!({
                "classes": [{"index": 3, "label": "c3"}, {"index": 7, "label": "c7"}, {"index": 900, "label": "c900"}],
                "counts": [[2, 0, 1], [1, 0, 0], [0, 0, 0]],
            })
        );
        let table = confusion
            .table(|index| format!("c{index}"))
            .unwrap()
            .to_string();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|row| row.split_whitespace().collect())
            .collect();
        assert_eq!(rows[1], ["3", "c3", "2", "0", "1"]);
        let diagonal: Vec<_> = (0..21).map(|class| (class, class)).collect();
        assert!(counted(&diagonal[..20]).table(|_| String::new()).is_some());
        assert!(counted(&diagonal).table(|_| String::new()).is_none());
    }

    #[test]
    fn a_class_of_few_images_counts_as_much_as_one_of_many() {
        let mut pairs = vec![(0, 0); 99];
        pairs.push((2, 0));
        let confusion = counted(&pairs);
        assert_eq!(confusion.balanced_accuracy(), 0.5);
        assert_eq!(confusion.hidden_class(), Some((2, 0, 1)));
        assert_eq!(
            confusion.hidden(|index| format!("c{index}")),
            "balanced accuracy 50.00 %: of class c2, 0 of 1 images are right\n"
        );
        // A third of each class is wrong: nothing is hidden.
        let even = counted(&[(0, 0), (0, 0), (0, 1), (1, 1), (1, 1), (1, 0)]);
        assert!((even.balanced_accuracy() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(even.hidden_class(), None);
        assert_eq!(Confusion::default().balanced_accuracy(), 0.0);
        assert_eq!(Confusion::default().hidden_class(), None);
    }

    proptest! {
        #[test]
        fn the_matrix_has_every_image_once(pairs in prop::collection::vec((0usize..9, 0usize..9), 0..60)) {
            let confusion = counted(&pairs);
            let classes = confusion.classes();
            let sum: usize = confusion.matrix(&classes).iter().flatten().sum();
            prop_assert_eq!((sum, confusion.images()), (pairs.len(), pairs.len()));
            prop_assert_eq!(confusion.correct(), pairs.iter().filter(|(a, p)| a == p).count());
        }
    }

    #[test]
    fn the_first_of_equal_scores_is_predicted() {
        assert_eq!(predicted(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(predicted(&[f32::NEG_INFINITY]), Some(0));
        assert_eq!(predicted(&[1.0, f32::NAN]), None);
        assert_eq!(predicted(&[]), None);
    }
}
