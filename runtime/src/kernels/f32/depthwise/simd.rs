//! Fast depthwise convolution: output rows, tiles of neighbouring columns, vectors of channels.

use super::tile::{COLUMNS, Columns, Row, tile};
use crate::kernels::f32::Conv;
use crate::kernels::f32::epilogue::simd::{Destination, finish};
use crate::kernels::isa::vector::Vector;

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
                (3, 1) => tiles::<V, WIDTH, 3, 1>(&row, out),
                (3, 2) => tiles::<V, WIDTH, 3, 2>(&row, out),
                (5, 1) => tiles::<V, WIDTH, 5, 1>(&row, out),
                (5, 2) => tiles::<V, WIDTH, 5, 2>(&row, out),
                _ => pixels::<V>(call, &row, out),
            }
        }
    }
}

/// The operands of output row `y`.
#[inline(always)]
fn row<'a>(call: &Conv<'a>, y: usize) -> Row<'a> {
    let (shape, window) = (call.input_shape, call.window);
    let rows = call.sliding().span(0, y);
    let mut row = Row {
        input: call.input[rows.start * shape.width * shape.channels..].as_ptr(),
        weights: call.weights.as_ptr(),
        taps: rows.taps.len(),
        kernel_width: window.kernel[1],
        width: shape.width,
        left: call.sliding().pad[1],
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
    row: &Row,
    out: &mut [f32],
) {
    for (i, out) in out.chunks_mut(COLUMNS * row.channels).enumerate() {
        let outputs = out.len() / row.channels;
        let columns = Columns::new::<KERNEL, STRIDE>(row, i * COLUMNS, outputs);
        let out = out.as_mut_ptr();
        // SAFETY: there are `outputs` pixels in `out`; `is_whole` says whether the tile has an edge.
        unsafe {
            if columns.is_whole::<KERNEL, STRIDE>() {
                channels::<V, WIDTH, KERNEL, STRIDE, false>(row, columns, out);
            } else {
                channels::<V, WIDTH, KERNEL, STRIDE, true>(row, columns, out);
            }
        }
    }
}

/// All channels of a tile's columns.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn channels<
    V: Vector,
    const WIDTH: usize,
    const KERNEL: usize,
    const STRIDE: usize,
    const EDGE: bool,
>(
    row: &Row,
    columns: Columns,
    out: *mut f32,
) {
    let mut channel = 0;
    // SAFETY: the channels of each tile are below `row.channels`, but for those that `PARTIAL` allows.
    unsafe {
        while channel + WIDTH * V::LANES <= row.channels {
            tile::<V, WIDTH, KERNEL, STRIDE, EDGE, false>(row, columns, channel, out);
            channel += WIDTH * V::LANES;
        }
        while channel < row.channels {
            tile::<V, 1, KERNEL, STRIDE, true, true>(row, columns, channel, out);
            channel += V::LANES;
        }
    }
}

/// One output row pixel by pixel, for any kernel.
///
/// # Safety
/// `row` is made for this row of the output; `check` holds.
#[inline(always)]
unsafe fn pixels<V: Vector>(call: &Conv, row: &Row, out: &mut [f32]) {
    let sliding = call.sliding();
    for (x, out) in out.chunks_exact_mut(row.channels).enumerate() {
        let columns = sliding.span(1, x);
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
                let to = Destination {
                    pixel: out.as_mut_ptr(),
                    channels: row.channels,
                    channel,
                    pixels: 1,
                };
                finish([[sum]], &row.epilogue, to);
            }
        }
    }
}
