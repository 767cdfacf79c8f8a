//! Plain pointwise convolution and fully connected layer.

use super::{check, check_linear};
use crate::kernels::f32::{PANEL, Pointwise};

pub(in crate::kernels) fn pointwise(call: &Pointwise, first: usize, out: &mut [f32]) {
    check(call, first, out);
    for (pixel, out) in (first..).zip(out.chunks_exact_mut(call.outputs)) {
        let input = &call.input[pixel * call.inputs..][..call.inputs];
        for (channel, out) in out.iter_mut().enumerate() {
            *out = output(call, input, channel);
        }
    }
}

pub(in crate::kernels) fn linear(call: &Pointwise, first: usize, out: &mut [f32]) {
    check_linear(call, first, out);
    let input = &call.input[..call.inputs];
    for (channel, out) in (first * PANEL..).zip(out) {
        *out = output(call, input, channel);
    }
}

/// One output channel of one pixel.
fn output(call: &Pointwise, input: &[f32], channel: usize) -> f32 {
    let panel = &call.weights[channel / PANEL * call.inputs * PANEL..];
    let weights = panel[channel % PANEL..].iter().step_by(PANEL);
    let acc = input.iter().zip(weights).map(|(x, w)| x * w).sum();
    call.epilogue.apply(channel, acc)
}
