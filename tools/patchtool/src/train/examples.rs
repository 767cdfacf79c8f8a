//! Examples that a run trains on and is tested with.

use std::sync::Arc;

use graft_runtime::Backbone;

use super::evaluate::{Evaluation, evaluate, judge};
use super::learner::Learner;
use super::run::TrainError;
use crate::trained::Trained;
use graft_data::augment::{Augment, Augmenter};
use graft_data::batches::{self, Batches, epoch_order, ranges};
use graft_data::evaluation_set::EvaluationSet;
use graft_data::preprocess::Preprocess;
use graft_data::training_set::TrainingSet;

/// Training and test examples.
pub struct Examples {
    /// Examples to learn from.
    pub training: Training,
    /// To test with.
    pub test: EvaluationSet,
    /// Number of images that could not be read, and are in neither.
    pub unreadable: usize,
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
    Embeddings {
        /// Of the training images.
        train: Embeddings,
        /// Of the test images.
        test: Embeddings,
    },
}

/// Embeddings of some images: the inputs of the last layer.
pub struct Embeddings {
    /// One after the other.
    pub values: Vec<f32>,
    /// The class of each.
    pub classes: Vec<usize>,
}

impl Examples {
    /// Number of training examples.
    pub fn count(&self) -> usize {
        match &self.training {
            Training::Images { images, .. } => images.len(),
            Training::Embeddings { train, .. } => train.classes.len(),
        }
    }

    /// Steps of an epoch.
    pub fn steps(&self, batch: usize) -> usize {
        batches::steps(self.count(), batch)
    }

    /// Calls `each` on the batches of an epoch, from step `first` on, until it fails.
    pub fn for_each(
        &self,
        (seed, epoch): (u64, usize),
        (batch, first): (usize, usize),
        mut each: impl FnMut(&[f32], &[usize]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let epoch = epoch as u32;
        match &self.training {
            Training::Images {
                images,
                augment,
                preprocess,
            } => {
                let augmenter = Augmenter::new(*augment, preprocess.clone());
                let batches =
                    Batches::start(images.clone(), augmenter, batch, (seed, epoch), first);
                for batch in batches.map_err(TrainError::Thread)? {
                    each(&batch.inputs, &batch.labels)?;
                }
            }
            Training::Embeddings { train, .. } => {
                let order = epoch_order(seed, epoch, self.count());
                let len = train.values.len() / self.count();
                for range in ranges(order.len(), batch).skip(first) {
                    let chosen = &order[range];
                    let inputs = chosen
                        .iter()
                        .flat_map(|&image| &train.values[image * len..][..len]);
                    let inputs: Vec<f32> = inputs.copied().collect();
                    let classes: Vec<usize> =
                        chosen.iter().map(|&image| train.classes[image]).collect();
                    each(&inputs, &classes)?;
                }
            }
        }
        Ok(())
    }

    /// Evaluation of a learner, whose values are in `trained`, after an epoch.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn test(
        &self,
        backbone: &Backbone,
        learner: &mut Learner,
        trained: &Trained,
    ) -> Result<Evaluation, TrainError> {
        match &self.training {
            Training::Images { .. } => evaluate(backbone, trained, &self.test),
            Training::Embeddings { test, .. } => {
                Ok(judge(learner.scores(&test.values), &test.classes))
            }
        }
    }
}
