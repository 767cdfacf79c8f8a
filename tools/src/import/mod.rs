//! From ONNX models and PyTorch state dicts to backbone images.

pub mod graph;
