//! Plain pointwise convolution and fully connected layer.

use graft_patches::layout::quad_index;

use super::{check, check_linear};
use crate::kernels::PANEL;
use crate::kernels::int8::Pointwise;

pub(in crate::kernels) fn pointwise(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check(call, first, out, scratch);
    for (pixel, out) in (first..).zip(out.chunks_exact_mut(call.outputs)) {
        let input = &call.input[pixel * call.inputs..][..call.inputs];
        for (channel, out) in out.iter_mut().enumerate() {
            *out = output(call, input, channel);
        }
    }
}

pub(in crate::kernels) fn linear(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check_linear(call, first, out, scratch);
    let input = &call.input[..call.inputs];
    for (channel, out) in (first * PANEL..).zip(out) {
        *out = output(call, input, channel);
    }
}

/// One output channel of one pixel.
fn output(call: &Pointwise, input: &[i8], channel: usize) -> i8 {
    let product = |(k, &input): (usize, &i8)| {
        let weight = call.weights[quad_index(channel, k, call.inputs)];
        i32::from(input) * i32::from(weight)
    };
    call.epilogue
        .apply(channel, input.iter().enumerate().map(product).sum())
}
