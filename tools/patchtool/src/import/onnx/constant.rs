//! Constant tensors: initialisers, the values of Constant nodes, and what is computed from them.

use std::path::Path;

use tract_onnx::data_resolver::FopenDataResolver;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::prelude::{Tensor, TractResult};

use super::node::Node;
use crate::import::error::ImportError;

/// More values than any weight of a network for small devices; keeps hostile shapes from overflowing.
const MAX_VALUES: usize = 1 << 31;

/// A tensor whose values are known at import.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// Initialiser or value name.
    pub(super) name: String,
    pub(super) dims: Vec<usize>,
    pub(super) data: Data,
    /// As it stands in the file; undefined where the value was computed.
    pub(super) element: DataType,
    /// What it was dequantised from.
    pub(super) quantised: Option<Quantised>,
}

/// The integers behind a dequantised constant.
#[derive(Clone, Debug)]
pub(super) struct Quantised {
    /// One, or one for each index of `axis`.
    pub(super) scales: Vec<f32>,
    pub(super) axis: usize,
    /// Why no layer can compute with the integers themselves.
    pub(super) unfit: Option<&'static str>,
}

/// The values, row-major. Every float type is held as f32, every integer type and bool as i64.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }

    /// The values at these indices, which must be in range.
    pub(super) fn pick(&self, indices: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Float(values) => Self::Float(indices.map(|i| values[i]).collect()),
            Self::Int(values) => Self::Int(indices.map(|i| values[i]).collect()),
        }
    }
}

impl Constant {
    pub(super) fn ints(name: &str, values: Vec<i64>) -> Self {
        Self {
            name: name.to_owned(),
            dims: vec![values.len()],
            data: Data::Int(values),
            element: DataType::Int64,
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
        match &self.data {
            Data::Int(_) => Err(expected(
                "integers that no DequantizeLinear has made floats of (quantised models must be in the QDQ format)",
            )),
            Data::Float(values) if values.iter().all(|v| v.is_finite()) => Ok(values),
            Data::Float(_) => Err(expected("infinite values or NaN")),
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
        match &self.data {
            Data::Int(values) => Ok(values),
            Data::Float(_) => Err(node.malformed(format!("{:?} holds floats", self.name))),
        }
    }

    /// The single value, as a float.
    pub(super) fn scalar(&self, node: Node<'_>) -> Result<f32, ImportError> {
        match &self.data {
            Data::Float(values) if values.len() == 1 => Ok(values[0]),
            Data::Int(values) if values.len() == 1 => Ok(values[0] as f32),
            _ => Err(node.malformed(format!(
                "{:?} has shape {:?}, expected one value",
                self.name, self.dims
            ))),
        }
    }
}

/// Reads a tensor of the file; external data is looked for in the model's folder.
pub(super) fn load(proto: &TensorProto, folder: &Path) -> Result<Constant, ImportError> {
    let wrong = |found: String, expected: &str| ImportError::Tensor {
        name: proto.name.clone(),
        found,
        expected: expected.to_owned(),
    };
    let dims = checked_dims(proto)
        .ok_or_else(|| wrong(format!("shape {:?}", proto.dims), "a possible shape"))?;
    let kind = DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined);
    let is_float = match kind {
        DataType::Float | DataType::Float16 | DataType::Double => true,
        DataType::Bool
        | DataType::Int8
        | DataType::Uint8
        | DataType::Int16
        | DataType::Uint16
        | DataType::Int32
        | DataType::Uint32
        | DataType::Int64
        | DataType::Uint64 => false,
        other => return Err(wrong(format!("type {other:?}"), "float32")),
    };
    if proto.data_location == Some(DataLocation::External as i32) {
        check_external_file(proto, folder)?;
    }
    let folder = folder.to_string_lossy();
    let data = tract_onnx::tensor::load_tensor(&FopenDataResolver, proto, Some(&folder))
        .and_then(|tensor| values(&tensor, is_float))
        .map_err(|error| wrong(format!("{error:#}"), "data of its declared shape"))?;
    Ok(Constant {
        name: proto.name.clone(),
        dims,
        data,
        element: kind,
        quantised: None,
    })
}

fn checked_dims(proto: &TensorProto) -> Option<Vec<usize>> {
    let dims: Vec<usize> = proto
        .dims
        .iter()
        .map(|&dim| usize::try_from(dim).ok())
        .collect::<Option<_>>()?;
    // A zero must not hide an overflow of the other dimensions.
    dims.iter()
        .try_fold(1usize, |total, &dim| total.checked_mul(dim.max(1)))
        .filter(|&total| total <= MAX_VALUES)?;
    Some(dims)
}

fn values(tensor: &Tensor, is_float: bool) -> TractResult<Data> {
    Ok(if is_float {
        let cast = tensor.cast_to::<f32>()?;
        Data::Float(cast.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    } else {
        let cast = tensor.cast_to::<i64>()?;
        Data::Int(cast.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    })
}

fn check_external_file(proto: &TensorProto, folder: &Path) -> Result<(), ImportError> {
    let location = proto
        .external_data
        .iter()
        .find(|entry| entry.key == "location");
    match location.map(|entry| folder.join(&entry.value)) {
        Some(file) if !file.exists() => Err(ImportError::MissingExternalData {
            tensor: proto.name.clone(),
            file,
        }),
        _ => Ok(()),
    }
}
