//! Plain depthwise convolution.

use graft_patches::layout::depthwise_index;

use super::check;
use crate::kernels::int8::Conv;
use crate::kernels::int8::conv::reference::value;

pub(in crate::kernels) fn depthwise(call: &Conv, first: usize, out: &mut [i8]) {
    check(call, first, out);
    let (width, channels) = (call.output_shape.width, call.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                *out = call.epilogue.apply(channel, sum(call, [y, x], channel));
            }
        }
    }
}

/// The window's sum at one output position and channel.
fn sum(call: &Conv, position: [usize; 2], channel: usize) -> i32 {
    let [height, width] = call.window.kernel;
    let taps = (0..height).flat_map(|ky| (0..width).map(move |kx| [ky, kx]));
    let products = taps.enumerate().map(|(tap, place)| {
        let weight = call.weights[depthwise_index(channel, tap, call.output_shape.channels)];
        i32::from(value(call, position, place, channel)) * i32::from(weight)
    });
    products.sum()
}
