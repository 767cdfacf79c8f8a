//! ONNX messages, without their many empty fields.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value};
use tract_onnx::pb::{
    AttributeProto, NodeProto, StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};

use super::tensors::Tensor;

/// A node; its output is named by [`super::model`].
pub(super) fn node(op: &str, inputs: Vec<String>, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: inputs,
        attribute: attributes,
        ..NodeProto::default()
    }
}

pub(super) fn int(name: &str, i: usize) -> AttributeProto {
    AttributeProto {
        i: i as i64,
        ..attribute(name, AttributeType::Int)
    }
}

pub(super) fn ints(name: &str, ints: &[usize]) -> AttributeProto {
    AttributeProto {
        ints: ints.iter().map(|&i| i as i64).collect(),
        ..attribute(name, AttributeType::Ints)
    }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        f,
        ..attribute(name, AttributeType::Float)
    }
}

pub(super) fn text(name: &str, text: &str) -> AttributeProto {
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
    TensorProto {
        raw_data: tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..tensor_of(tensor)
    }
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
pub(super) fn integers(name: &str, values: &[i64]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    raw(name, &[values.len()], DataType::Int64, bytes.collect())
}

/// An initialiser of any type, with its values in the model.
pub(super) fn raw(name: &str, dims: &[usize], element: DataType, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        data_type: element as i32,
        raw_data: bytes,
        ..TensorProto::default()
    }
}

pub(super) fn entry(key: &str, value: impl Into<String>) -> StringStringEntryProto {
    StringStringEntryProto {
        key: key.to_owned(),
        value: value.into(),
    }
}

/// A float input or output of any batch size.
pub(super) fn interface(name: &str, doc: &str, dims: &[usize]) -> ValueInfoProto {
    let dimension = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let batch = dimension(dimension::Value::DimParam("batch".to_owned()));
    let fixed = dims
        .iter()
        .map(|&dim| dimension(dimension::Value::DimValue(dim as i64)));
    let tensor = TensorType {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto {
            dim: [batch].into_iter().chain(fixed).collect(),
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
