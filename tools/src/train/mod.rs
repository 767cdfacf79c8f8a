//! What training a patch needs besides the network: optimisers, schedules, losses, checkpoints, progress.

mod control;
pub mod learner;
pub mod loss;
pub mod optimizer;
pub mod schedule;
