//! Fast convolution: gathers the windows of some output pixels, which makes them pixels of a matrix product.

use graft_patches::layout::QUAD;

use crate::kernels::int8::lanes::Lanes;
use crate::kernels::int8::pointwise::simd::{Product, fill};
use crate::kernels::int8::{BLOCK, Conv};
use crate::kernels::window::clip;

/// Bytes copied at a time: the rows of a window are short.
const WORD: usize = 16;

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
    let pad = task.window.pad_before(task.input_shape);
    let (mut y, mut x) = (first, 0);
    for out in out.chunks_mut(BLOCK * outputs) {
        let rows = out.len() / outputs;
        for window in 0..rows {
            gather::<L>(task, pad, [y, x], &mut scratch[window * depth..]);
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

/// Copies the window of output row `y` and column `x`, `[kh][kw][C_in]`, to the start of `to`. What is behind it there, which
/// may be written, meets weights of zero or is a window to come.
#[inline(always)]
fn gather<L: Lanes>(task: &Conv, pad: [usize; 2], [y, x]: [usize; 2], to: &mut [u8]) {
    let (shape, window) = (task.input_shape, task.window);
    let [height, width] = window.kernel;
    let rows = clip(y, window.stride[0], pad[0], height, shape.height);
    let columns = clip(x, window.stride[1], pad[1], width, shape.width);
    let length = columns.taps.len() * shape.channels;
    let is_whole = rows.taps.len() == height && columns.taps.len() == width;
    if !is_whole {
        to[..height * width * shape.channels].fill(task.padding as u8 ^ L::OFFSET);
    }
    for (row, ky) in (rows.start..).zip(rows.taps) {
        let from = &task.input[(row * shape.width + columns.start) * shape.channels..];
        let to = &mut to[(ky * width + columns.taps.start) * shape.channels..];
        let rounded = length.next_multiple_of(WORD);
        if is_whole && from.len() >= rounded && to.len() >= rounded {
            let (from, to) = (&from[..rounded], &mut to[..rounded]);
            for (to, from) in to
                .as_chunks_mut::<WORD>()
                .0
                .iter_mut()
                .zip(from.as_chunks().0)
            {
                *to = from.map(|input| input as u8 ^ L::OFFSET);
            }
        } else {
            fill::<L>(&mut to[..length], &from[..length]);
        }
    }
}
