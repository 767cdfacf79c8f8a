//! Plain pools.

use super::{check, check_global, divisor};
use crate::kernels::f32::{Pool, Shape, Window};

pub(in crate::kernels) fn average_pool(call: &Pool, first: usize, out: &mut [f32]) {
    pool(call, first, out, |values| {
        let (sum, taps) = values.fold((0.0, 0), |(sum, taps), x| (sum + x, taps + 1));
        sum / divisor(call, taps)
    });
}

pub(in crate::kernels) fn max_pool(call: &Pool, first: usize, out: &mut [f32]) {
    pool(call, first, out, |values| {
        values.fold(f32::NEG_INFINITY, f32::max)
    });
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

/// Reduces the values of each window that lie on the input.
fn pool(
    call: &Pool,
    first: usize,
    out: &mut [f32],
    reduce: impl Fn(&mut dyn Iterator<Item = f32>) -> f32,
) {
    check(call, first, out);
    let (width, channels) = (call.output_shape.width, call.output_shape.channels);
    for (y, row) in (first..).zip(out.chunks_exact_mut(width * channels)) {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (channel, out) in pixel.iter_mut().enumerate() {
                let mut values = window(call.input, call.input_shape, call.window, [y, x, channel]);
                let value = reduce(&mut values);
                *out = call.activation.of(value);
            }
        }
    }
}

/// The input values of one channel under the window of one output position.
pub(in crate::kernels) fn window<T: Copy>(
    input: &[T],
    shape: Shape,
    window: Window,
    [y, x, channel]: [usize; 3],
) -> impl Iterator<Item = T> {
    let [top, left] = window.pad_before(shape);
    let rows = (0..window.kernel[0]).map(move |ky| y * window.stride[0] + ky);
    let rows = rows.filter(move |row| (top..top + shape.height).contains(row));
    rows.flat_map(move |row| {
        let columns = (0..window.kernel[1]).map(move |kx| x * window.stride[1] + kx);
        let columns = columns.filter(move |column| (left..left + shape.width).contains(column));
        columns.map(move |column| {
            let pixel = (row - top) * shape.width + column - left;
            input[pixel * shape.channels + channel]
        })
    })
}
