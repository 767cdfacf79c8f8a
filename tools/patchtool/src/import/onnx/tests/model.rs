//! A builder of small ONNX models, and a short notation for the graphs they become.

use std::path::Path;

use graft_onnx::proto::*;
use graft_patches::geometry::Activation;

use crate::import::error::ImportError;
use crate::import::graph::{Graph, Op, Weights};
use crate::import::onnx::{Imported, import};

/// A node; attributes follow with the methods of [`Attributes`].
pub(super) fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: format!("n_{output}"),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

pub(super) trait Attributes {
    fn add(self, name: &str, kind: AttributeType, value: AttributeProto) -> Self;
    fn int(self, name: &str, i: i64) -> Self;
    fn float(self, name: &str, f: f32) -> Self;
    fn ints(self, name: &str, ints: &[i64]) -> Self;
    fn text(self, name: &str, text: &str) -> Self;
}

impl Attributes for NodeProto {
    fn add(mut self, name: &str, kind: AttributeType, value: AttributeProto) -> Self {
        self.attribute.push(AttributeProto {
            name: name.to_owned(),
            r#type: kind as i32,
            ..value
        });
        self
    }

    fn int(self, name: &str, i: i64) -> Self {
        let value = AttributeProto {
            i,
            ..AttributeProto::default()
        };
        self.add(name, AttributeType::Int, value)
    }

    fn float(self, name: &str, f: f32) -> Self {
        let value = AttributeProto {
            f,
            ..AttributeProto::default()
        };
        self.add(name, AttributeType::Float, value)
    }

    fn ints(self, name: &str, ints: &[i64]) -> Self {
        let value = AttributeProto {
            ints: ints.to_vec(),
            ..AttributeProto::default()
        };
        self.add(name, AttributeType::Ints, value)
    }

    fn text(self, name: &str, text: &str) -> Self {
        let value = AttributeProto {
            s: text.as_bytes().to_vec(),
            ..AttributeProto::default()
        };
        self.add(name, AttributeType::String, value)
    }
}

pub(super) fn floats(name: &str, dims: &[i64], values: Vec<f32>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: values,
        ..TensorProto::default()
    }
}

pub(super) fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// `image`: the input's dimensions, -1 for a dynamic one.
pub(super) fn model(
    image: &[i64],
    nodes: Vec<NodeProto>,
    initialisers: Vec<TensorProto>,
) -> ModelProto {
    let dim = |&size: &i64| Dimension {
        value: (size >= 0).then_some(DimensionValue::DimValue(size)),
    };
    let shape = TensorShapeProto {
        dim: image.iter().map(dim).collect(),
    };
    let kind = TypeProto {
        tensor_type: Some(TensorTypeProto {
            elem_type: DataType::Float as i32,
            shape: Some(shape),
        }),
    };
    let value = |name: &str, kind: Option<TypeProto>| ValueInfoProto {
        name: name.to_owned(),
        r#type: kind,
        ..ValueInfoProto::default()
    };
    ModelProto {
        opset_import: vec![OperatorSetIdProto {
            version: 17,
            ..OperatorSetIdProto::default()
        }],
        graph: Some(GraphProto {
            node: nodes,
            initializer: initialisers,
            input: vec![value("x", Some(kind))],
            output: vec![value("y", None)],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// A pointwise convolution from the image to `c` (4 channels, 8 x 8), the given nodes from `c` to `b`, and a classifier
/// behind. Constants: `w3` and `w5` (3 x 3 and 5 x 5 depthwise), `one` to `six`, `v` (one value a channel).
pub(super) fn around(body: Vec<NodeProto>) -> ModelProto {
    around_with(body, vec![])
}

pub(super) fn around_with(body: Vec<NodeProto>, more: Vec<TensorProto>) -> ModelProto {
    let mut nodes = vec![node("Conv", &["x", "w"], "c")];
    nodes.extend(body);
    nodes.push(node("GlobalAveragePool", &["b"], "gap"));
    nodes.push(node("Flatten", &["gap"], "flat"));
    nodes.push(node("Gemm", &["flat", "fc", "fcb"], "y"));
    let scalar = |name: &str, value: f32| floats(name, &[], vec![value]);
    let mut constants = vec![
        floats("w", &[4, 3, 1, 1], ramp(12)),
        floats("fc", &[4, 10], ramp(40)),
        floats("fcb", &[10], ramp(10)),
        floats("w3", &[4, 1, 3, 3], ramp(36)),
        floats("v", &[1, 4, 1, 1], ramp(4)),
        scalar("zero", 0.0),
        scalar("three", 3.0),
        scalar("six", 6.0),
        scalar("sixth", 0.166_66),
    ];
    constants.extend(more);
    model(&[1, 3, 8, 8], nodes, constants)
}

/// Values that differ from each other.
pub(super) fn ramp(count: usize) -> Vec<f32> {
    (1..=count).map(|i| i as f32 / 8.0).collect()
}

pub(super) fn run(model: &ModelProto) -> Result<Imported, ImportError> {
    import(model, Path::new("/nowhere"), None)
}

/// Layers in short: `pw+relu6 dw gap fc`.
pub(super) fn summary(graph: &Graph) -> String {
    let layers: Vec<String> = graph
        .layers
        .iter()
        .map(|layer| {
            let op = match layer.op {
                Op::Conv(..) => "conv",
                Op::Depthwise(..) => "dw",
                Op::Pointwise(_) => "pw",
                Op::Linear(_) => "fc",
                Op::Add => "add",
                Op::Multiply => "mul",
                Op::AveragePool(_, true) => "avg-counted",
                Op::AveragePool(_, false) => "avg",
                Op::MaxPool(_) => "max",
                Op::GlobalAveragePool => "gap",
            };
            op.to_owned() + &activation(layer.activation)
        })
        .collect();
    layers.join(" ")
}

fn activation(activation: Activation) -> String {
    match activation {
        Activation::NONE => String::new(),
        Activation::RELU => "+relu".to_owned(),
        Activation::RELU6 => "+relu6".to_owned(),
        Activation::Clamp { min, max } => format!("+clamp({min},{max})"),
        Activation::HardSwish => "+hswish".to_owned(),
        Activation::HardSigmoid { alpha, beta } => format!("+hsigmoid({alpha:.2},{beta})"),
    }
}

pub(super) fn weights(op: &Op) -> &Weights {
    match op {
        Op::Conv(_, w) | Op::Depthwise(_, w) | Op::Pointwise(w) | Op::Linear(w) => w,
        Op::Add | Op::Multiply | Op::AveragePool(..) | Op::MaxPool(_) | Op::GlobalAveragePool => {
            panic!("{op:?} has no weights")
        }
    }
}
