//! A generator as a standard ONNX model, with its trained parameters.
//!
//! The number of images and of classes is symbolic in the model. Nothing in it is an operator of Graft: ONNX Runtime runs
//! the same file.

mod graph;
mod interface;

use std::collections::BTreeMap;

use graft_onnx::Message as _;
use graft_onnx::build;
use graft_onnx::proto::{GraphProto, TensorProto, ValueInfoProto};
use graft_onnx::tensor::{Tensor, TensorError, Values};
use graft_patches::Digest;

use self::graph::Graph;
use super::network::{Generator, Inputs};
use super::parameter::{Parameter, Precision};

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
    let support = Inputs::<Graph<'_>> {
        images: images.name.clone(),
        labels: labels.name.clone(),
        classes: classes.name.clone(),
    };
    let start: Vec<String> = start.iter().map(|port| port.name.clone()).collect();
    let previous = (!start.is_empty()).then_some(&start[..]);
    let values = generator.generate(&graph, &support, previous);
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
    build::interface(&port.name, port.doc, &port.dims)
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

/// Whether a graph reads a parameter of its generator.
pub(super) fn reads(graph: &GraphProto, parameter: &Parameter) -> bool {
    let names = graph.initializer.iter();
    let mut names = names.filter_map(|tensor| tensor.name.strip_prefix(graph::PARAMETER));
    names.any(|name| name == parameter.name)
}

/// The values of a generator's parameters in a graph, in single precision; those of integers are left out.
///
/// # Errors
/// A parameter that cannot be read.
pub(super) fn parameters(graph: &GraphProto) -> Result<Parameters, TensorError> {
    let mut all = Parameters::new();
    for tensor in &graph.initializer {
        let Some(name) = tensor.name.strip_prefix(graph::PARAMETER) else {
            continue;
        };
        match Tensor::read(tensor, None)?.values {
            Values::Float(values) => all.insert(name.to_owned(), values),
            Values::Int(_) => None,
        };
    }
    Ok(all)
}
