//! The importer's graph, which every front end (ONNX, PyTorch) produces and `compile` turns into a backbone image.

use graft_patches::geometry::{Activation, Shape, Window};
pub use graft_patches::metadata::BatchNorm;

/// Index into [`Graph::tensors`]; 0 is the input image.
pub type TensorId = usize;

/// A network of layers in execution order. Tensor 0 is the input; the last layer's output is the scores.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Shape of every activation.
    pub tensors: Vec<Shape>,
    /// In execution order.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Unique name, from the model (the convolution's node or module name).
    pub name: String,
    /// The operation.
    pub op: Op,
    /// One or two operands.
    pub inputs: Vec<TensorId>,
    /// The result.
    pub output: TensorId,
    /// Fused activation.
    pub activation: Activation,
}

/// The operation of a layer.
#[derive(Clone, Debug)]
pub enum Op {
    /// k x k convolution, weights `[out][in][kh][kw]`.
    Conv(Window, Weights),
    /// Depthwise convolution, weights `[channels][1][kh][kw]`.
    Depthwise(Window, Weights),
    /// 1 x 1 convolution of stride 1, weights `[out][in]`.
    Pointwise(Weights),
    /// Fully connected layer, weights `[out][in]`.
    Linear(Weights),
    /// Sum of two activations of one shape.
    Add,
    /// Product; the second operand may be one value a channel.
    Multiply,
    /// Average pool; the flag says whether padding counts in the divisor.
    AveragePool(Window, bool),
    /// Maximum pool.
    MaxPool(Window),
    /// Mean over all pixels.
    GlobalAveragePool,
}

impl Op {
    /// The parameters of the layer's site, if it has one, to be changed.
    pub fn weights_mut(&mut self) -> Option<&mut Weights> {
        match self {
            Self::Conv(_, weights)
            | Self::Depthwise(_, weights)
            | Self::Pointwise(weights)
            | Self::Linear(weights) => Some(weights),
            Self::Add
            | Self::Multiply
            | Self::AveragePool(..)
            | Self::MaxPool(_)
            | Self::GlobalAveragePool => None,
        }
    }
}

/// The parameters of one site.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Name of the weight tensor in the model (ONNX initialiser, state-dict key).
    pub name: String,
    /// Row-major, in the order that [`Op`] says.
    pub values: Vec<f32>,
    /// Output channels.
    pub outputs: usize,
    /// The layer's own bias, if it has one.
    pub bias: Option<Vec<f32>>,
    /// Batch norm that follows (after the bias), if it is in the graph.
    pub batch_norm: Option<BatchNorm>,
}
