//! Fast convolution: gathers the windows of some output pixels, which makes them pixels of a pointwise convolution.

use crate::kernels::f32::{CONV_ROWS, Conv, Pointwise, pointwise};
use crate::kernels::isa::vector::Vector;
use crate::kernels::window::clip;

/// Convolution in register tiles as in [`pointwise::simd::pointwise`].
///
/// # Safety
/// `check(call, first, out, scratch)` holds; the CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn conv<
    V: Vector,
    const ROWS: usize,
    const WIDE: usize,
    const TALL: usize,
    const NARROW: usize,
>(
    call: &Conv,
    first: usize,
    out: &mut [f32],
    scratch: &mut [f32],
) {
    let inputs = call.window.kernel[0] * call.window.kernel[1] * call.input_shape.channels;
    let outputs = call.output_shape.channels;
    let pad = call.window.pad_before(call.input_shape);
    let (mut y, mut x) = (first, 0);
    for out in out.chunks_mut(CONV_ROWS * outputs) {
        for window in scratch.chunks_exact_mut(inputs).take(out.len() / outputs) {
            // SAFETY: the caller vouches for the instruction set.
            unsafe { gather::<V>(call, pad, [y, x], window) };
            x += 1;
            if x == call.output_shape.width {
                (y, x) = (y + 1, 0);
            }
        }
        let windows = Pointwise {
            input: scratch,
            inputs,
            outputs,
            weights: call.weights,
            epilogue: call.epilogue,
        };
        // SAFETY: `check` of the convolution is that of the pointwise convolution for at most `CONV_ROWS` pixels.
        unsafe { pointwise::simd::pointwise::<V, ROWS, WIDE, TALL, NARROW>(&windows, 0, out) };
    }
}

/// Copies the window of output row `y` and column `x`, `[kh][kw][C_in]`, zeros where it lies on padding.
///
/// # Safety
/// As for every method of [`Vector`].
#[inline(always)]
unsafe fn gather<V: Vector>(call: &Conv, pad: [usize; 2], [y, x]: [usize; 2], to: &mut [f32]) {
    let (shape, window) = (call.input_shape, call.window);
    let rows = clip(y, window.stride[0], pad[0], window.kernel[0], shape.height);
    let columns = clip(x, window.stride[1], pad[1], window.kernel[1], shape.width);
    if rows.taps.len() < window.kernel[0] || columns.taps.len() < window.kernel[1] {
        to.fill(0.0);
    }
    let length = columns.taps.len() * shape.channels;
    for (row, ky) in (rows.start..).zip(rows.taps) {
        let from = &call.input[(row * shape.width + columns.start) * shape.channels..][..length];
        let to = &mut to[(ky * window.kernel[1] + columns.taps.start) * shape.channels..][..length];
        // SAFETY: the caller vouches for the instruction set.
        unsafe { copy::<V>(from, to) };
    }
}

/// Copies a few values: in line, where `copy_from_slice` calls a function that takes longer than the work.
///
/// # Safety
/// As for every method of [`Vector`].
#[inline(always)]
unsafe fn copy<V: Vector>(from: &[f32], to: &mut [f32]) {
    let length = from.len().min(to.len());
    if length < V::LANES {
        for (from, to) in from.iter().zip(to) {
            *to = *from;
        }
        return;
    }
    let last = length - V::LANES;
    let mut i = 0;
    while i < length {
        // The last vector overlaps the one before.
        let start = i.min(last);
        // SAFETY: `start + LANES <= length`.
        unsafe { V::load(from.as_ptr().add(start)).store(to.as_mut_ptr().add(start)) };
        i += V::LANES;
    }
}
