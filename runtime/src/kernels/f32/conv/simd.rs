//! Fast convolution: the windows of an output row are pixels of a matrix product, read where they lie.

use crate::kernels::f32::pointwise::simd::block;
use crate::kernels::f32::pointwise::tile::Windows;
use crate::kernels::f32::{Conv, PANEL};
use crate::kernels::isa::vector::Vector;
use crate::kernels::window::depth;

/// Convolution in register tiles as in [`pointwise`](crate::kernels::f32::pointwise::simd::pointwise).
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `V`.
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
) {
    let shape = call.output_shape;
    let inside = call.sliding().inside(1, shape.width);
    for (y, out) in (first..).zip(out.chunks_exact_mut(shape.width * shape.channels)) {
        let mut x = 0;
        while x < shape.width {
            // Whole windows lie at equal distances; each window that is clipped at a side has a size of its own.
            let pixels = if x == inside.start {
                inside.len().max(1)
            } else {
                1
            };
            // SAFETY: these windows lie on the input, these pixels in `out`.
            unsafe {
                let output = out.as_mut_ptr().add(x * shape.channels);
                block::<V, ROWS, WIDE, TALL, NARROW>(windows(call, [y, x]), output, pixels);
            }
            x += pixels;
        }
    }
}

/// Windows as large as the one at an output position, from there on.
#[inline(always)]
fn windows<'a>(call: &Conv<'a>, [y, x]: [usize; 2]) -> Windows<'a> {
    let (input, window) = (call.input_shape, call.window);
    let clipped = call.sliding().clip([y, x]);
    let [rows, columns] = clipped.taps();
    let [row, column] = clipped.first_tap();
    let row_terms = window.kernel[1] * input.channels;
    Windows {
        input: call.input[clipped.corner()..].as_ptr(),
        step: window.stride[1] * input.channels,
        rows,
        length: columns * input.channels,
        pitch: input.width * input.channels,
        weights: call.weights[(row * row_terms + column * input.channels) * PANEL..].as_ptr(),
        terms: depth(&window, input.channels),
        row_terms,
        outputs: call.output_shape.channels,
        epilogue: call.epilogue,
    }
}
