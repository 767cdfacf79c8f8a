//! The nodes of a layer.

use graft_onnx::build::{float, int, ints, node, text};
use graft_onnx::proto::{AttributeProto, NodeProto};
use graft_patches::geometry::{Activation, Padding, Window};
use graft_patches::records::{Layer, Op};

/// The node that computes a layer. Its inputs are the layer's, then weights and perhaps a bias; `outputs` is the number of
/// output channels of the weights, 0 without.
pub(super) fn layer(layer: &Layer, inputs: Vec<String>, outputs: usize) -> NodeProto {
    let convolution = |inputs, groups| {
        let mut attributes = window(&layer.window);
        attributes.push(int("group", groups));
        node("Conv", inputs, attributes)
    };
    match layer.op {
        Op::Conv | Op::Pointwise => convolution(inputs, 1),
        Op::Depthwise => convolution(inputs, outputs),
        Op::Linear => node("Gemm", inputs, vec![int("transB", 1)]),
        Op::Add => node("Add", inputs, Vec::new()),
        Op::Multiply => node("Mul", inputs, Vec::new()),
        Op::AveragePool => {
            let mut attributes = window(&layer.window);
            attributes.push(int("count_include_pad", layer.count_padding.into()));
            node("AveragePool", inputs, attributes)
        }
        Op::MaxPool => node("MaxPool", inputs, window(&layer.window)),
        Op::GlobalAveragePool => node("GlobalAveragePool", inputs, Vec::new()),
    }
}

/// Whether a layer reads and writes `[batch, channels]`; else `[batch, channels, rows, columns]`.
pub(super) fn is_row(op: Op) -> bool {
    match op {
        Op::Linear => true,
        Op::Conv
        | Op::Depthwise
        | Op::Pointwise
        | Op::Add
        | Op::Multiply
        | Op::AveragePool
        | Op::MaxPool
        | Op::GlobalAveragePool => false,
    }
}

/// The activation of what `before` names, if there is one; `number` names a bound.
pub(super) fn activation(
    activation: Activation,
    before: String,
    mut number: impl FnMut(f32) -> String,
) -> Option<NodeProto> {
    match activation {
        Activation::NONE => None,
        Activation::RELU => Some(node("Relu", vec![before], Vec::new())),
        Activation::Clamp { min, max } => {
            let inputs = vec![before, number(min), number(max)];
            Some(node("Clip", inputs, Vec::new()))
        }
        Activation::HardSwish => Some(node("HardSwish", vec![before], Vec::new())),
        Activation::HardSigmoid { alpha, beta } => {
            let attributes = vec![float("alpha", alpha), float("beta", beta)];
            Some(node("HardSigmoid", vec![before], attributes))
        }
    }
}

fn window(window: &Window) -> Vec<AttributeProto> {
    let padding = match window.padding {
        Padding::Same => text("auto_pad", "SAME_UPPER"),
        Padding::Explicit {
            top,
            left,
            bottom,
            right,
        } => ints("pads", &[top, left, bottom, right]),
    };
    vec![
        ints("kernel_shape", &window.kernel),
        ints("strides", &window.stride),
        padding,
    ]
}
