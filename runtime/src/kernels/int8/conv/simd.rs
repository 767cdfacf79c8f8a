//! Fast convolution: gathers the windows of some output pixels, which makes them pixels of a matrix product.

use core::ops::Range;

use graft_patches::layout::QUAD;

use crate::kernels::int8::pointwise::simd::{Product, fill};
use crate::kernels::int8::{BLOCK, Conv};
use crate::kernels::isa::lanes::Lanes;
use crate::kernels::window::{self, clip};

/// Bytes copied at a time: the rows of a window are short.
const WORD: usize = 16;

/// Convolution in the register tiles of [`Product::block`].
///
/// # Safety
/// `check(call, first, out, scratch)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn conv<L: Lanes, const ROWS: usize, const WIDE: usize>(
    call: &Conv,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    let inputs = call.window.kernel[0] * call.window.kernel[1] * call.input_shape.channels;
    let (depth, outputs) = (inputs.next_multiple_of(QUAD), call.output_shape.channels);
    let windows = Windows::new(call);
    let (mut y, mut x) = (first, 0);
    for out in out.chunks_mut(BLOCK * outputs) {
        let rows = out.len() / outputs;
        let mut window = 0;
        while window < rows {
            let count = (call.output_shape.width - x).min(rows - window);
            windows.row::<L>(y, x..x + count, &mut scratch[window * depth..], depth);
            (window, x) = (window + count, x + count);
            if x == call.output_shape.width {
                (y, x) = (y + 1, 0);
            }
        }
        let product = Product {
            input: scratch,
            depth,
            outputs,
            weights: call.weights,
            epilogue: call.epilogue,
        };
        // SAFETY: `rows` windows are in scratch memory; `check` has seen to weights and table.
        unsafe { product.block::<L, ROWS, WIDE>(rows, out.as_mut_ptr()) };
    }
}

/// Copies the windows of a layer, `[kh][kw][C_in]` each. What is behind a window in scratch memory, which may be written,
/// meets weights of zero or is a window to come.
struct Windows<'a> {
    call: &'a Conv<'a>,
    /// Rows of padding above, columns to the left.
    pad: [usize; 2],
    /// Output rows and columns whose windows lie on the input as a whole.
    inside: [Range<usize>; 2],
}

impl<'a> Windows<'a> {
    fn new(call: &'a Conv<'a>) -> Self {
        let (input, output, window) = (call.input_shape, call.output_shape, call.window);
        let pad = window.pad_before(input);
        let inside = |axis: usize, size, outputs| {
            window::inside(
                window.stride[axis],
                pad[axis],
                window.kernel[axis],
                size,
                outputs,
            )
        };
        Self {
            call,
            pad,
            inside: [
                inside(0, input.height, output.height),
                inside(1, input.width, output.width),
            ],
        }
    }

    /// Copies windows of output row `y`, one in each `depth` bytes.
    #[inline(always)]
    fn row<L: Lanes>(&self, y: usize, columns: Range<usize>, to: &mut [u8], depth: usize) {
        let [rows, inside] = &self.inside;
        let start = inside.start.clamp(columns.start, columns.end);
        let end = match rows.contains(&y) {
            true => inside.end.clamp(start, columns.end),
            false => start,
        };
        // From left to right: what is behind a whole window is written over.
        for x in columns.start..start {
            self.clipped::<L>([y, x], &mut to[(x - columns.start) * depth..]);
        }
        if start < end {
            let to = &mut to[(start - columns.start) * depth..];
            self.whole::<L>(y, start..end, to, depth);
        }
        for x in end..columns.end {
            self.clipped::<L>([y, x], &mut to[(x - columns.start) * depth..]);
        }
    }

    /// Copies windows that lie on the input.
    #[inline(always)]
    fn whole<L: Lanes>(&self, y: usize, columns: Range<usize>, to: &mut [u8], depth: usize) {
        let Conv {
            input,
            input_shape: shape,
            window,
            ..
        } = *self.call;
        let row = y * window.stride[0] - self.pad[0];
        let column = columns.start * window.stride[1] - self.pad[1];
        let input = &input[(row * shape.width + column) * shape.channels..];
        let row = shape.width * shape.channels;
        let step = window.stride[1] * shape.channels;
        let length = window.kernel[1] * shape.channels;
        for i in 0..columns.len() {
            for ky in 0..window.kernel[0] {
                let from = &input[i * step + ky * row..];
                let to = &mut to[i * depth + ky * length..];
                copy::<L>(from, to, length);
            }
        }
    }

    /// Copies any window.
    fn clipped<L: Lanes>(&self, [y, x]: [usize; 2], to: &mut [u8]) {
        let Conv {
            input_shape: shape,
            window,
            ..
        } = *self.call;
        let [height, width] = window.kernel;
        let rows = clip(y, window.stride[0], self.pad[0], height, shape.height);
        let columns = clip(x, window.stride[1], self.pad[1], width, shape.width);
        let length = columns.taps.len() * shape.channels;
        to[..height * width * shape.channels].fill(self.call.padding as u8 ^ L::OFFSET);
        for (row, ky) in (rows.start..).zip(rows.taps) {
            let from = (row * shape.width + columns.start) * shape.channels;
            let start = (ky * width + columns.taps.start) * shape.channels;
            fill::<L>(
                &mut to[start..][..length],
                &self.call.input[from..][..length],
            );
        }
    }
}

/// Copies the first `length` inputs; what is behind them may be written.
#[inline(always)]
fn copy<L: Lanes>(from: &[i8], to: &mut [u8], length: usize) {
    let rounded = length.next_multiple_of(WORD);
    if from.len() < rounded || to.len() < rounded {
        return fill::<L>(&mut to[..length], &from[..length]);
    }
    for at in (0..length).step_by(WORD) {
        // SAFETY: `at + WORD <= rounded`.
        unsafe {
            let word = from.as_ptr().add(at).cast::<u128>().read_unaligned();
            let word = word ^ u128::from_ne_bytes([L::OFFSET; WORD]);
            to.as_mut_ptr().add(at).cast::<u128>().write_unaligned(word);
        }
    }
}
