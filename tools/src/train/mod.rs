//! Training a patch: epochs of steps on a network's own kernels, tests as on a device, checkpoints.

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
