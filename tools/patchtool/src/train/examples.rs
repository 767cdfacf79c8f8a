//! Examples that a run trains on, chooses its best epoch by and is tested with.

use std::ops::Range;
use std::sync::Arc;

use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch};

use super::evaluate::{Evaluation, evaluate, judge, scores};
use super::history::Score;
use super::learner::Learner;
use super::run::TrainError;
use crate::confidence::Scored;
use crate::trained::Trained;
use graft_data::augment::{Augment, Augmenter};
use graft_data::batches::{self, Batches, epoch_order, ranges};
use graft_data::cache::Cache;
use graft_data::evaluation_set::EvaluationSet;
use graft_data::left_out::LeftOut;
use graft_data::preprocess::Preprocess;
use graft_data::training_set::TrainingSet;

/// Training, validation and test examples.
pub struct Examples {
    /// Examples to learn from.
    pub training: Training,
    /// To choose the best epoch by; without them it is the last.
    pub validation: Option<Validation>,
    /// To test with, once, at the end.
    pub test: Option<EvaluationSet>,
    /// Files of the data that are in none of them.
    pub left_out: LeftOut,
    /// Images that are in more than one set.
    pub shared: Shared,
}

/// Examples to choose the best epoch by.
pub struct Validation {
    /// Their images.
    pub images: EvaluationSet,
    /// Embeddings of the images, where those are what is learned from.
    pub embeddings: Option<Embeddings>,
    /// The weight of each class; `None` where all weigh the same.
    pub weights: Option<Vec<f32>>,
}

/// Numbers of images, by their pixels, that are where they should not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Validation images that are trained on.
    pub validation: usize,
    /// Test images that are trained on or chose the best epoch.
    pub test: usize,
}

impl Shared {
    /// Counts them.
    pub fn of(train: &Cache, validation: Option<&Cache>, test: Option<&Cache>) -> Self {
        let before_test: Vec<&Cache> = [train].into_iter().chain(validation).collect();
        Self {
            validation: validation.map_or(0, |set| set.shared_with(&[train])),
            test: test.map_or(0, |set| set.shared_with(&before_test)),
        }
    }
}

/// Examples to learn from.
pub enum Training {
    /// Images, another part of each in every epoch.
    Images {
        /// Decoded.
        images: Arc<TrainingSet>,
        /// Augmentation of the images.
        augment: Augment,
        /// Preprocessing of the images.
        preprocess: Preprocess,
    },
    /// Embeddings of images, which are inputs of the last layer, computed once: all that `head` needs.
    Embeddings(Embeddings),
}

/// Embeddings of some images: the inputs of the last layer.
pub struct Embeddings {
    /// One after the other.
    pub values: Vec<f32>,
    /// The class of each.
    pub classes: Vec<usize>,
}

/// Some training examples.
pub enum Batch {
    /// Images.
    Images(batches::Batch),
    /// Embeddings, and the class of each.
    Embeddings(Vec<f32>, Vec<usize>),
}

impl Batch {
    /// What goes into the network, one example after the other.
    pub fn inputs(&self) -> &[f32] {
        match self {
            Self::Images(batch) => &batch.inputs,
            Self::Embeddings(inputs, _) => inputs,
        }
    }

    /// The class of each.
    pub fn classes(&self) -> &[usize] {
        match self {
            Self::Images(batch) => &batch.labels,
            Self::Embeddings(_, classes) => classes,
        }
    }
}

impl Examples {
    /// Number of training examples.
    pub fn count(&self) -> usize {
        match &self.training {
            Training::Images { images, .. } => images.len(),
            Training::Embeddings(train) => train.classes.len(),
        }
    }

    /// Steps of an epoch.
    pub fn steps(&self, batch: usize) -> usize {
        batches::steps(self.count(), batch)
    }

    /// Calls `each` on the batches of these steps of an epoch, as far as there are, until it fails.
    pub fn for_each(
        &self,
        order: (u64, usize),
        (batch, steps): (usize, Range<usize>),
        mut each: impl FnMut(&[f32], &[usize]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let mut batches = self.batches(order, (batch, steps.start))?.take(steps.len());
        batches.try_for_each(|batch| each(batch.inputs(), batch.classes()))
    }

    /// The batches of an epoch of this seed, from a step on.
    pub fn batches(
        &self,
        (seed, epoch): (u64, usize),
        (batch, first): (usize, usize),
    ) -> Result<Box<dyn Iterator<Item = Batch> + '_>, TrainError> {
        let epoch = epoch as u32;
        Ok(match &self.training {
            Training::Images {
                images,
                augment,
                preprocess,
            } => {
                let augmenter = Augmenter::new(*augment, preprocess.clone());
                let batches =
                    Batches::start(images.clone(), augmenter, batch, (seed, epoch), first);
                Box::new(batches.map_err(TrainError::Thread)?.map(Batch::Images))
            }
            Training::Embeddings(train) => {
                let order = epoch_order(seed, epoch, self.count());
                let len = train.values.len() / self.count();
                let ranges = ranges(order.len(), batch).skip(first);
                Box::new(ranges.map(move |range| {
                    let chosen = &order[range];
                    let inputs = chosen
                        .iter()
                        .flat_map(|&image| &train.values[image * len..][..len]);
                    let classes = chosen.iter().map(|&image| train.classes[image]);
                    Batch::Embeddings(inputs.copied().collect(), classes.collect())
                }))
            }
        })
    }

    /// Score of a learner, whose values are in `trained`, on the validation examples, if there are any.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn validate(
        &self,
        backbone: &Backbone,
        learner: &mut Learner,
        trained: &Trained,
    ) -> Result<Option<Score>, TrainError> {
        let Some(validation) = &self.validation else {
            return Ok(None);
        };
        let weights = validation.weights.as_deref();
        let evaluation = match &validation.embeddings {
            None => evaluate(backbone, trained, &validation.images, weights)?,
            Some(Embeddings { values, classes }) => judge(learner.scores(values), classes, weights),
        };
        Ok(Some(evaluation.score))
    }

    /// The temperature of trained values, by the validation images.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn temperature(
        &self,
        backbone: &Backbone,
        trained: &Trained,
    ) -> Result<Option<f32>, TrainError> {
        let Some(validation) = &self.validation else {
            return Ok(None);
        };
        let images = &validation.images;
        let patch = trained.compile(&backbone.image(), Dtype::F32)?;
        let scores = scores(backbone, &Patch::from_bytes(&patch, backbone)?, images)?;
        let targets = (0..images.len()).map(|image| images.class(image));
        Ok(Scored::new(scores, targets.collect()).temperature())
    }

    /// Evaluation of trained values on the test images, or where there are none on the validation images, where every
    /// image counts alike.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn test(
        &self,
        backbone: &Backbone,
        trained: &Trained,
    ) -> Result<Option<Evaluation>, TrainError> {
        let validation = self
            .validation
            .as_ref()
            .map(|validation| &validation.images);
        let set = self.test.as_ref().or(validation);
        set.map(|set| evaluate(backbone, trained, set, None))
            .transpose()
    }
}
