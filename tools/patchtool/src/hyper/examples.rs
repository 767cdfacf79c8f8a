//! The examples that a generator learns from.

use super::config::Config;

/// Examples of a few classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examples {
    /// Normalised pixels of each image, row by row.
    pub images: Vec<f32>,
    /// The class of each image, `None` where it is not known.
    pub labels: Vec<Option<usize>>,
    /// Number of classes.
    pub classes: usize,
}

/// Faults of a support set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExamplesError {
    /// Nothing to learn from.
    #[error("the support set has no classes")]
    Empty,
    /// More than the generator knows.
    #[error("the support set has {found} classes, the generator at most {most}")]
    Classes {
        /// In the set.
        found: usize,
        /// That it was trained for.
        most: usize,
    },
    /// A class that does not exist.
    #[error("image {image} is of class {label}, of {classes} classes")]
    Label {
        /// Index of the image.
        image: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A class without an example.
    #[error("class {class} has no labelled image")]
    NoExample {
        /// The class.
        class: usize,
    },
    /// Images of another size.
    #[error("{images} images have {found} values, expected {expected} each")]
    Size {
        /// Number of labels.
        images: usize,
        /// Values of all.
        found: usize,
        /// Values of one.
        expected: usize,
    },
    /// A value that is no number.
    #[error("image {image} has a value that is not finite")]
    NotFinite {
        /// Index of the image.
        image: usize,
    },
}

impl ExamplesError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => "give a folder with one folder of images a class",
            Self::Classes { .. } => "give fewer classes",
            Self::Label { .. } => "number the classes from 0",
            Self::NoExample { .. } => "give at least one image of each class",
            Self::Size { .. } | Self::NotFinite { .. } => {
                "prepare the images as the backbone's input says"
            }
        }
    }
}

impl Examples {
    /// Whether a generator can read it.
    ///
    /// # Errors
    /// Its first fault.
    pub fn check(&self, config: &Config) -> Result<(), ExamplesError> {
        let (images, classes) = (self.labels.len(), self.classes);
        if classes == 0 {
            return Err(ExamplesError::Empty);
        }
        if classes > config.max_ways {
            let (found, most) = (classes, config.max_ways);
            return Err(ExamplesError::Classes { found, most });
        }
        for (image, label) in self.labels.iter().enumerate() {
            if let Some(label) = label.filter(|&label| label >= classes) {
                return Err(ExamplesError::Label {
                    image,
                    label,
                    classes,
                });
            }
        }
        if let Some(class) = (0..classes).find(|&class| !self.labels.contains(&Some(class))) {
            return Err(ExamplesError::NoExample { class });
        }
        let expected = config.target.side.pow(2);
        if self.images.len() != images * expected {
            let found = self.images.len();
            return Err(ExamplesError::Size {
                images,
                found,
                expected,
            });
        }
        match self.images.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(ExamplesError::NotFinite {
                image: at / expected,
            }),
            None => Ok(()),
        }
    }

    /// One-hot rows of the labels; the last of the columns where one is not known.
    pub(super) fn one_hot_labels(&self, config: &Config) -> Vec<f32> {
        let columns = self.labels.iter().map(|l| l.unwrap_or(config.max_ways));
        one_hot(columns, config.max_ways + 1)
    }

    /// One-hot rows of the classes.
    pub(super) fn one_hot_classes(&self, config: &Config) -> Vec<f32> {
        one_hot(0..self.classes, config.max_ways + 1)
    }
}

fn one_hot(ones: impl Iterator<Item = usize>, columns: usize) -> Vec<f32> {
    ones.flat_map(|one| (0..columns).map(move |column| f32::from(column == one)))
        .collect()
}
