//! Plain convolution.

use graft_patches::layout::quad_index;

use super::check;
use crate::kernels::int8::Conv;

pub(in crate::kernels) fn conv(call: &Conv, first: usize, out: &mut [i8], scratch: &mut [u8]) {
    check(call, first, out, scratch);
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
    let inputs = call.input_shape.channels;
    let mut sum = 0;
    for ky in 0..height {
        for kx in 0..width {
            for input in 0..inputs {
                let k = (ky * width + kx) * inputs + input;
                let weight = call.weights[quad_index(channel, k, height * width * inputs)];
                sum += i32::from(value(call, position, [ky, kx], input)) * i32::from(weight);
            }
        }
    }
    sum
}

/// The input under one tap of the window at an output position, or padding.
pub(in crate::kernels) fn value(
    call: &Conv,
    position: [usize; 2],
    tap: [usize; 2],
    channel: usize,
) -> i8 {
    let shape = call.input_shape;
    let pad = call.window.pad_before(shape);
    let [row, column] = [0, 1]
        .map(|axis| (position[axis] * call.window.stride[axis] + tap[axis]).checked_sub(pad[axis]));
    match (row, column) {
        (Some(row), Some(column)) if row < shape.height && column < shape.width => {
            call.input[(row * shape.width + column) * shape.channels + channel]
        }
        _ => call.padding,
    }
}
