//! A graph under construction.

use std::collections::HashSet;

use crate::proto::{NodeProto, TensorProto};

/// The nodes and constants of a graph, each in the order in which it was added.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    known: HashSet<String>,
}

impl GraphBuilder {
    /// Adds a node under this name, which writes one value, `output`.
    pub fn node(&mut self, name: impl Into<String>, output: impl Into<String>, node: NodeProto) {
        self.nodes.push(NodeProto {
            name: name.into(),
            output: vec![output.into()],
            ..node
        });
    }

    /// Adds a constant, unless there is one of its name already, and returns the name.
    pub fn constant(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        if self.known.insert(name.clone()) {
            self.constants.push(tensor);
        }
        name
    }

    /// The nodes and the constants.
    pub fn finish(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        (self.nodes, self.constants)
    }
}
