//! Training a patch: epochs of steps on a network's own kernels, tests as on a device, checkpoints.
//!
//! Batch norm is trained in frozen mode unless `--batch-norm batch` says otherwise. "K for the Price of 1" (Mudrakarta et
//! al. 2019) trains in batch mode and keeps the mean and variance of the task. On a small task that replaces knowledge of
//! the backbone before gamma and beta can make up for it: `RESULTS.md` has both, on the same images.

pub mod average;
pub mod backbone;
pub mod checkpoint;
mod control;
pub mod curves;
pub mod evaluate;
pub mod examples;
pub mod fingerprint;
pub mod history;
pub mod joint;
pub mod learner;
pub mod lock;
pub mod loss;
mod notes;
pub mod optimizer;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod run;
pub mod schedule;
pub mod sets;
pub mod sparse_updates;
