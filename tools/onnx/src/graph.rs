//! A graph under construction.

use std::collections::HashMap;

use crate::proto::{NodeProto, TensorProto};

/// The nodes and constants of a graph, each in the order in which it was added.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// The constants by name.
    known: HashMap<String, usize>,
    conflict: Option<ConstantError>,
}

/// Two constants of one name, which nodes could not tell apart.
#[derive(Debug, thiserror::Error)]
#[error("two different constants are named {name:?}, expected names of their own")]
pub struct ConstantError {
    /// The name.
    pub name: String,
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

    /// Adds a constant, unless it is there already, and returns its name. A different one of that name is an error, which
    /// [`Self::finish`] returns.
    pub fn constant(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        match self.known.get(&name) {
            None => {
                self.known.insert(name.clone(), self.constants.len());
                self.constants.push(tensor);
            }
            Some(&at) if self.constants[at] == tensor => {}
            Some(_) => self.conflict = Some(ConstantError { name: name.clone() }),
        }
        name
    }

    /// The nodes and the constants.
    ///
    /// # Errors
    /// Different constants of one name.
    pub fn finish(self) -> Result<(Vec<NodeProto>, Vec<TensorProto>), ConstantError> {
        match self.conflict {
            None => Ok((self.nodes, self.constants)),
            Some(conflict) => Err(conflict),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::floats;

    #[test]
    fn a_name_is_of_one_constant() {
        let mut graph = GraphBuilder::default();
        for _ in 0..2 {
            assert_eq!(graph.constant(floats("two", &[], &[2.0])), "two");
        }
        let (_, constants) = graph.finish().expect("it is the same constant");
        assert_eq!(constants.len(), 1);
        for other in [floats("two", &[], &[3.0]), floats("two", &[1], &[2.0])] {
            let mut graph = GraphBuilder::default();
            graph.constant(floats("two", &[], &[2.0]));
            graph.constant(other);
            let error = graph.finish().expect_err("they differ");
            assert_eq!(error.name, "two");
        }
    }
}
