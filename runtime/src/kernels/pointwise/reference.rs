//! Plain pointwise convolution and fully connected layer.

use super::{check, check_linear};
use crate::kernels::{PANEL, Pointwise};

pub(in crate::kernels) fn pointwise(task: &Pointwise, first: usize, out: &mut [f32]) {
    check(task, first, out);
    for (pixel, out) in (first..).zip(out.chunks_exact_mut(task.outputs)) {
        let input = &task.input[pixel * task.inputs..][..task.inputs];
        for (channel, out) in out.iter_mut().enumerate() {
            *out = output(task, input, channel);
        }
    }
}

pub(in crate::kernels) fn linear(task: &Pointwise, first: usize, out: &mut [f32]) {
    check_linear(task, first, out);
    let input = &task.input[..task.inputs];
    for (channel, out) in (first * PANEL..).zip(out) {
        *out = output(task, input, channel);
    }
}

/// One output channel of one pixel.
fn output(task: &Pointwise, input: &[f32], channel: usize) -> f32 {
    let panel = &task.weights[channel / PANEL * task.inputs * PANEL..];
    let weights = panel[channel % PANEL..].iter().step_by(PANEL);
    let acc = input.iter().zip(weights).map(|(x, w)| x * w).sum();
    task.epilogue.apply(channel, acc)
}
