//! Constant tensors: initialisers, the values of Constant nodes, and what is computed from them.

use std::path::Path;

use graft_onnx::proto::{DataType, TensorProto};
use graft_onnx::tensor::{Tensor, Values};

use super::node::Node;
use crate::import::error::ImportError;

/// A tensor whose values are known at import.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// Initialiser or value name.
    pub(super) name: String,
    pub(super) dims: Vec<usize>,
    pub(super) values: Values,
    /// Type of the values in ONNX.
    pub(super) element: DataType,
    /// The integers that it was dequantised from.
    pub(super) quantised: Option<Quantised>,
}

/// The integers behind a dequantised constant.
#[derive(Clone, Debug)]
pub(super) struct Quantised {
    /// One, or one for each index of `axis`.
    pub(super) scales: Vec<f32>,
    pub(super) axis: usize,
    /// The number of integers of -128.
    pub(super) lowest: usize,
    /// The reason why no layer can compute with the integers themselves.
    pub(super) unfit: Option<&'static str>,
}

impl Constant {
    pub(super) fn ints(name: &str, values: Vec<i64>) -> Self {
        Self {
            name: name.to_owned(),
            dims: vec![values.len()],
            values: Values::Int(values),
            element: DataType::Int64,
            quantised: None,
        }
    }

    pub(super) fn floats(dims: Vec<usize>, values: Vec<f32>) -> Self {
        Self {
            name: String::new(),
            dims,
            values: Values::Float(values),
            element: DataType::Float,
            quantised: None,
        }
    }

    /// The values as finite floats.
    pub(super) fn finite(&self) -> Result<&[f32], ImportError> {
        let expected = |found: &str| ImportError::Tensor {
            name: self.name.clone(),
            found: found.to_owned(),
            expected: "finite float values".to_owned(),
        };
        match &self.values {
            Values::Int(_) => Err(expected(
                "integers that no DequantizeLinear has made floats of (quantised models must be in the QDQ format)",
            )),
            Values::Float(values) if values.iter().all(|v| v.is_finite()) => Ok(values),
            Values::Float(_) => Err(expected("infinite values or NaN")),
        }
    }

    /// One finite float for each of `count` channels.
    pub(super) fn per_channel(&self, count: usize) -> Result<Vec<f32>, ImportError> {
        let values = self.finite()?;
        if values.len() == count {
            return Ok(values.to_vec());
        }
        Err(ImportError::Tensor {
            name: self.name.clone(),
            found: format!("shape {:?}", self.dims),
            expected: format!("{count} values"),
        })
    }

    /// The values as integers.
    pub(super) fn as_ints(&self, node: Node<'_>) -> Result<&[i64], ImportError> {
        match &self.values {
            Values::Int(values) => Ok(values),
            Values::Float(_) => Err(node.malformed(format!("{:?} holds floats", self.name))),
        }
    }

    /// The single value, as a float.
    pub(super) fn scalar(&self, node: Node<'_>) -> Result<f32, ImportError> {
        let value = match &self.values {
            Values::Float(values) => values.first().copied(),
            Values::Int(values) => values.first().map(|&value| value as f32),
        };
        value.filter(|_| self.values.len() == 1).ok_or_else(|| {
            node.malformed(format!(
                "{:?} has shape {:?}, expected one value",
                self.name, self.dims
            ))
        })
    }
}

/// The constant of a tensor of the file; external data is looked for in the model's folder.
pub(super) fn load(proto: &TensorProto, folder: &Path) -> Result<Constant, ImportError> {
    let tensor = Tensor::read(proto, Some(folder))?;
    Ok(Constant {
        name: proto.name.clone(),
        dims: tensor.dims,
        values: tensor.values,
        element: tensor.element,
        quantised: None,
    })
}
