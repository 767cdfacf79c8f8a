//! The images of a run: found, divided, decoded, and for `head` turned into embeddings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use graft_patches::Digest;
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch};

use super::evaluate::embeddings;
use super::examples::{Embeddings, Examples, Training};
use crate::bar;
use crate::trained::Trained;
use graft_data::augment::Augment;
use graft_data::cache::{Cache, CacheError, Unreadable};
use graft_data::dataset::Dataset;
use graft_data::evaluation_set::EvaluationSet;
use graft_data::preprocess::Preprocess;
use graft_data::split::{self, Split, check_batch, check_classes, match_classes};
use graft_data::training_set::TrainingSet;

/// A choice of images, for one input.
pub struct Request<'a> {
    /// To train on.
    pub data: &'a Path,
    /// To test with; otherwise a part of `data`.
    pub test: Option<&'a Path>,
    /// Share of each class that is tested on.
    pub split: f64,
    /// Largest number of images to train on.
    pub limit: Option<usize>,
    /// Of every choice among them.
    pub seed: u64,
    /// Images of a step.
    pub batch: usize,
    /// Preprocessing of the images.
    pub preprocess: &'a Preprocess,
    /// No progress bar.
    pub is_quiet: bool,
    /// Folder where decoded images are kept between runs.
    pub cache: Option<PathBuf>,
}

/// Decoded images to train on and to test with.
pub struct Sets {
    train: Train,
    /// To test with.
    pub test: EvaluationSet,
}

enum Train {
    /// To be augmented.
    Images(TrainingSet),
    /// To be seen as they are.
    Inputs(EvaluationSet),
}

impl Request<'_> {
    /// Images that are augmented.
    ///
    /// # Errors
    /// Data that cannot be trained on.
    pub fn open_images(&self) -> Result<Sets> {
        self.open(|dataset, indices, progress| {
            Ok(Train::Images(TrainingSet::open(
                dataset,
                indices,
                self.preprocess,
                self.cache.as_deref(),
                progress,
            )?))
        })
    }

    /// Images that are seen as they are.
    ///
    /// # Errors
    /// Data that cannot be trained on.
    pub fn open_inputs(&self) -> Result<Sets> {
        self.open(|dataset, indices, progress| {
            Ok(Train::Inputs(self.inputs(dataset, indices, progress)?))
        })
    }

    fn open(
        &self,
        train: impl Fn(&Dataset, &[usize], &mut dyn FnMut(usize)) -> Result<Train>,
    ) -> Result<Sets> {
        let dataset = Dataset::open(self.data)?;
        check_classes(dataset.classes())?;
        let labels: Vec<usize> = dataset.items().iter().map(|item| item.class).collect();
        let (split, test) = match self.test {
            None => (
                Split::new(&labels, dataset.classes(), self.split, self.seed)?,
                None,
            ),
            Some(path) => {
                let mut test = Dataset::open(path)?;
                match_classes(&mut test, dataset.classes())?;
                let split = Split {
                    train: (0..dataset.len()).collect(),
                    test: (0..test.len()).collect(),
                };
                (split, Some(test))
            }
        };
        let chosen = match self.limit {
            Some(count) => split::limit(&split.train, &labels, count, self.seed),
            None => split.train,
        };
        check_batch(chosen.len(), self.batch)?;
        let bar = bar::images(chosen.len() + split.test.len(), self.is_quiet);
        let train = train(&dataset, &chosen, &mut |count| {
            bar.set_position(count as u64)
        })?;
        let before = train.cache().len();
        let test = test.as_ref().unwrap_or(&dataset);
        let test = self.inputs(test, &split.test, &mut |count| {
            bar.set_position((before + count) as u64)
        })?;
        bar.finish_and_clear();
        let sets = Sets { train, test };
        let unreadable = sets.unreadable();
        for unreadable in &unreadable {
            tracing::warn!("left out: {}", unreadable.reason);
        }
        if !unreadable.is_empty() {
            tracing::warn!(
                "{} images cannot be read and are left out",
                unreadable.len()
            );
        }
        sets.train.check_classes()?;
        check_batch(sets.len(), self.batch)?;
        Ok(sets)
    }

    fn inputs(
        &self,
        dataset: &Dataset,
        indices: &[usize],
        progress: &mut dyn FnMut(usize),
    ) -> Result<EvaluationSet> {
        Ok(EvaluationSet::open(
            dataset,
            indices,
            self.preprocess,
            self.cache.as_deref(),
            progress,
        )?)
    }
}

impl Train {
    /// Whether there is something to learn of every class.
    fn check_classes(&self) -> Result<(), CacheError> {
        let cache = self.cache();
        let present: BTreeSet<usize> = (0..cache.len()).map(|image| cache.class(image)).collect();
        let classes = cache.classes().iter().enumerate();
        let missing: Vec<String> = classes
            .filter(|(class, _)| !present.contains(class))
            .map(|(_, name)| name.clone())
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(CacheError::EmptyClasses { classes: missing })
        }
    }

    fn cache(&self) -> &Cache {
        match self {
            Self::Images(set) => set,
            Self::Inputs(set) => set,
        }
    }
}

impl Sets {
    /// Images to train on.
    pub fn len(&self) -> usize {
        self.train.cache().len()
    }

    /// Never true: such a set does not open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Images that are in neither set.
    fn unreadable(&self) -> Vec<Unreadable> {
        [self.train.cache().unreadable(), self.test.unreadable()].concat()
    }

    /// Of all pixels and classes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.digests().concat().as_bytes())
    }

    /// Of the training and of the test images.
    pub fn digests(&self) -> [&str; 2] {
        [self.train.cache().digest(), self.test.digest()]
    }

    /// The examples of a run: images, or their embeddings.
    ///
    /// # Errors
    /// A backbone that the runtime cannot run.
    pub fn examples(
        self,
        backbone: &Backbone,
        template: &Trained,
        augment: Augment,
        preprocess: Preprocess,
    ) -> Result<Examples> {
        let unreadable = self.unreadable().len();
        let Self { train, test } = self;
        let training = match train {
            Train::Images(images) => Training::Images {
                images: Arc::new(images),
                augment,
                preprocess,
            },
            Train::Inputs(inputs) => {
                let bytes = template.compile(&backbone.image(), Dtype::F32)?;
                let patch = Patch::from_bytes(&bytes, backbone)?;
                let embed = |set: &EvaluationSet| -> Result<Embeddings> {
                    Ok(Embeddings {
                        values: embeddings(backbone, &patch, set)?,
                        classes: (0..set.len()).map(|image| set.class(image)).collect(),
                    })
                };
                Training::Embeddings {
                    train: embed(&inputs)?,
                    test: embed(&test)?,
                }
            }
        };
        Ok(Examples {
            training,
            test,
            unreadable,
        })
    }
}
