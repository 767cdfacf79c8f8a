//! The part of [ONNX](https://onnx.ai) that the Graft tools read and write.
//!
//! - [`proto`]: the messages of a model file, for `prost`.
//! - [`tensor`]: the values of a tensor message, wherever in or beside the file they are.
//! - [`build`]: functions that make messages without naming their many empty fields.
//! - [`graph`]: a graph under construction.
//!
//! ```
//! use graft_onnx::build::{self, Dim};
//! use graft_onnx::graph::GraphBuilder;
//! use graft_onnx::proto::{GraphProto, ModelProto};
//! use graft_onnx::tensor::{Tensor, Values};
//! use graft_onnx::Message as _;
//!
//! let mut graph = GraphBuilder::default();
//! let two = graph.constant(build::floats("two", &[], &[2.0]));
//! graph.node("double", "y", build::node("Mul", vec!["x".into(), two], vec![]));
//! let (node, initializer) = graph.finish()?;
//! let graph = GraphProto {
//!     name: "double".into(),
//!     node,
//!     initializer,
//!     input: vec![build::interface("x", "", &[Dim::Any("batch")])],
//!     output: vec![build::interface("y", "", &[Dim::Any("batch")])],
//!     ..GraphProto::default()
//! };
//! let bytes = build::model("example", "1", graph, vec![]).encode_to_vec();
//!
//! let model = ModelProto::decode(&bytes[..])?;
//! let two = Tensor::read(&model.graph.unwrap().initializer[0], None)?;
//! assert_eq!(two.values, Values::Float(vec![2.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod build;
pub mod graph;
pub mod proto;
pub mod tensor;

pub use prost::{DecodeError, Message};
