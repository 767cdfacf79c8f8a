//! Plain convolution.

use graft_patches::layout::quad_index;

use super::check;
use crate::kernels::int8::Conv;

pub(in crate::kernels::int8) fn conv(
    task: &Conv,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check(task, first, out, scratch);
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
    let inputs = task.input_shape.channels;
    let mut sum = 0;
    for ky in 0..height {
        for kx in 0..width {
            for input in 0..inputs {
                let k = (ky * width + kx) * inputs + input;
                let weight = task.weights[quad_index(channel, k, height * width * inputs)];
                sum += i32::from(value(task, position, [ky, kx], input)) * i32::from(weight);
            }
        }
    }
    sum
}

/// The input under one tap of the window at an output position, or padding.
pub(in crate::kernels::int8) fn value(
    task: &Conv,
    position: [usize; 2],
    tap: [usize; 2],
    channel: usize,
) -> i8 {
    let shape = task.input_shape;
    let pad = task.window.pad_before(shape);
    let [row, column] = [0, 1]
        .map(|axis| (position[axis] * task.window.stride[axis] + tap[axis]).checked_sub(pad[axis]));
    match (row, column) {
        (Some(row), Some(column)) if row < shape.height && column < shape.width => {
            task.input[(row * shape.width + column) * shape.channels + channel]
        }
        _ => task.padding,
    }
}
