//! Training a patch: epochs of steps on a network's own kernels, tests as on a device, checkpoints.
//!
//! Batch norm is trained on the backbone's own statistics unless `--statistics batch` says otherwise. "K for the Price
//! of 1" (Mudrakarta et al. 2019) trains on batch statistics and keeps the task's own. On a small task that replaces what
//! the backbone knows before gamma and beta can make up for it: `RESULTS.md` has both, on the same images.

pub mod checkpoint;
mod control;
pub mod curves;
pub mod evaluate;
pub mod examples;
pub mod fingerprint;
pub mod history;
pub mod learner;
pub mod loss;
pub mod optimizer;
pub mod progress;
pub mod run;
pub mod schedule;
pub mod sets;
