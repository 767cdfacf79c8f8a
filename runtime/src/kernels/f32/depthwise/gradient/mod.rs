//! Gradients of the depthwise convolution: of its input (a gather over the outputs that an input pixel went into) and
//! of its filters.

pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use graft_patches::geometry::Padding;
use graft_patches::layout::{padded, weights_len};

use crate::kernels::f32::{Shape, Window};

/// One image of a depthwise convolution, and the gradient of its accumulators.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseGradient<'a> {
    /// Shape of the input.
    pub input_shape: Shape,
    /// Shape of the output.
    pub output_shape: Shape,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Gradient of the accumulators, `output_shape`.
    pub gradient: &'a [f32],
}

/// Filters rotated by half a circle, and the padding with which a forward convolution of stride 1 of the gradient gives
/// the gradient of the input; `None` for other strides.
pub fn flip(
    weights: &[f32],
    input: Shape,
    output: Shape,
    window: Window,
) -> Option<(std::vec::Vec<f32>, Window)> {
    if window.stride != [1, 1] {
        return None;
    }
    let [top, left] = window.pad_before(input);
    let [height, width] = window.kernel;
    let (top, left) = (height - 1 - top, width - 1 - left);
    let padding = Padding::Explicit {
        top,
        left,
        bottom: (input.height + height - 1).checked_sub(output.height + top)?,
        right: (input.width + width - 1).checked_sub(output.width + left)?,
    };
    let row = padded(input.channels);
    let flipped = weights
        .chunks_exact(row)
        .take(height * width)
        .rev()
        .flatten()
        .copied()
        .collect();
    Some((flipped, Window { padding, ..window }))
}

/// Panics unless the operands have the lengths that the shapes say.
pub(in crate::kernels) fn check_input(call: &DepthwiseGradient, weights: &[f32], out: &[f32]) {
    check(call, weights.len());
    assert!(out.len() == call.input_shape.len(), "not the input's shape");
}

/// Panics unless the operands have the lengths that the shapes say.
pub(in crate::kernels) fn check_filter(call: &DepthwiseGradient, input: &[f32], sums: &[f32]) {
    check(call, sums.len());
    assert!(
        input.len() == call.input_shape.len(),
        "not the input's shape"
    );
}

fn check(call: &DepthwiseGradient, weights: usize) {
    let [height, width] = call.window.kernel;
    let channels = call.input_shape.channels;
    assert!(call.output_shape.channels == channels, "channels differ");
    assert!(
        call.gradient.len() == call.output_shape.len(),
        "not the output's shape"
    );
    assert!(
        weights >= weights_len(channels, height * width),
        "weights are too short"
    );
    assert!(
        call.window.output(call.input_shape)
            == Some([call.output_shape.height, call.output_shape.width]),
        "the window does not give the output's shape"
    );
}
