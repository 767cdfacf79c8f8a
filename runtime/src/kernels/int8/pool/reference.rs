//! Plain pools.

use super::{average, average_factor, check, check_global, maximum};
use crate::kernels::int8::Pool;

pub(in crate::kernels) fn average_pool(call: &Pool, first: usize, out: &mut [i8]) {
    let mean = |sum, taps| average(call, sum, taps, average_factor(call, taps));
    pool(call, first, out, 0, add, mean);
}

pub(in crate::kernels) fn max_pool(call: &Pool, first: usize, out: &mut [i8]) {
    pool(call, first, out, i8::MIN, i8::max, |max, _| {
        maximum(call, max)
    });
}

pub(in crate::kernels) fn global_average_pool(call: &Pool, first: usize, out: &mut [i8]) {
    check_global(call, first, out);
    let (pixels, channels) = (call.input_shape.pixels(), call.input_shape.channels);
    for (channel, out) in (first..).zip(out) {
        let values = call.input[channel..].iter().step_by(channels);
        let sum = values.fold(0, |sum, &value| add(sum, value));
        *out = average(call, sum, pixels, call.multiplier / pixels as f32);
    }
}

fn add(sum: i32, value: i8) -> i32 {
    sum.wrapping_add(value.into())
}

/// Reduces the values of each window that lie on the input, then finishes with their number.
fn pool<A: Copy>(
    call: &Pool,
    first: usize,
    out: &mut [i8],
    start: A,
    reduce: impl Fn(A, i8) -> A,
    finish: impl Fn(A, usize) -> i8,
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
                *out = finish(value, taps);
            }
        }
    }
}
