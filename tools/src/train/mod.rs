//! What training a patch needs besides the network: optimisers, schedules, losses, checkpoints, progress.

pub mod kind;
pub mod loss;
pub mod optimizer;
pub mod schedule;
