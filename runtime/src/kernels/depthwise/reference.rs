//! Plain depthwise convolution.

use super::check;
use crate::kernels::{Conv, PANEL};

pub(in crate::kernels) fn depthwise(task: &Conv, first: usize, out: &mut [f32]) {
    check(task, first, out);
    let (width, channels) = (task.output_shape.width, task.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                *out = task.epilogue.apply(channel, sum(task, y, x, channel));
            }
        }
    }
}

/// The window's sum at one output position and channel.
fn sum(task: &Conv, y: usize, x: usize, channel: usize) -> f32 {
    let Conv {
        input_shape,
        window,
        ..
    } = task;
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
            sum += task.input[pixel * channels + channel]
                * task.weights[tap * channels.next_multiple_of(PANEL) + channel];
        }
    }
    sum
}
