//! A generator as a standard ONNX model, with its trained parameters.
//!
//! The number of images and of classes is symbolic in the model. Nothing in it is an operator of Graft: ONNX Runtime runs
//! the same file.

mod graph;
mod interface;

use std::collections::BTreeMap;

use graft_patches::Digest;
use half::f16;
use prost::Message as _;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto, ValueInfoProto};

use self::graph::Graph;
use super::network::{Generator, Images, Inputs};
use super::parameter::Precision;
use crate::export::proto;

pub(super) use self::interface::{Port, inputs, named, outputs};

/// Values of the parameters of a generator by name, each row by row.
pub type Parameters = BTreeMap<String, Vec<f32>>;

/// The graph of a generator; `parameters` must be all of its own, each of the right length. Without them, their initialisers
/// have no values.
pub(super) fn graph(
    generator: &Generator,
    parameters: Option<&Parameters>,
    precision: Precision,
) -> GraphProto {
    let config = generator.config();
    let (inputs, outputs) = (inputs(config), outputs(config));
    let graph = Graph::new(generator, parameters, precision);
    let [images, labels, classes, start @ ..] = &inputs[..] else {
        unreachable!("a generator has at least three inputs");
    };
    let inputs = Inputs::<Graph<'_>> {
        images: match images.dims.len() {
            4 => Images::Pixels(images.name.clone()),
            _ => Images::Embeddings(images.name.clone()),
        },
        labels: labels.name.clone(),
        classes: classes.name.clone(),
    };
    let start: Vec<String> = start.iter().map(|port| port.name.clone()).collect();
    let previous = (!start.is_empty()).then_some(&start[..]);
    let values = generator.generate(&graph, &inputs, previous);
    for (name, value) in named(config, values) {
        graph.output(&name, &value);
    }
    let (nodes, initialisers) = graph.finish();
    GraphProto {
        name: "generator".into(),
        node: nodes,
        initializer: initialisers,
        input: inputs.iter().map(value_info).collect(),
        output: outputs.iter().map(value_info).collect(),
        ..GraphProto::default()
    }
}

fn value_info(port: &Port) -> ValueInfoProto {
    proto::interface(&port.name, port.doc, &port.dims)
}

/// Digest of the calculation that a graph is: nodes, constants, names and shapes of parameters, inputs and outputs, encoded by
/// field number. Neither the values of parameters nor documentation change it.
pub(super) fn calculation(graph: &GraphProto) -> Digest {
    let undocumented = |info: &ValueInfoProto| ValueInfoProto {
        doc_string: String::new(),
        ..info.clone()
    };
    let initialiser = |tensor: &TensorProto| match tensor.name.starts_with(graph::PARAMETER) {
        true => TensorProto {
            name: tensor.name.clone(),
            dims: tensor.dims.clone(),
            data_type: tensor.data_type,
            ..TensorProto::default()
        },
        false => tensor.clone(),
    };
    let bare = GraphProto {
        node: graph.node.clone(),
        initializer: graph.initializer.iter().map(initialiser).collect(),
        input: graph.input.iter().map(undocumented).collect(),
        output: graph.output.iter().map(undocumented).collect(),
        ..GraphProto::default()
    };
    Digest::of(&bare.encode_to_vec())
}

/// The values of a generator's parameters in a graph, in single precision.
pub(super) fn parameters(graph: &GraphProto) -> Parameters {
    let stored = graph.initializer.iter();
    stored
        .filter_map(|tensor| {
            let name = tensor.name.strip_prefix(graph::PARAMETER)?;
            Some((name.to_owned(), values(tensor)?))
        })
        .collect()
}

/// The values of an initialiser as a generator's file has them; `None` where it has others.
fn values(tensor: &TensorProto) -> Option<Vec<f32>> {
    let is = |element: DataType| tensor.data_type == element as i32;
    if is(DataType::Float) {
        let (values, rest) = tensor.raw_data.as_chunks();
        let values = values.iter().map(|&value| f32::from_le_bytes(value));
        rest.is_empty().then(|| values.collect())
    } else if is(DataType::Float16) {
        let (values, rest) = tensor.raw_data.as_chunks();
        let values = values.iter().map(|&value| f16::from_le_bytes(value).to_f32());
        rest.is_empty().then(|| values.collect())
    } else {
        None
    }
}
