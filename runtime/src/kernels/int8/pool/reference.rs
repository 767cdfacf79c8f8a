//! Plain pools.

use super::{average, average_factor, check, check_global, maximum};
use crate::kernels::int8::Pool;

pub(in crate::kernels) fn average_pool(call: &Pool, first: usize, out: &mut [i8]) {
    pool(call, first, out, Reduction::Sum);
}

pub(in crate::kernels) fn max_pool(call: &Pool, first: usize, out: &mut [i8]) {
    pool(call, first, out, Reduction::Maximum);
}

pub(in crate::kernels) fn global_average_pool(call: &Pool, first: usize, out: &mut [i8]) {
    check_global(call, first, out);
    let (pixels, channels) = (call.input_shape.pixels(), call.input_shape.channels);
    for (channel, out) in (first..).zip(out) {
        let values = call.input[channel..].iter().step_by(channels);
        let sum = values.fold(0, |sum: i32, &value| sum.wrapping_add(value.into()));
        *out = average(call, sum, pixels, call.multiplier / pixels as f32);
    }
}

/// What is made of the values of a window: known at run time, because two copies of the loop take flash.
#[derive(Clone, Copy)]
enum Reduction {
    Sum,
    Maximum,
}

/// Reduces the values of each window that lie on the input, and finishes with their number.
fn pool(call: &Pool, first: usize, out: &mut [i8], reduction: Reduction) {
    check(call, first, out);
    let sliding = call.sliding();
    let (width, channels) = (call.output_shape.width, call.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                let (mut sum, mut greatest, mut taps) = (0i32, i8::MIN, 0);
                for (_, pixel) in sliding.pixels([y, x]) {
                    let value = call.input[pixel * channels + channel];
                    sum = sum.wrapping_add(value.into());
                    greatest = greatest.max(value);
                    taps += 1;
                }
                *out = match reduction {
                    Reduction::Sum => average(call, sum, taps, average_factor(call, taps)),
                    Reduction::Maximum => maximum(call, greatest),
                };
            }
        }
    }
}
