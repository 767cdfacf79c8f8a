//! Meta-training: a generator learns from episodes, each a small task of its own.

pub mod continual;
pub mod evaluate;
pub mod learner;
pub mod run;
pub mod tensors;
