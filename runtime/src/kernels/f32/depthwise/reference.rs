//! Plain depthwise convolution.

use super::check;
use crate::kernels::f32::{Conv, PANEL};

pub(in crate::kernels) fn depthwise(call: &Conv, first: usize, out: &mut [f32]) {
    check(call, first, out);
    let (width, channels) = (call.output_shape.width, call.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                *out = call.epilogue.apply(channel, sum(call, y, x, channel));
            }
        }
    }
}

/// The window's sum at one output position and channel.
fn sum(call: &Conv, y: usize, x: usize, channel: usize) -> f32 {
    let Conv {
        input_shape,
        window,
        ..
    } = call;
    let [kernel_height, kernel_width] = window.kernel;
    let [top, left] = window.pad_before(*input_shape);
    let channels = input_shape.channels;
    let mut sum = 0.0;
    for ky in 0..kernel_height {
        for kx in 0..kernel_width {
            let (row, column) = (y * window.stride[0] + ky, x * window.stride[1] + kx);
            if row < top || row >= top + input_shape.height {
                continue;
            }
            if column < left || column >= left + input_shape.width {
                continue;
            }
            let pixel = (row - top) * input_shape.width + column - left;
            let tap = ky * kernel_width + kx;
            sum += call.input[pixel * channels + channel]
                * call.weights[tap * channels.next_multiple_of(PANEL) + channel];
        }
    }
    sum
}
