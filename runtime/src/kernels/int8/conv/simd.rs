//! Fast convolution: gathers the windows of some output pixels, which makes them pixels of a matrix product.

use graft_patches::layout::QUAD;

use crate::kernels::int8::lanes::Lanes;
use crate::kernels::int8::pointwise::simd::{Product, fill};
use crate::kernels::int8::{BLOCK, Conv};
use crate::kernels::window::clip;

/// Convolution in the register tiles of [`Product::block`].
///
/// # Safety
/// `check(task, first, out, scratch)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels::int8) unsafe fn conv<L: Lanes, const ROWS: usize, const WIDE: usize>(
    task: &Conv,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    let inputs = task.window.kernel[0] * task.window.kernel[1] * task.input_shape.channels;
    let (depth, outputs) = (inputs.next_multiple_of(QUAD), task.output_shape.channels);
    let (mut y, mut x) = (first, 0);
    for out in out.chunks_mut(BLOCK * outputs) {
        let rows = out.len() / outputs;
        for window in scratch.chunks_exact_mut(depth).take(rows) {
            gather::<L>(task, [y, x], &mut window[..inputs]);
            window[inputs..].fill(0);
            x += 1;
            if x == task.output_shape.width {
                (y, x) = (y + 1, 0);
            }
        }
        let product = Product {
            input: scratch,
            depth,
            outputs,
            weights: task.weights,
            epilogue: task.epilogue,
        };
        // SAFETY: `rows` windows are in scratch memory; `check` has seen to weights and table.
        unsafe { product.block::<L, ROWS, WIDE>(rows, out.as_mut_ptr()) };
    }
}

/// Copies the window of output row `y` and column `x`, `[kh][kw][C_in]`.
#[inline(always)]
fn gather<L: Lanes>(task: &Conv, [y, x]: [usize; 2], to: &mut [u8]) {
    let (shape, window) = (task.input_shape, task.window);
    let pad = window.pad_before(shape);
    let rows = clip(y, window.stride[0], pad[0], window.kernel[0], shape.height);
    let columns = clip(x, window.stride[1], pad[1], window.kernel[1], shape.width);
    if rows.taps.len() < window.kernel[0] || columns.taps.len() < window.kernel[1] {
        to.fill(task.padding as u8 ^ L::OFFSET);
    }
    let length = columns.taps.len() * shape.channels;
    for (row, ky) in (rows.start..).zip(rows.taps) {
        let from = &task.input[(row * shape.width + columns.start) * shape.channels..][..length];
        let start = (ky * window.kernel[1] + columns.taps.start) * shape.channels;
        fill::<L>(&mut to[start..][..length], from);
    }
}
