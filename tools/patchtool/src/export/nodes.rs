//! The nodes of a layer.

use graft_patches::geometry::{Activation, Padding, Window};
use graft_patches::records::{Layer, Op};
use tract_onnx::pb::{AttributeProto, NodeProto};

use super::proto::{float, int, ints, node, text};

/// A layer with weights, of so many output channels, that reads an activation, weights and perhaps a bias.
pub(super) fn weighted(layer: &Layer, inputs: Vec<String>, outputs: usize) -> NodeProto {
    if layer.op == Op::Linear {
        return node("Gemm", inputs, vec![int("transB", 1)]);
    }
    let groups = match layer.op {
        Op::Depthwise => outputs,
        _ => 1,
    };
    let mut attributes = window(&layer.window);
    attributes.push(int("group", groups));
    node("Conv", inputs, attributes)
}

/// A layer without weights.
pub(super) fn unweighted(layer: &Layer, inputs: Vec<String>) -> NodeProto {
    match layer.op {
        Op::Add => node("Add", inputs, Vec::new()),
        Op::Multiply => node("Mul", inputs, Vec::new()),
        Op::AveragePool => {
            let mut attributes = window(&layer.window);
            attributes.push(int("count_include_pad", layer.count_padding.into()));
            node("AveragePool", inputs, attributes)
        }
        Op::MaxPool => node("MaxPool", inputs, window(&layer.window)),
        _ => node("GlobalAveragePool", inputs, Vec::new()),
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
