//! From ONNX models and PyTorch state dicts to backbone images.

pub mod compile;
pub mod error;
pub mod graph;
pub mod int8;
pub mod onnx;
pub mod torch;
#[cfg(feature = "verify")]
pub mod verify;
