//! Parts of a model that change or seem to change what its nodes compute, without being seen at the nodes.

use std::collections::HashSet;

use graft_onnx::proto::{GraphProto, ModelProto};

use super::node::{self, Node};
use crate::import::error::ImportError;

/// Refuses constants that are stored by their values other than zero.
pub(super) fn refuse_sparse(graph: &GraphProto) -> Result<(), ImportError> {
    let Some(sparse) = graph.sparse_initializer.first() else {
        return Ok(());
    };
    let values = sparse.values.as_ref();
    Err(ImportError::Tensor {
        name: values.map_or_else(String::new, |values| values.name.clone()),
        found: "a sparse tensor".to_owned(),
        expected: "a dense one".to_owned(),
    })
}

/// Refuses nodes whose operator the model defines itself, even where it has the name of a standard one.
pub(super) fn refuse_functions(model: &ModelProto, nodes: &[Node<'_>]) -> Result<(), ImportError> {
    let functions = model.functions.iter();
    let own: HashSet<String> = functions
        .map(|function| node::op(&function.domain, &function.name))
        .collect();
    match nodes.iter().find(|node| own.contains(&node.op())) {
        Some(node) => Err(node.unsupported("the model defines it itself, as a function")),
        None => Ok(()),
    }
}

/// A note where tensors are annotated with scales that no node computes with.
pub(super) fn annotations(graph: &GraphProto) -> Option<String> {
    match graph.quantization_annotation.len() {
        0 => None,
        count => Some(format!(
            "the scales in {count} quantization annotations were left out: no node computes with them"
        )),
    }
}
