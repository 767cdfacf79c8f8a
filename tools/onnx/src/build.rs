//! Functions that make messages without naming their many empty fields.

use half::f16;

use crate::proto::{
    AttributeProto, AttributeType, DataLocation, DataType, Dimension, DimensionValue, GraphProto,
    ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// Version of the operators that models are built of.
const OPSET: i64 = 17;
/// Version of the file format that goes with it.
const IR_VERSION: i64 = 8;

/// A model of operator set 17, by this program.
pub fn model(
    producer: &str,
    version: &str,
    graph: GraphProto,
    properties: Vec<StringStringEntryProto>,
) -> ModelProto {
    ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        producer_name: producer.to_owned(),
        producer_version: version.to_owned(),
        graph: Some(graph),
        metadata_props: properties,
        ..ModelProto::default()
    }
}

/// A node without a name and outputs: whoever adds it to a graph gives it both.
pub fn node(op: &str, inputs: Vec<String>, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: inputs,
        attribute: attributes,
        ..NodeProto::default()
    }
}

/// An attribute that is an integer.
pub fn int(name: &str, i: usize) -> AttributeProto {
    AttributeProto {
        i: i as i64,
        ..attribute(name, AttributeType::Int)
    }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, ints: &[usize]) -> AttributeProto {
    AttributeProto {
        ints: ints.iter().map(|&i| i as i64).collect(),
        ..attribute(name, AttributeType::Ints)
    }
}

/// An attribute that is a float.
pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        f,
        ..attribute(name, AttributeType::Float)
    }
}

/// An attribute that is text.
pub fn text(name: &str, text: &str) -> AttributeProto {
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

/// A constant of floats.
pub fn floats(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    raw(name, dims, DataType::Float, bytes.collect())
}

/// A constant of values rounded to half precision.
pub fn halves(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    let halves = values.iter().map(|&value| f16::from_f32(value));
    let bytes = halves.flat_map(f16::to_le_bytes);
    raw(name, dims, DataType::Float16, bytes.collect())
}

/// A one-dimensional constant of integers.
pub fn integers(name: &str, values: &[i64]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    raw(name, &[values.len()], DataType::Int64, bytes.collect())
}

/// A constant of any type, from the bytes of its values, little endian.
pub fn raw(name: &str, dims: &[usize], element: DataType, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        data_type: element as i32,
        raw_data: bytes,
        ..TensorProto::default()
    }
}

/// A constant whose `length` bytes are at `offset` of a file in the model's folder.
pub fn external(
    name: &str,
    dims: &[usize],
    element: DataType,
    file: &str,
    [offset, length]: [usize; 2],
) -> TensorProto {
    TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![
            entry("location", file),
            entry("offset", offset.to_string()),
            entry("length", length.to_string()),
        ],
        ..raw(name, dims, element, Vec::new())
    }
}

/// A property.
pub fn entry(key: &str, value: impl Into<String>) -> StringStringEntryProto {
    StringStringEntryProto {
        key: key.to_owned(),
        value: value.into(),
    }
}

/// A dimension of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Any size, the same wherever the name stands.
    Any(&'static str),
    /// A fixed size.
    Of(usize),
}

/// A float input or output.
pub fn interface(name: &str, doc: &str, dims: &[Dim]) -> ValueInfoProto {
    let dimension = |&dim: &Dim| Dimension {
        value: Some(match dim {
            Dim::Any(name) => DimensionValue::DimParam(name.to_owned()),
            Dim::Of(size) => DimensionValue::DimValue(size as i64),
        }),
    };
    let tensor = TensorTypeProto {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto {
            dim: dims.iter().map(dimension).collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        doc_string: doc.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor),
        }),
    }
}
