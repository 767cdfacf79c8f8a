//! A generator as a standard ONNX model, with its trained parameters, and such a model run by tract.
//!
//! The number of images and of classes is symbolic in the model. Nothing in it is an operator of Graft: ONNX Runtime runs
//! the same file.

mod graph;
mod interface;
mod plan;

#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

use graft_onnx::build;
use graft_onnx::proto::{GraphProto, ValueInfoProto};

use self::graph::Graph;
use super::network::{Generator, Images, Support};
use super::parameter::Precision;

pub(super) use self::interface::{Port, inputs, outputs};
pub(super) use self::plan::Plan;

/// Values of the parameters of a generator by name, each row by row.
pub type Parameters = BTreeMap<String, Vec<f32>>;

/// The graph of a generator; `parameters` must be all of its own, each of the right length.
pub(super) fn graph(
    generator: &Generator,
    parameters: &Parameters,
    precision: Precision,
) -> GraphProto {
    let config = generator.config();
    let (inputs, outputs) = (inputs(config), outputs(config));
    let graph = Graph::new(generator, parameters, precision);
    let [images, labels, classes, start @ ..] = &inputs[..] else {
        unreachable!("a generator has at least three inputs");
    };
    let support = Support::<Graph<'_>> {
        images: match images.dims.len() {
            4 => Images::Pixels(images.name.clone()),
            _ => Images::Embeddings(images.name.clone()),
        },
        labels: labels.name.clone(),
        classes: classes.name.clone(),
    };
    let start: Vec<String> = start.iter().map(|port| port.name.clone()).collect();
    let previous = (!start.is_empty()).then_some(&start[..]);
    let values = generator.generate(&graph, &support, previous);
    let mut named = vec![
        (interface::HEAD_WEIGHT.to_owned(), values.head_weights),
        (interface::HEAD_BIAS.to_owned(), values.head_bias),
    ];
    for (index, values) in values.convolutions.into_iter().enumerate() {
        named.push((interface::weights(index), values.weights));
        named.push((interface::scale(index), values.scale));
        named.push((interface::bias(index), values.bias));
    }
    for (name, value) in &named {
        if outputs.iter().any(|port| port.name == *name) {
            graph.output(name, value);
        }
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
