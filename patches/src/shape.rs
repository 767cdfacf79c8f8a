//! The shape of a layer's output.

use crate::geometry::Shape;
use crate::records::{Layer, MAX_SIDE, Op};

/// The shape that a layer gives these operands; `outputs` is the channel count of its site.
///
/// # Errors
/// The misfit, in words.
pub fn output_shape(
    layer: &Layer,
    left: Shape,
    right: Shape,
    outputs: Option<usize>,
) -> Result<Shape, &'static str> {
    let windowed = |channels| match layer.window.output(left) {
        Some([height @ 1..=MAX_SIDE, width @ 1..=MAX_SIDE]) => {
            Ok(Shape::new(height, width, channels))
        }
        _ => Err("the window does not fit its input"),
    };
    let outputs = outputs.unwrap_or(left.channels);
    match layer.op {
        Op::Conv | Op::Pointwise => windowed(outputs),
        Op::Depthwise if outputs != left.channels => {
            Err("a depthwise site with other channels than its input")
        }
        Op::Depthwise | Op::AveragePool | Op::MaxPool => windowed(left.channels),
        Op::Linear if left.pixels() != 1 => Err("a linear layer on more than one pixel"),
        Op::Linear => Ok(Shape::new(1, 1, outputs)),
        Op::GlobalAveragePool => Ok(Shape::new(1, 1, left.channels)),
        Op::Add if left == right => Ok(left),
        Op::Multiply if left == right || right == Shape::new(1, 1, left.channels) => Ok(left),
        Op::Add | Op::Multiply => Err("operands of different shapes"),
    }
}
