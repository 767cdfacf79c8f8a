//! Meta-training: a generator learns from episodes, each a small task of its own.

pub mod continual;
pub mod evaluate;
mod finish;
pub mod learner;
pub mod matrix;
pub mod measure;
pub mod run;
mod sequence;
pub mod tensors;
#[cfg(test)]
mod tests;
