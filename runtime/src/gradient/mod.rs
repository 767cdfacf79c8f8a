//! Training: the backward pass that a patch needs (`ARCHITECTURE.md`, "Training").
//!
//! [`Network`] runs a batch forward, with batch norm in a [`BatchNormMode`], and backward from the gradient of the loss to
//! the gradients of all trained values. It uses the kernels of inference, so whatever the runtime runs can be trained;
//! losses, optimisers and schedules are the caller's.

mod backward;
mod epilogue;
mod forward;
mod lanes;
mod layer;
mod network;
mod node;
mod values;

pub use epilogue::MOMENTUM;
pub use network::{BatchNormMode, Network, Parameter, Role, Trainable};
pub use values::{BatchNorm, Norm, SiteParameters};
