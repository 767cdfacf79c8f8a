//! Fast pools: vectors of channels.

use super::divisor;
use crate::kernels::f32::Pool;
use crate::kernels::f32::epilogue::simd::activate;
use crate::kernels::isa::vector::Vector;
use crate::kernels::window::clip;

/// Vectors that a global pool sums at a time: a pixel's part is then whole cache lines.
const GROUP: usize = 4;

/// The average, or with `MAX` the maximum, of each window.
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn pool<V: Vector, const MAX: bool>(
    call: &Pool,
    first: usize,
    out: &mut [f32],
) {
    let (shape, window) = (call.input_shape, call.window);
    let [top, left] = window.pad_before(shape);
    let pixels = out.chunks_exact_mut(shape.channels);
    for (pixel, out) in (first * call.output_shape.width..).zip(pixels) {
        let (y, x) = (
            pixel / call.output_shape.width,
            pixel % call.output_shape.width,
        );
        let rows = clip(y, window.stride[0], top, window.kernel[0], shape.height);
        let columns = clip(x, window.stride[1], left, window.kernel[1], shape.width);
        let corner = (rows.start * shape.width + columns.start) * shape.channels;
        let taps = [rows.taps.len(), columns.taps.len()];
        // SAFETY: `clip` keeps these taps on the input.
        unsafe { window_of::<V, MAX>(call, &call.input[corner..], taps, out) };
    }
}

/// All channels of one window of `taps` rows and columns from the start of `input`.
///
/// # Safety
/// The window lies on the input, a pixel is in `out`; the CPU has the instruction set of `V`.
#[inline(always)]
unsafe fn window_of<V: Vector, const MAX: bool>(
    call: &Pool,
    input: &[f32],
    taps: [usize; 2],
    out: &mut [f32],
) {
    let shape = call.input_shape;
    let start = if MAX { f32::NEG_INFINITY } else { 0.0 };
    let factor = 1.0 / divisor(call, taps[0] * taps[1]);
    for channel in (0..shape.channels).step_by(V::LANES) {
        let count = shape.channels - channel;
        // SAFETY: the window lies on the input, and only channels below `shape.channels` are touched.
        unsafe {
            let mut value = V::splat(start);
            for row in 0..taps[0] {
                for column in 0..taps[1] {
                    let pixel = row * shape.width + column;
                    let x = input.as_ptr().add(pixel * shape.channels + channel);
                    let x = V::load_up_to(x, count);
                    value = if MAX { value.max(x) } else { value.add(x) };
                }
            }
            if !MAX {
                value = value.mul(V::splat(factor));
            }
            activate(core::slice::from_mut(&mut value), call.activation);
            value.store_up_to(out.as_mut_ptr().add(channel), count);
        }
    }
}

/// The mean over all pixels.
///
/// # Safety
/// `check_global(call, first, out)` holds; the CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn global_average_pool<V: Vector>(
    call: &Pool,
    first: usize,
    out: &mut [f32],
) {
    let mut channel = 0;
    while channel < out.len() {
        let left = out.len() - channel;
        // SAFETY: channels from `first + channel` to at most `first + out.len()` are in every pixel.
        unsafe {
            let output = out.as_mut_ptr().add(channel);
            if left >= GROUP * V::LANES {
                means::<V, GROUP>(call, first + channel, output, V::LANES);
                channel += GROUP * V::LANES;
            } else {
                means::<V, 1>(call, first + channel, output, left);
                channel += V::LANES;
            }
        }
    }
}

/// Means of `VECTORS` vectors of channels, of each the first `count` lanes.
///
/// # Safety
/// These channels are in the input and in `output`; the CPU has the instruction set of `V`.
#[inline(always)]
unsafe fn means<V: Vector, const VECTORS: usize>(
    call: &Pool,
    channel: usize,
    output: *mut f32,
    count: usize,
) {
    let pixels = call.input_shape.pixels();
    // SAFETY: by the caller's promise.
    unsafe {
        let mut sums = [V::splat(0.0); VECTORS];
        for pixel in 0..pixels {
            let input = call
                .input
                .as_ptr()
                .add(pixel * call.input_shape.channels + channel);
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(V::load_up_to(input.add(i * V::LANES), count));
            }
        }
        let factor = V::splat(1.0 / pixels as f32);
        for sum in &mut sums {
            *sum = sum.mul(factor);
        }
        activate(&mut sums, call.activation);
        for (i, sum) in sums.iter().enumerate() {
            sum.store_up_to(output.add(i * V::LANES), count);
        }
    }
}
