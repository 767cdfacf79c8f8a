//! The state of an ONNX value while the graph is walked.

use std::rc::Rc;

use graft_onnx::proto::DataType;
use graft_patches::scale::Scale;

use super::affine::Affine;
use super::constant::Constant;
use super::expression::Expression;
use super::node::Node;
use super::order;
use super::scales::implied_clamp;
use crate::import::error::ImportError;
use crate::import::graph::TensorId;

/// An ONNX value.
#[derive(Clone)]
pub(super) enum Value<'a> {
    /// Known at import.
    Constant(Rc<Constant>),
    /// Computed from the image.
    Activation(View<'a>),
    /// Computed from constants by an operator that is not evaluated at import. An error only where a layer needs it.
    Unknown(Node<'a>),
}

/// An activation as ONNX sees it: a tensor of the graph, with the ONNX shape, and with work pending on it that the
/// layer before or behind it will take over.
#[derive(Clone)]
pub(super) struct View<'a> {
    pub(super) tensor: TensorId,
    /// Changes when an activation or affine map is fused into the layer that computes the tensor.
    pub(super) generation: u32,
    pub(super) dims: Vec<usize>,
    /// Index of the channels in `dims`; the others are the batch (1), then rows and columns.
    pub(super) channel_axis: usize,
    /// To be fused into the layer before.
    pub(super) expression: Expression,
    /// The node that asked for the expression; `None` if it is the identity.
    pub(super) origin: Option<Node<'a>>,
    /// The scale that the pending expression was quantised by; that of a tensor without one is the builder's to know.
    pub(super) scale: Option<Scale>,
    /// Whether the model rounds within the pending expression.
    pub(super) is_rounded: bool,
    /// The type of its integers, between QuantizeLinear and DequantizeLinear.
    pub(super) integers: Option<DataType>,
    /// A map of each channel, which the layer behind takes over, and the last node that asked for it.
    pub(super) affine: Option<(Affine, Node<'a>)>,
    /// Zeros around it, which the layer behind takes over: top, left, bottom, right, and the Pad node.
    pub(super) padding: Option<([usize; 4], Node<'a>)>,
    /// The mean over rows or columns, which a mean over the others, on this axis, completes; and its node.
    pub(super) mean: Option<(usize, Node<'a>)>,
}

impl<'a> View<'a> {
    /// A tensor as it is.
    pub(super) fn of(tensor: TensorId, dims: Vec<usize>, channel_axis: usize) -> Self {
        Self {
            tensor,
            generation: 0,
            dims,
            channel_axis,
            expression: Expression::IDENTITY,
            origin: None,
            scale: None,
            is_rounded: false,
            integers: None,
            affine: None,
            padding: None,
            mean: None,
        }
    }

    /// With this expression pending.
    pub(super) fn pending(self, expression: Expression, origin: Node<'a>) -> Self {
        Self {
            expression,
            origin: (!expression.is_identity()).then_some(origin),
            scale: None,
            is_rounded: self.is_rounded || self.scale.is_some(),
            ..self
        }
    }

    /// With nothing pending before it.
    pub(super) fn fused(self, generation: u32) -> Self {
        Self {
            generation,
            expression: Expression::IDENTITY,
            origin: None,
            scale: None,
            is_rounded: false,
            ..self
        }
    }

    /// The pending expression, within the clamp that its quantisation stands for.
    pub(super) fn saturated(&self) -> Expression {
        let is_open = self.expression.is_open();
        match self.scale.filter(|_| is_open).and_then(implied_clamp) {
            Some([min, max]) => self.expression.clamped(min, max),
            None => self.expression,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.dims[self.channel_axis]
    }

    /// The axes of rows and columns, if it has both.
    pub(super) fn spatial_axes(&self) -> Option<[usize; 2]> {
        match (self.dims.len(), self.channel_axis) {
            (4, 1) => Some([2, 3]),
            (4, 3) => Some([1, 2]),
            _ => None,
        }
    }

    /// Whether it is a vector of channels, which every reshape keeps as it is.
    pub(super) fn is_vector(&self) -> bool {
        self.dims.iter().product::<usize>() == self.channels()
    }
}

/// A node with its input values.
pub(super) struct Call<'a> {
    pub(super) node: Node<'a>,
    pub(super) inputs: Vec<Option<Value<'a>>>,
}

impl<'a> Call<'a> {
    /// The inputs whose values the node reads.
    pub(super) fn read(&self) -> &[Option<Value<'a>>] {
        &self.inputs[..order::values_read(self.node)]
    }

    /// Whether an input is between QuantizeLinear and DequantizeLinear.
    pub(super) fn has_integers(&self) -> bool {
        let is_integer = |value: &Value<'_>| match value {
            Value::Activation(view) => view.integers.is_some(),
            Value::Constant(_) | Value::Unknown(_) => false,
        };
        self.read().iter().flatten().any(is_integer)
    }

    /// An input that is an activation.
    pub(super) fn view(&self, index: usize) -> Result<View<'a>, ImportError> {
        let view = self.padded_view(index)?;
        match view.padding {
            Some((_, pad)) => Err(pad.unsupported(format!(
                "its padding is read by {} ({:?}), expected Conv or AveragePool",
                self.node.op(),
                self.node.name()
            ))),
            None => Ok(view),
        }
    }

    /// An input that is an activation, perhaps with padding pending.
    pub(super) fn padded_view(&self, index: usize) -> Result<View<'a>, ImportError> {
        let view = self.any_view(index)?;
        match view.mean {
            Some((_, mean)) => Err(mean.unsupported(format!(
                "its result is read by {} ({:?}), expected the mean over the other of height and width",
                self.node.op(),
                self.node.name()
            ))),
            None => Ok(view),
        }
    }

    /// An input that is an activation, whatever is pending.
    pub(super) fn any_view(&self, index: usize) -> Result<View<'a>, ImportError> {
        match self.inputs.get(index) {
            Some(Some(Value::Activation(view))) => Ok(view.clone()),
            Some(Some(Value::Unknown(source))) => Err(self.unknown(*source)),
            Some(Some(Value::Constant(_))) => Err(self.node.unsupported(format!(
                "input {index} is a constant, expected an activation"
            ))),
            Some(None) | None => Err(self.missing(index)),
        }
    }

    /// An optional input that must be a constant.
    pub(super) fn optional_constant(
        &self,
        index: usize,
    ) -> Result<Option<Rc<Constant>>, ImportError> {
        match self.inputs.get(index) {
            Some(Some(Value::Constant(constant))) => Ok(Some(constant.clone())),
            Some(Some(Value::Activation(_))) => Err(self.node.unsupported(format!(
                "input {index} is computed from the image, expected a constant"
            ))),
            Some(Some(Value::Unknown(source))) => Err(self.unknown(*source)),
            Some(None) | None => Ok(None),
        }
    }

    /// An input that must be a constant.
    pub(super) fn constant(&self, index: usize) -> Result<Rc<Constant>, ImportError> {
        self.optional_constant(index)?
            .ok_or_else(|| self.missing(index))
    }

    /// The error for an input that a node computes in an unknown way.
    fn unknown(&self, source: Node<'a>) -> ImportError {
        source.unsupported(format!(
            "it is not evaluated at import, and {:?} needs its result",
            self.node.name()
        ))
    }

    fn missing(&self, index: usize) -> ImportError {
        self.node.malformed(format!("input {index} is missing"))
    }
}
