//! The images of a run: found, divided, decoded, and for `head` turned into embeddings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use graft_patches::Digest;
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch};

use super::evaluate::embeddings;
use super::examples::{Embeddings, Examples, Shared, Training, Validation};
use super::notes::Notes;
use crate::bar;
use crate::trained::{ClassWeights, Trained};
use crate::watch::Watch;
use graft_data::augment::Augment;
use graft_data::cache::{Cache, CacheError, Unreadable};
use graft_data::dataset::Dataset;
use graft_data::evaluation_set::EvaluationSet;
use graft_data::left_out::{Kind, LeftOut};
use graft_data::preprocess::Preprocess;
use graft_data::split::{self, Split, check_classes, match_classes};
use graft_data::training_set::TrainingSet;

/// A choice of images, for one input.
pub struct Request<'a> {
    /// To train on, and what is held out by a share.
    pub data: &'a Path,
    /// To choose the best epoch by.
    pub validation: HeldOut<'a>,
    /// To test with.
    pub test: HeldOut<'a>,
    /// Largest number of images to train on and to validate with.
    pub limit: Option<usize>,
    /// Of every choice among them.
    pub seed: u64,
    /// Images of a step.
    pub batch: usize,
    /// Weights of the classes in the loss.
    pub class_weights: ClassWeights,
    /// Preprocessing of the images.
    pub preprocess: &'a Preprocess,
    /// Who follows the decoding.
    pub watch: Watch,
    /// Folder where decoded images are kept between runs.
    pub cache: Option<PathBuf>,
}

/// The images of a set that is not trained on.
#[derive(Clone, Copy, Debug)]
pub enum HeldOut<'a> {
    /// No such set.
    None,
    /// A share of every class of the data, above 0 and below 1.
    Share(f64),
    /// A data set of its own.
    Path(&'a Path),
}

/// Images of a data set.
struct Part {
    /// `None` for the data that are trained on.
    own: Option<Dataset>,
    indices: Vec<usize>,
}

/// Decoded images to train on, to validate and to test with.
pub struct Sets {
    train: Train,
    validation: Option<EvaluationSet>,
    test: Option<EvaluationSet>,
    class_weights: ClassWeights,
    shared: Shared,
    left_out: LeftOut,
    watch: Watch,
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
        train: impl Fn(&Dataset, &[usize], &mut dyn FnMut(usize) -> bool) -> Result<Train>,
    ) -> Result<Sets> {
        let dataset = Dataset::open(self.data)?;
        dataset.check_empty()?;
        check_classes(dataset.classes())?;
        let (chosen, [validation, test]) = self.divide(&dataset)?;
        let others = [&validation, &test].map(|part| part.own.as_ref());
        let mut left_out = dataset.left_out().clone();
        for other in others.into_iter().flatten() {
            left_out.extend(other.left_out().clone());
        }
        let held_out = validation.indices.len() + test.indices.len();
        let bar = bar::images(chosen.len() + held_out, &self.watch);
        let mut told = Ok(());
        let train = train(&dataset, &chosen, &mut |count| {
            told = bar.set_position(count);
            told.is_ok()
        });
        // What has stopped it says more than that it was.
        told?;
        let train = train?;
        let mut before = train.cache().len();
        let mut open = |part: Part| -> Result<Option<EvaluationSet>> {
            if part.indices.is_empty() {
                return Ok(None);
            }
            let dataset = part.own.as_ref().unwrap_or(&dataset);
            let mut told = Ok(());
            let set = self.inputs(dataset, &part.indices, &mut |count| {
                told = bar.set_position(before + count);
                told.is_ok()
            });
            told?;
            let set = set?;
            before += set.len();
            Ok(Some(set))
        };
        let (validation, test) = (open(validation)?, open(test)?);
        bar.finish_and_clear();
        let shared = Shared::of(train.cache(), validation.as_deref(), test.as_deref());
        let mut sets = Sets {
            shared,
            left_out,
            train,
            validation,
            test,
            class_weights: self.class_weights,
            watch: self.watch.clone(),
        };
        for Unreadable { name, .. } in sets.unreadable() {
            sets.left_out.add(Kind::Unreadable, name);
        }
        sets.train.check_classes()?;
        self.notes(&sets);
        Ok(sets)
    }

    /// The images to train on, and those to validate and to test with.
    fn divide(&self, dataset: &Dataset) -> Result<(Vec<usize>, [Part; 2])> {
        let labels: Vec<usize> = dataset.items().iter().map(|item| item.class).collect();
        let all = (0..dataset.len()).collect();
        let apart = |path: &Path, purpose| -> Result<Part> {
            let mut own = Dataset::open(path)?;
            match_classes(&mut own, dataset.classes(), purpose)?;
            let indices = (0..own.len()).collect();
            let own = Some(own);
            Ok(Part { own, indices })
        };
        let of_the_data = |indices| Part { own: None, indices };
        let (rest, test) = match self.test {
            HeldOut::None => (all, of_the_data(Vec::new())),
            HeldOut::Path(path) => (all, apart(path, "test")?),
            HeldOut::Share(share) => {
                let split = Split::new(&labels, dataset.classes(), share, self.seed)?;
                (split.train, of_the_data(split.held_back))
            }
        };
        let rest = match self.limit {
            Some(count) => split::limit(&rest, &labels, count, self.seed),
            None => rest,
        };
        let (chosen, validation) = match self.validation {
            HeldOut::None => (rest, of_the_data(Vec::new())),
            HeldOut::Path(path) => (rest, apart(path, "validation")?),
            HeldOut::Share(share) => {
                let split = Split::validation(&rest, &labels, share, self.seed);
                (split.train, of_the_data(split.held_back))
            }
        };
        Ok((chosen, [validation, test]))
    }

    fn inputs(
        &self,
        dataset: &Dataset,
        indices: &[usize],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<EvaluationSet> {
        Ok(EvaluationSet::open(
            dataset,
            indices,
            self.preprocess,
            self.cache.as_deref(),
            progress,
        )?)
    }

    /// Tells what is odd about the images.
    fn notes(&self, sets: &Sets) {
        let notes = Notes {
            train: sets.train.cache(),
            validation: sets.validation.as_deref(),
            test: sets.test.as_deref(),
            shared: sets.shared,
        };
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
        let notes = [
            notes.small_batch(self.batch),
            notes.unvalidated(self.validation),
            notes.few_to_validate(self.validation),
            notes
                .imbalance()
                .filter(|_| self.class_weights == ClassWeights::None),
            notes.shared_validation(),
            notes.shared_test(),
        ];
        for note in notes.iter().flatten() {
            tracing::warn!("{note}");
        }
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

    /// Class names.
    pub fn classes(&self) -> &[String] {
        self.train.cache().classes()
    }

    /// Images that choose the best epoch; none without a validation set.
    pub fn validation_images(&self) -> usize {
        self.validation.as_ref().map_or(0, |set| set.len())
    }

    /// Images to test with; none without a test set.
    pub fn test_images(&self) -> usize {
        self.test.as_ref().map_or(0, |set| set.len())
    }

    fn held_out(&self) -> [Option<&Cache>; 2] {
        [self.validation.as_deref(), self.test.as_deref()]
    }

    /// Images that are in no set.
    fn unreadable(&self) -> Vec<Unreadable> {
        let held_out = self.held_out().into_iter().flatten();
        let sets = std::iter::once(self.train.cache()).chain(held_out);
        sets.flat_map(|set| set.unreadable().to_vec()).collect()
    }

    /// Of all pixels and classes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.digests().concat().as_bytes())
    }

    /// Of the training, the validation and the test images.
    pub fn digests(&self) -> [&str; 3] {
        let [validation, test] = self.held_out().map(|set| set.map_or("none", Cache::digest));
        [self.train.cache().digest(), validation, test]
    }

    /// The weight of each class in the loss; `None` where all weigh the same.
    pub fn class_weights(&self) -> Option<Vec<f32>> {
        self.weights(self.train.cache())
    }

    fn weights(&self, set: &Cache) -> Option<Vec<f32>> {
        let labels = (0..set.len()).map(|image| set.class(image));
        self.class_weights.of(labels, set.classes().len())
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
        let weights = self.validation.as_ref().and_then(|set| self.weights(set));
        let embed = |set: &EvaluationSet| -> Result<Embeddings> {
            let bytes = template.compile(&backbone.image(), Dtype::F32)?;
            let patch = Patch::from_bytes(&bytes, backbone)?;
            Ok(Embeddings {
                values: embeddings(backbone, &patch, set, &self.watch)?,
                classes: (0..set.len()).map(|image| set.class(image)).collect(),
            })
        };
        let (training, validated) = match self.train {
            Train::Images(images) => {
                let training = Training::Images {
                    images: Arc::new(images),
                    augment,
                    preprocess,
                };
                (training, None)
            }
            Train::Inputs(inputs) => {
                let validated = self.validation.as_ref().map(embed).transpose()?;
                (Training::Embeddings(embed(&inputs)?), validated)
            }
        };
        let validation = self.validation.map(|images| Validation {
            images,
            embeddings: validated,
            weights,
        });
        Ok(Examples {
            training,
            validation,
            test: self.test,
            left_out: self.left_out,
            shared: self.shared,
        })
    }
}
