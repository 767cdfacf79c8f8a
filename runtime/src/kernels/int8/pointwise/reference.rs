//! Plain pointwise convolution and fully connected layer.

use graft_patches::layout::quad_index;

use super::{check, check_linear};
use crate::kernels::PANEL;
use crate::kernels::int8::Pointwise;

pub(in crate::kernels::int8) fn pointwise(
    task: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check(task, first, out, scratch);
    for (pixel, out) in (first..).zip(out.chunks_exact_mut(task.outputs)) {
        let input = &task.input[pixel * task.inputs..][..task.inputs];
        for (channel, out) in out.iter_mut().enumerate() {
            *out = output(task, input, channel);
        }
    }
}

pub(in crate::kernels::int8) fn linear(
    task: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check_linear(task, first, out, scratch);
    let input = &task.input[..task.inputs];
    for (channel, out) in (first * PANEL..).zip(out) {
        *out = output(task, input, channel);
    }
}

/// One output channel of one pixel.
fn output(task: &Pointwise, input: &[i8], channel: usize) -> i8 {
    let product = |(k, &input): (usize, &i8)| {
        let weight = task.weights[quad_index(channel, k, task.inputs)];
        i32::from(input) * i32::from(weight)
    };
    task.epilogue
        .apply(channel, input.iter().enumerate().map(product).sum())
}
