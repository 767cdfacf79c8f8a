//! Plain pools.

use super::{average, average_factor, check, check_global, maximum};
use crate::kernels::f32::pool::reference::window;
use crate::kernels::int8::Pool;

pub(in crate::kernels) fn average_pool(call: &Pool, first: usize, out: &mut [i8]) {
    pool(call, first, out, |values| {
        let (sum, taps) = sum(values);
        average(call, sum, taps, average_factor(call, taps))
    });
}

pub(in crate::kernels) fn max_pool(call: &Pool, first: usize, out: &mut [i8]) {
    pool(call, first, out, |values| {
        maximum(call, values.max().unwrap_or(i8::MIN))
    });
}

pub(in crate::kernels) fn global_average_pool(call: &Pool, first: usize, out: &mut [i8]) {
    check_global(call, first, out);
    let channels = call.input_shape.channels;
    for (channel, out) in (first..).zip(out) {
        let values = call.input[channel..].iter().step_by(channels);
        let (sum, pixels) = sum(&mut values.copied());
        *out = average(call, sum, pixels, call.multiplier / pixels as f32);
    }
}

/// The sum and the number of some values.
fn sum(values: &mut dyn Iterator<Item = i8>) -> (i32, usize) {
    values.fold((0, 0), |(sum, count), value| {
        (i32::wrapping_add(sum, value.into()), count + 1)
    })
}

/// Reduces the values of each window that lie on the input.
fn pool(
    call: &Pool,
    first: usize,
    out: &mut [i8],
    reduce: impl Fn(&mut dyn Iterator<Item = i8>) -> i8,
) {
    check(call, first, out);
    let (width, channels) = (call.output_shape.width, call.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                let place = [y, x, channel];
                *out = reduce(&mut window(
                    call.input,
                    call.input_shape,
                    call.window,
                    place,
                ));
            }
        }
    }
}
