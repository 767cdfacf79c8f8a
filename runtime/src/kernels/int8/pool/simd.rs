//! Fast pools: groups of channels, in loops that the compiler vectorises.

use super::{average, average_factor, maximum};
use crate::kernels::int8::Pool;
use crate::kernels::window::clip;

#[inline(always)]
pub(in crate::kernels) fn average_pool(call: &Pool, first: usize, out: &mut [i8]) {
    windows(call, first, out, |taps| Average {
        taps,
        factor: average_factor(call, taps),
    });
}

#[inline(always)]
pub(in crate::kernels) fn max_pool(call: &Pool, first: usize, out: &mut [i8]) {
    windows(call, first, out, |_| Maximum);
}

#[inline(always)]
pub(in crate::kernels) fn global_average_pool(call: &Pool, first: usize, out: &mut [i8]) {
    let shape = call.input_shape;
    let pixels = shape.pixels();
    let reduction = Average {
        taps: pixels,
        factor: call.multiplier / pixels as f32,
    };
    let input = &call.input[first..];
    channels(call, input, [shape.height, shape.width], reduction, out);
}

/// What a pool makes of the values of a window.
trait Reduction: Copy {
    type Value: Copy;
    /// Of no values.
    const NONE: Self::Value;
    fn with(value: Self::Value, input: i8) -> Self::Value;
    fn output(self, call: &Pool, value: Self::Value) -> i8;
}

#[derive(Clone, Copy)]
struct Average {
    taps: usize,
    factor: f32,
}

impl Reduction for Average {
    type Value = i32;
    const NONE: i32 = 0;

    #[inline(always)]
    fn with(value: i32, input: i8) -> i32 {
        value.wrapping_add(input.into())
    }

    #[inline(always)]
    fn output(self, call: &Pool, value: i32) -> i8 {
        average(call, value, self.taps, self.factor)
    }
}

#[derive(Clone, Copy)]
struct Maximum;

impl Reduction for Maximum {
    type Value = i8;
    const NONE: i8 = i8::MIN;

    #[inline(always)]
    fn with(value: i8, input: i8) -> i8 {
        value.max(input)
    }

    #[inline(always)]
    fn output(self, call: &Pool, value: i8) -> i8 {
        maximum(call, value)
    }
}

/// Every window, with the reduction for the number of its taps that lie on the input.
#[inline(always)]
fn windows<R: Reduction>(
    call: &Pool,
    first: usize,
    out: &mut [i8],
    reduction: impl Fn(usize) -> R,
) {
    let (shape, window, output) = (call.input_shape, call.window, call.output_shape);
    let [top, left] = window.pad_before(shape);
    let pixels = out.chunks_exact_mut(output.channels);
    for (pixel, out) in (first * output.width..).zip(pixels) {
        let [y, x] = [pixel / output.width, pixel % output.width];
        let rows = clip(y, window.stride[0], top, window.kernel[0], shape.height);
        let columns = clip(x, window.stride[1], left, window.kernel[1], shape.width);
        let corner = (rows.start * shape.width + columns.start) * shape.channels;
        let taps = [rows.taps.len(), columns.taps.len()];
        let reduction = reduction(taps[0] * taps[1]);
        channels(call, &call.input[corner..], taps, reduction, out);
    }
}

/// One output pixel, or some channels of it: those at the start of `input`, over `taps` rows and columns.
#[inline(always)]
fn channels<R: Reduction>(
    call: &Pool,
    mut input: &[i8],
    taps: [usize; 2],
    reduction: R,
    mut out: &mut [i8],
) {
    while !out.is_empty() {
        let count = match out.len() {
            // A cache line, then what the channels of most networks are a multiple of.
            64.. => group::<R, 64>(call, input, taps, reduction, out),
            8.. => group::<R, 8>(call, input, taps, reduction, out),
            _ => group::<R, 1>(call, input, taps, reduction, out),
        };
        (input, out) = (input.get(count..).unwrap_or(&[]), &mut out[count..]);
    }
}

/// The first `N` channels; returns `N`.
#[inline(always)]
fn group<R: Reduction, const N: usize>(
    call: &Pool,
    input: &[i8],
    [rows, columns]: [usize; 2],
    reduction: R,
    out: &mut [i8],
) -> usize {
    let shape = call.input_shape;
    let mut values = [R::NONE; N];
    for row in 0..rows {
        for column in 0..columns {
            let start = (row * shape.width + column) * shape.channels;
            for (value, &input) in values.iter_mut().zip(&input[start..][..N]) {
                *value = R::with(*value, input);
            }
        }
    }
    for (out, value) in out[..N].iter_mut().zip(values) {
        *out = reduction.output(call, value);
    }
    N
}
