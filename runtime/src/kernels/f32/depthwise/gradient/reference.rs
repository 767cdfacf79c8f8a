//! Plain gradients of the depthwise convolution: output by output, as the convolution itself runs.

use graft_patches::layout::depthwise_index;

use super::{DepthwiseGradient, check_filter, check_input};
use crate::kernels::window::Sliding;

/// Gradient of the input.
pub(in crate::kernels) fn input(call: &DepthwiseGradient, weights: &[f32], out: &mut [f32]) {
    check_input(call, weights, out);
    out.fill(0.0);
    each(call, |input, weight, d| out[input] += weights[weight] * d);
}

/// Adds the gradient of the filters to the packed `sums`.
pub(in crate::kernels) fn filter(call: &DepthwiseGradient, input: &[f32], sums: &mut [f32]) {
    check_filter(call, input, sums);
    each(call, |at, weight, d| sums[weight] += input[at] * d);
}

/// Calls `add(index of the input, index of the weight, gradient of the output)` for each product of the convolution.
fn each(call: &DepthwiseGradient, mut add: impl FnMut(usize, usize, f32)) {
    let sliding = Sliding::new(call.input_shape, call.window);
    let (channels, width) = (call.input_shape.channels, call.output_shape.width);
    for (i, &d) in call.gradient.iter().enumerate() {
        let (output, c) = (i / channels, i % channels);
        for (tap, pixel) in sliding.pixels([output / width, output % width]) {
            add(pixel * channels + c, depthwise_index(c, tap, channels), d);
        }
    }
}
