//! What training a patch needs besides the network: optimisers, schedules, losses, checkpoints, progress.

pub mod checkpoint;
pub mod curves;
pub mod fingerprint;
pub mod history;
pub mod kind;
pub mod loss;
pub mod optimizer;
pub mod progress;
pub mod schedule;
