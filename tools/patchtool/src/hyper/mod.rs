//! The HyperTransformer: a generator turns a few labelled images into a patch, in one forward pass and without training.
//!
//! Zhmoginov, Sandler, Vladymyrov: "HyperTransformer: Model Generation for Supervised and Semi-Supervised Few-Shot
//! Learning" (ICML 2022); Vladymyrov, Zhmoginov, Sandler: "Continual HyperTransformer" (TMLR 2024).

pub mod arrays;
pub mod config;
pub mod convolution;
pub mod error;
pub mod examples;
pub mod file;
mod generate;
pub mod generated;
mod layers;
pub mod network;
pub mod onnx;
pub mod ops;
pub mod parameter;
pub mod prototype;
pub mod support_set;
pub mod target;
#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, Generates, Target};
pub use error::HyperError;
pub use examples::{Examples, ExamplesError};
pub use file::{Hyper, Outputs, Provenance};
pub use generated::{Convolution, Generated, GeneratedError, Head};
pub use parameter::Precision;
pub use support_set::{SupportSet, SupportSetError};
