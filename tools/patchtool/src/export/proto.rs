//! ONNX messages, without their many empty fields.

use half::f16;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};

use super::tensors::Tensor;

const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// A model by this tool.
pub(crate) fn model(graph: GraphProto, properties: Vec<StringStringEntryProto>) -> ModelProto {
    ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        producer_name: "patchtool".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        metadata_props: properties,
        ..ModelProto::default()
    }
}

/// A node; who adds it to a graph names it and its output.
pub(crate) fn node(op: &str, inputs: Vec<String>, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: inputs,
        attribute: attributes,
        ..NodeProto::default()
    }
}

pub(crate) fn int(name: &str, i: usize) -> AttributeProto {
    AttributeProto {
        i: i as i64,
        ..attribute(name, AttributeType::Int)
    }
}

pub(crate) fn ints(name: &str, ints: &[usize]) -> AttributeProto {
    AttributeProto {
        ints: ints.iter().map(|&i| i as i64).collect(),
        ..attribute(name, AttributeType::Ints)
    }
}

pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        f,
        ..attribute(name, AttributeType::Float)
    }
}

pub(crate) fn text(name: &str, text: &str) -> AttributeProto {
    AttributeProto {
        s: text.as_bytes().to_vec(),
        ..attribute(name, AttributeType::String)
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: kind as i32,
        ..AttributeProto::default()
    }
}

/// An initialiser with its values in the model.
pub(super) fn inline(tensor: &Tensor) -> TensorProto {
    floats(&tensor.name, &tensor.dims, &tensor.values)
}

/// The same, from its parts.
pub(crate) fn floats(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    raw(name, dims, DataType::Float, bytes.collect())
}

/// An initialiser of values rounded to half precision.
pub(crate) fn halves(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    let bytes = values
        .iter()
        .flat_map(|&value| f16::from_f32(value).to_le_bytes());
    raw(name, dims, DataType::Float16, bytes.collect())
}

/// An initialiser with its values in a file.
pub(super) fn external(tensor: &Tensor, file: &str, place: (usize, usize)) -> TensorProto {
    TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![
            entry("location", file),
            entry("offset", place.0.to_string()),
            entry("length", place.1.to_string()),
        ],
        ..tensor_of(tensor)
    }
}

fn tensor_of(tensor: &Tensor) -> TensorProto {
    TensorProto {
        name: tensor.name.clone(),
        dims: tensor.dims.iter().map(|&dim| dim as i64).collect(),
        data_type: DataType::Float as i32,
        ..TensorProto::default()
    }
}

/// A one-dimensional initialiser of integers.
pub(crate) fn integers(name: &str, values: &[i64]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    raw(name, &[values.len()], DataType::Int64, bytes.collect())
}

/// An initialiser of any type, with its values in the model.
pub(crate) fn raw(name: &str, dims: &[usize], element: DataType, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        data_type: element as i32,
        raw_data: bytes,
        ..TensorProto::default()
    }
}

pub(crate) fn entry(key: &str, value: impl Into<String>) -> StringStringEntryProto {
    StringStringEntryProto {
        key: key.to_owned(),
        value: value.into(),
    }
}

/// A dimension of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    /// Of any size, the same wherever the name stands.
    Any(&'static str),
    /// Fixed.
    Of(usize),
}

/// A float input or output.
pub(crate) fn interface(name: &str, doc: &str, dims: &[Dim]) -> ValueInfoProto {
    let dimension = |&dim: &Dim| Dimension {
        value: Some(match dim {
            Dim::Any(name) => dimension::Value::DimParam(name.to_owned()),
            Dim::Of(size) => dimension::Value::DimValue(size as i64),
        }),
        ..Dimension::default()
    };
    let tensor = TensorType {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto {
            dim: dims.iter().map(dimension).collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        doc_string: doc.to_owned(),
        r#type: Some(TypeProto {
            value: Some(Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
    }
}
