//! Plain depthwise convolution.

use graft_patches::layout::depthwise_index;

use super::check;
use crate::kernels::int8::Conv;
use crate::kernels::int8::conv::reference::value;

pub(in crate::kernels::int8) fn depthwise(task: &Conv, first: usize, out: &mut [i8]) {
    check(task, first, out);
    let (width, channels) = (task.output_shape.width, task.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                *out = task.epilogue.apply(channel, sum(task, [y, x], channel));
            }
        }
    }
}

/// The window's sum at one output position and channel.
fn sum(task: &Conv, position: [usize; 2], channel: usize) -> i32 {
    let [height, width] = task.window.kernel;
    let taps = (0..height).flat_map(|ky| (0..width).map(move |kx| [ky, kx]));
    let products = taps.enumerate().map(|(tap, place)| {
        let weight = task.weights[depthwise_index(channel, tap, task.output_shape.channels)];
        i32::from(value(task, position, place, channel)) * i32::from(weight)
    });
    products.sum()
}
