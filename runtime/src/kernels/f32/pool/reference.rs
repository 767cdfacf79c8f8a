//! Plain pools.

use super::{check, check_global, divisor};
use crate::kernels::f32::Pool;

pub(in crate::kernels) fn average_pool(call: &Pool, first: usize, out: &mut [f32]) {
    let mean = |sum, taps| sum / divisor(call, taps);
    pool(call, first, out, 0.0, |sum, x| sum + x, mean);
}

pub(in crate::kernels) fn max_pool(call: &Pool, first: usize, out: &mut [f32]) {
    pool(call, first, out, f32::NEG_INFINITY, f32::max, |max, _| max);
}

pub(in crate::kernels) fn global_average_pool(call: &Pool, first: usize, out: &mut [f32]) {
    check_global(call, first, out);
    let pixels = call.input_shape.pixels();
    for (channel, out) in (first..).zip(out) {
        let values = call.input[channel..]
            .iter()
            .step_by(call.input_shape.channels);
        let mean = values.sum::<f32>() / pixels as f32;
        *out = call.activation.of(mean);
    }
}

/// Reduces the values of each window that lie on the input, then finishes with their number.
fn pool(
    call: &Pool,
    first: usize,
    out: &mut [f32],
    start: f32,
    reduce: impl Fn(f32, f32) -> f32,
    finish: impl Fn(f32, usize) -> f32,
) {
    check(call, first, out);
    let sliding = call.sliding();
    let (width, channels) = (call.output_shape.width, call.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                let window = sliding.pixels([y, x]);
                let (value, taps) = window.fold((start, 0), |(value, taps), (_, pixel)| {
                    let input = call.input[pixel * channels + channel];
                    (reduce(value, input), taps + 1)
                });
                *out = call.activation.of(finish(value, taps));
            }
        }
    }
}
