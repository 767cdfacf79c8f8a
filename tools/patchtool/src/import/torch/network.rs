//! Lays out a network layer by layer and takes each layer's tensors from the state dict.

use graft_patches::geometry::{Activation, Padding, Shape, Window};

use super::names::Pair;
use super::state_dict::StateDict;
use crate::import::error::ImportError;
use crate::import::graph::{BatchNorm, Graph, Layer, Op, TensorId, Weights};

/// A network under construction.
pub(super) struct Network {
    state: StateDict,
    graph: Graph,
    /// Remarks for the user.
    notes: Vec<String>,
}

/// A convolution without bias, the batch norm behind it and the activation behind that.
pub(super) struct Convolution<'n> {
    /// Module name of the convolution.
    pub(super) name: &'n str,
    /// Module name of the batch norm.
    pub(super) norm: &'n str,
    pub(super) epsilon: f32,
    /// `None`: depthwise.
    pub(super) outputs: Option<usize>,
    pub(super) window: Window,
    pub(super) activation: Activation,
}

/// One pixel at a time.
pub(super) const POINT: Window = Window {
    kernel: [1, 1],
    stride: [1, 1],
    padding: Padding::VALID,
};

impl Network {
    /// A network for square RGB images.
    pub(super) fn new(
        state: StateDict,
        resolution: usize,
        notes: Vec<String>,
    ) -> Result<Self, ImportError> {
        if !(1..=1 << 16).contains(&resolution) {
            return Err(ImportError::Interface {
                found: format!("a resolution of {resolution}"),
                expected: "1 to 65536 rows and columns",
            });
        }
        let graph = Graph {
            tensors: vec![Shape::new(resolution, resolution, 3)],
            layers: Vec::new(),
        };
        Ok(Self {
            state,
            graph,
            notes,
        })
    }

    /// The output of the last layer, or the image.
    pub(super) fn last(&self) -> TensorId {
        self.graph.tensors.len() - 1
    }

    pub(super) fn channels(&self, tensor: TensorId) -> usize {
        self.graph.tensors[tensor].channels
    }

    /// Outputs of a convolution: those that are expected, else as many as its weights have.
    pub(super) fn width(&self, pair: &Pair, expected: Option<usize>) -> Result<usize, ImportError> {
        let weights = || self.state.outputs(&format!("{}.weight", pair.conv));
        expected.map_or_else(weights, Ok)
    }

    /// Adds a convolution behind the last layer.
    pub(super) fn convolution(&mut self, layer: &Convolution<'_>) -> Result<(), ImportError> {
        let input = self.graph.tensors[self.last()];
        let outputs = layer.outputs.unwrap_or(input.channels);
        let depth = layer.outputs.map_or(1, |_| input.channels);
        let [rows, columns] = layer.window.kernel;
        let name = format!("{}.weight", layer.name);
        let weights = Weights {
            values: self.state.take(&name, &[outputs, depth, rows, columns])?,
            name,
            outputs,
            bias: None,
            batch_norm: Some(self.batch_norm(layer.norm, outputs, layer.epsilon)?),
        };
        let [height, width] = layer
            .window
            .output(input)
            .ok_or_else(|| ImportError::Interface {
                found: format!("an activation of {input} at {:?}", layer.name),
                expected: "a resolution that fits the network",
            })?;
        let op = match layer.outputs {
            None => Op::Depthwise(layer.window, weights),
            Some(_) if layer.window == POINT => Op::Pointwise(weights),
            Some(_) => Op::Conv(layer.window, weights),
        };
        let shape = Shape::new(height, width, outputs);
        self.push(layer.name, op, vec![self.last()], shape, layer.activation);
        Ok(())
    }

    /// Adds an earlier activation to the last one.
    pub(super) fn add(&mut self, name: &str, shortcut: TensorId) {
        let last = self.last();
        let shape = self.graph.tensors[last];
        self.push(name, Op::Add, vec![last, shortcut], shape, Activation::NONE);
    }

    /// Adds the mean over all pixels and the linear layer that is this module or in it, with as many classes as it has.
    /// A user may have put another layer there than the architecture has.
    pub(super) fn classify(&mut self, module: &str) -> Result<(), ImportError> {
        let name = &self.state.linear(module)?;
        if ![module, &format!("{module}.0"), &format!("{module}.1")].contains(&name.as_str()) {
            self.notes.push(format!(
                "{name:?} is the only layer of {module:?} in the state dict: what else that module computes is not imported"
            ));
        }
        let channels = self.channels(self.last());
        let mean = Shape::new(1, 1, channels);
        let inputs = vec![self.last()];
        self.push(
            "pool",
            Op::GlobalAveragePool,
            inputs,
            mean,
            Activation::NONE,
        );
        let key = format!("{name}.weight");
        let classes = self.state.outputs(&key)?;
        let weights = Weights {
            values: self.state.take(&key, &[classes, channels])?,
            name: key,
            outputs: classes,
            bias: self
                .state
                .take_optional(&format!("{name}.bias"), &[classes])?,
            batch_norm: None,
        };
        let inputs = vec![self.last()];
        let scores = Shape::new(1, 1, classes);
        self.push(name, Op::Linear(weights), inputs, scores, Activation::NONE);
        Ok(())
    }

    /// The finished graph and the remarks; every tensor must have been used.
    pub(super) fn finish(self) -> Result<(Graph, Vec<String>), ImportError> {
        self.state.finish()?;
        Ok((self.graph, self.notes))
    }

    fn batch_norm(
        &mut self,
        name: &str,
        channels: usize,
        epsilon: f32,
    ) -> Result<BatchNorm, ImportError> {
        let mut take = |part: &str| self.state.take(&format!("{name}.{part}"), &[channels]);
        let norm = BatchNorm {
            name: name.to_owned(),
            gamma: take("weight")?,
            beta: take("bias")?,
            mean: take("running_mean")?,
            var: take("running_var")?,
            epsilon,
        };
        if norm.var.iter().all(|var| *var >= 0.0) {
            return Ok(norm);
        }
        Err(ImportError::Tensor {
            name: format!("{name}.running_var"),
            found: "negative values".to_owned(),
            expected: "variances".to_owned(),
        })
    }

    fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: Vec<TensorId>,
        shape: Shape,
        activation: Activation,
    ) {
        let output = self.graph.tensors.len();
        self.graph.tensors.push(shape);
        self.graph.layers.push(Layer {
            name: name.to_owned(),
            op,
            inputs,
            output,
            activation,
        });
    }
}
