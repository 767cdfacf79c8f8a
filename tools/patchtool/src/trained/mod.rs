//! Results of training: the values of the trained sites and their origin, for one backbone.
//!
//! A trained file (`.safetensors`) is for workstations: it keeps raw batch norms, so training can go on from it.
//! [`Trained::compile`] makes the device patch of it.

use std::collections::BTreeMap;

use graft_patches::Digest;
use graft_patches::metadata::Resize;
use graft_patches::records::Input;
use graft_runtime::gradient::SiteParameters;
use serde::{Deserialize, Serialize};

mod check;
mod class_weights;
mod compile;
mod error;
mod file;
mod kind;

#[cfg(test)]
mod tests;

pub use class_weights::ClassWeights;
pub use error::TrainedError;
pub use kind::{TrainKind, UnknownTrainKind};

/// The result of one training run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Kind of the training.
    pub kind: TrainKind,
    /// The task.
    pub name: String,
    /// Tool and version that trained it.
    pub tool: String,
    /// The backbone that it was trained on.
    pub backbone: BackboneRef,
    /// First layer that was trained: those before it have the backbone's own values.
    pub from_layer: usize,
    /// Resolution and normalisation.
    pub input: Input,
    /// Resizing of photographs.
    pub resize: Resize,
    /// Class names by index; empty where the backbone's own labels serve.
    pub labels: Vec<String>,
    /// Of every random number of the run.
    pub seed: u64,
    /// Weights of the classes in the loss that was trained on.
    pub class_weights: ClassWeights,
    /// The data set.
    pub data: DataRef,
    /// Figures of the run.
    pub metrics: Metrics,
    /// Trained values by site of the backbone.
    pub sites: BTreeMap<usize, SiteParameters>,
}

/// A backbone by name and id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackboneRef {
    /// Its name, for people.
    pub name: String,
    /// Its id, which decides.
    pub id: Digest,
}

/// A data set, and how much of it was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRef {
    /// As it was given.
    pub path: String,
    /// Of the decoded images as they are kept for this input, their classes and the class names.
    pub digest: Digest,
    /// Images trained on.
    pub images: u32,
    /// Images that chose the best epoch.
    #[serde(default)]
    pub validation_images: u32,
    /// Images tested on; 0 where there was no test.
    pub test_images: u32,
}

/// Figures of a training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Epochs that were run.
    pub epochs: u32,
    /// The epoch that the values are from, counted from 1.
    pub best_epoch: u32,
    /// Share of the validation images that were classified right after this epoch, 0 to 1; of their weights where classes
    /// are weighted. `None` where there were no such images: then the epoch is the last.
    #[serde(default)]
    pub validation_accuracy: Option<f32>,
    /// Mean loss of the validation images after this epoch.
    #[serde(default)]
    pub validation_loss: Option<f32>,
    /// What scores are divided by for probabilities that come true on the validation images; `None` where there were none.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// Share of the test images whose first guess was right, 0 to 1; 0 where there was no test.
    pub test_accuracy: f32,
    /// Values that were trained.
    pub trainable_params: u64,
    /// Wall-clock time.
    pub seconds: f64,
}
