//! Plain gradients of the depthwise convolution: output by output, as the convolution itself runs.

use graft_patches::layout::padded;

use super::{DepthwiseGradient, check_filter, check_input};

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
    let (input, output, window) = (call.input_shape, call.output_shape, call.window);
    let [top, left] = window.pad_before(input);
    let channels = input.channels;
    for (i, &d) in call.gradient.iter().enumerate() {
        let (pixel, c) = (i / channels, i % channels);
        let (y, x) = (pixel / output.width, pixel % output.width);
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let (row, column) = (y * window.stride[0] + ky, x * window.stride[1] + kx);
                let on_rows = (top..top + input.height).contains(&row);
                let on_columns = (left..left + input.width).contains(&column);
                if on_rows && on_columns {
                    let pixel = (row - top) * input.width + column - left;
                    let tap = ky * window.kernel[1] + kx;
                    add(pixel * channels + c, tap * padded(channels) + c, d);
                }
            }
        }
    }
}
