//! Length and learning rate of a run.

use std::time::Duration;

use super::average::Rule;
use super::history::Epoch;
use super::schedule::Schedule;
use crate::sparse;

/// Length and learning rate of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// At most.
    pub epochs: usize,
    /// Images of a step.
    pub batch: usize,
    /// Learning rate at the end of the warm-up.
    pub rate: f32,
    /// Epochs of warm-up.
    pub warmup: f32,
    /// Share of the learning rate that is left at the end, 0 to 1: at 1 it stays as it is.
    pub last_rate: f32,
    /// The average of the values that is validated and kept in place of the last ones.
    pub average: Option<Rule>,
    /// The rule that makes updates sparse, and the steps of each; not together with an average.
    pub sparse: Option<(sparse::Rule, u32)>,
    /// Whether the losses of fixed mini-batches are probed, which changes nothing.
    pub is_probed: bool,
    /// Number of epochs without a higher validation accuracy after which the run ends.
    pub patience: Option<usize>,
    /// Least time between two checkpoints within an epoch.
    pub checkpoint_every: Duration,
    /// Of the order of the images and what is done to them.
    pub seed: u64,
}

impl Plan {
    /// The learning rate of every step, of which an epoch has so many.
    pub fn schedule(&self, in_epoch: usize) -> Schedule {
        Schedule {
            base: self.rate,
            steps: in_epoch * self.epochs,
            warmup: (self.warmup * in_epoch as f32) as usize,
            last: self.last_rate,
        }
    }

    /// Whether the validation accuracy has not become higher for too long. Losses may go on falling by less and less.
    pub fn is_stale(&self, history: &[Epoch]) -> bool {
        let accuracies = history.iter().rev();
        let accuracies = accuracies.filter_map(|epoch| Some(epoch.validation?.accuracy));
        // Backwards, the last of the highest is the first of them.
        let highest = accuracies.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        let since = highest.map_or(0, |(since, _)| since);
        self.patience.is_some_and(|patience| since >= patience)
    }
}
