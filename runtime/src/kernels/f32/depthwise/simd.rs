//! Fast depthwise convolution: output rows, tiles of neighbouring columns, vectors of channels.

use super::tile::{COLUMNS, Place, Row, tile};
use crate::kernels::f32::Conv;
use crate::kernels::isa::vector::Vector;
use crate::kernels::window::clip;

/// Depthwise convolution with tiles for the usual kernels, pixel by pixel for others.
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn depthwise<V: Vector, const WIDTH: usize>(
    call: &Conv,
    first: usize,
    out: &mut [f32],
) {
    let length = call.output_shape.width * call.output_shape.channels;
    for (y, out) in (first..).zip(out.chunks_exact_mut(length)) {
        let row = row(call, y);
        // SAFETY: `row` and `out` belong to the same row of the output.
        unsafe {
            match (call.window.kernel[1], call.window.stride[1]) {
                (3, 1) => tiles::<V, WIDTH, 3, 1>(call, &row, out),
                (3, 2) => tiles::<V, WIDTH, 3, 2>(call, &row, out),
                (5, 1) => tiles::<V, WIDTH, 5, 1>(call, &row, out),
                (5, 2) => tiles::<V, WIDTH, 5, 2>(call, &row, out),
                _ => pixels::<V>(call, &row, out),
            }
        }
    }
}

/// The operands of output row `y`.
#[inline(always)]
fn row<'a>(call: &Conv<'a>, y: usize) -> Row<'a> {
    let (shape, window) = (call.input_shape, call.window);
    let [top, _] = window.pad_before(shape);
    let rows = clip(y, window.stride[0], top, window.kernel[0], shape.height);
    let mut row = Row {
        input: call.input[rows.start * shape.width * shape.channels..].as_ptr(),
        weights: call.weights.as_ptr(),
        taps: rows.taps.len(),
        kernel_width: window.kernel[1],
        width: shape.width,
        channels: shape.channels,
        epilogue: call.epilogue,
    };
    row.weights = row.weights(rows.taps.start, 0, 0);
    row
}

/// One output row in tiles of [`COLUMNS`] columns.
///
/// # Safety
/// `row` is made for this row of the output; `check` holds.
#[inline(always)]
unsafe fn tiles<V: Vector, const WIDTH: usize, const KERNEL: usize, const STRIDE: usize>(
    call: &Conv,
    row: &Row,
    out: &mut [f32],
) {
    let [_, left] = call.window.pad_before(call.input_shape);
    let mut column = -(left as isize);
    for out in out.chunks_mut(COLUMNS * row.channels) {
        let outputs = out.len() / row.channels;
        let end = column + ((COLUMNS - 1) * STRIDE + KERNEL) as isize;
        let whole = outputs == COLUMNS && column >= 0 && end <= row.width as isize;
        let out = out.as_mut_ptr();
        let mut place = Place {
            column,
            channel: 0,
            outputs,
        };
        while place.channel < row.channels {
            let wide = place.channel + WIDTH * V::LANES <= row.channels;
            // SAFETY: `whole` and `wide` say what is in bounds; there are `outputs` pixels in `out`.
            unsafe {
                match (wide, whole) {
                    (true, true) => tile::<V, WIDTH, KERNEL, STRIDE, false>(row, place, out),
                    (true, false) => tile::<V, WIDTH, KERNEL, STRIDE, true>(row, place, out),
                    (false, _) => tile::<V, 1, KERNEL, STRIDE, true>(row, place, out),
                }
            }
            place.channel += if wide { WIDTH * V::LANES } else { V::LANES };
        }
        column += (COLUMNS * STRIDE) as isize;
    }
}

/// One output row pixel by pixel, for any kernel.
///
/// # Safety
/// `row` is made for this row of the output; `check` holds.
#[inline(always)]
unsafe fn pixels<V: Vector>(call: &Conv, row: &Row, out: &mut [f32]) {
    let (shape, window) = (call.input_shape, call.window);
    let [_, left] = window.pad_before(shape);
    for (x, out) in out.chunks_exact_mut(row.channels).enumerate() {
        let columns = clip(x, window.stride[1], left, window.kernel[1], shape.width);
        for channel in (0..row.channels).step_by(V::LANES) {
            let channels = row.channels - channel;
            // SAFETY: the window is clipped to the input, and only channels below `row.channels` are touched.
            unsafe {
                let mut sum = V::splat(0.0);
                for tap in 0..row.taps {
                    for (column, k) in (columns.start..).zip(columns.taps.clone()) {
                        let input = row.input(tap, column as isize, channel);
                        let weight = V::load(row.weights(tap, k, channel));
                        sum = V::load_up_to(input, channels).mul_add(weight, sum);
                    }
                }
                let mut sums = [[sum]];
                row.finish(&mut sums, channel);
                let [[sum]] = sums;
                sum.store_up_to(out.as_mut_ptr().add(channel), channels);
            }
        }
    }
}
