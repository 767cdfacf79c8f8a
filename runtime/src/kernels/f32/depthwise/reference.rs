//! Plain depthwise convolution.

use graft_patches::layout::depthwise_index;

use super::check;
use crate::kernels::f32::Conv;

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
    let channels = call.input_shape.channels;
    let window = call.sliding().pixels([y, x]);
    window.fold(0.0, |sum, (tap, pixel)| {
        let weight = call.weights[depthwise_index(channel, tap, channels)];
        sum + call.input[pixel * channels + channel] * weight
    })
}
