//! Plain pools.

use super::{average, average_factor, check, check_global, maximum};
use crate::kernels::int8::Pool;
use crate::kernels::pool::reference::window;

pub(in crate::kernels::int8) fn average_pool(task: &Pool, first: usize, out: &mut [i8]) {
    pool(task, first, out, |values| {
        let (sum, taps) = sum(values);
        average(task, sum, taps, average_factor(task, taps))
    });
}

pub(in crate::kernels::int8) fn max_pool(task: &Pool, first: usize, out: &mut [i8]) {
    pool(task, first, out, |values| {
        maximum(task, values.max().unwrap_or(i8::MIN))
    });
}

pub(in crate::kernels::int8) fn global_average_pool(task: &Pool, first: usize, out: &mut [i8]) {
    check_global(task, first, out);
    let channels = task.input_shape.channels;
    for (channel, out) in (first..).zip(out) {
        let values = task.input[channel..].iter().step_by(channels);
        let (sum, pixels) = sum(&mut values.copied());
        *out = average(task, sum, pixels, task.multiplier / pixels as f32);
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
    task: &Pool,
    first: usize,
    out: &mut [i8],
    reduce: impl Fn(&mut dyn Iterator<Item = i8>) -> i8,
) {
    check(task, first, out);
    let (width, channels) = (task.output_shape.width, task.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                let place = [y, x, channel];
                *out = reduce(&mut window(
                    task.input,
                    task.input_shape,
                    task.window,
                    place,
                ));
            }
        }
    }
}
