//! Fast convolution: gathers the windows of some output pixels, which makes them pixels of a matrix product.

use core::ops::Range;

use graft_patches::layout::{PANEL, QUAD};

use crate::kernels::int8::pointwise::simd::{Product, Tiled, fill};
use crate::kernels::int8::{BLOCK, Conv};
use crate::kernels::isa::lanes::Lanes;
use crate::kernels::window::{Sliding, depth};

/// Convolution in the register tiles of [`Product::block`].
///
/// # Safety
/// `check(call, first, out, scratch)` holds; the CPU has the instruction set of `L`.
#[inline(always)]
pub(in crate::kernels) unsafe fn conv<L: Tiled, const ROWS: usize, const WIDE: usize>(
    call: &Conv,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    let inputs = depth(&call.window, call.input_shape.channels);
    let (depth, outputs) = (inputs.next_multiple_of(QUAD), call.output_shape.channels);
    let pitch = depth * L::BYTES;
    let windows = Windows::new(call);
    let (mut y, mut x) = (first, 0);
    for out in out.chunks_mut(BLOCK / L::BYTES * outputs) {
        let rows = out.len() / outputs;
        let mut window = 0;
        while window < rows {
            let count = (call.output_shape.width - x).min(rows - window);
            windows.row::<L>(y, x..x + count, &mut scratch[window * pitch..], pitch);
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
    sliding: Sliding,
    /// Output rows and columns whose windows lie on the input as a whole.
    inside: [Range<usize>; 2],
}

impl<'a> Windows<'a> {
    fn new(call: &'a Conv<'a>) -> Self {
        let (sliding, output) = (call.sliding(), call.output_shape);
        Self {
            call,
            sliding,
            inside: [
                sliding.inside(0, output.height),
                sliding.inside(1, output.width),
            ],
        }
    }

    /// Copies windows of output row `y`, one in each `pitch` bytes.
    #[inline(always)]
    fn row<L: Lanes>(&self, y: usize, columns: Range<usize>, to: &mut [u8], pitch: usize) {
        let [rows, inside] = &self.inside;
        let start = inside.start.clamp(columns.start, columns.end);
        let end = match rows.contains(&y) {
            true => inside.end.clamp(start, columns.end),
            false => start,
        };
        // From left to right: what is behind a whole window is written over.
        for x in columns.start..start {
            self.clipped::<L>([y, x], &mut to[(x - columns.start) * pitch..]);
        }
        let mut done = start;
        if start < end {
            let to = &mut to[(start - columns.start) * pitch..];
            done += self.whole::<L>(y, start..end, to, pitch);
        }
        for x in done..columns.end {
            self.clipped::<L>([y, x], &mut to[(x - columns.start) * pitch..]);
        }
    }

    /// Copies windows that lie on the input, in whole words: returns how many, since the last of them may end too close
    /// to the end of the memory.
    #[inline(always)]
    fn whole<L: Lanes>(
        &self,
        y: usize,
        columns: Range<usize>,
        to: &mut [u8],
        pitch: usize,
    ) -> usize {
        let Conv {
            input,
            input_shape: shape,
            window,
            ..
        } = *self.call;
        let row = y * window.stride[0] - self.sliding.pad[0];
        let column = columns.start * window.stride[1] - self.sliding.pad[1];
        let input = &input[(row * shape.width + column) * shape.channels..];
        let row = shape.width * shape.channels;
        let step = window.stride[1] * shape.channels;
        let length = window.kernel[1] * shape.channels;
        let last = window.kernel[0] - 1;
        let words = length.next_multiple_of(PANEL);
        let count = columns
            .len()
            .min(fitting(input.len(), last * row + words, step))
            .min(fitting(to.len(), (last * length + words) * L::BYTES, pitch));
        for i in 0..count {
            for ky in 0..=last {
                // SAFETY: `words` bytes are there for each row of the first `count` windows.
                unsafe {
                    let from = input.as_ptr().add(i * step + ky * row);
                    let to = to.as_mut_ptr().add(i * pitch + ky * length * L::BYTES);
                    for at in (0..length).step_by(PANEL) {
                        L::prepare(from.add(at), to.add(at * L::BYTES));
                    }
                }
            }
        }
        count
    }

    /// Copies any window.
    fn clipped<L: Lanes>(&self, position: [usize; 2], to: &mut [u8]) {
        let depth = depth(&self.call.window, self.call.input_shape.channels);
        for input in to[..depth * L::BYTES].chunks_exact_mut(L::BYTES) {
            fill::<L>(input, &[self.call.padding]);
        }
        for run in self.sliding.clip(position).runs() {
            let bytes = run.window.start * L::BYTES..run.window.end * L::BYTES;
            fill::<L>(&mut to[bytes], &self.call.input[run.input]);
        }
    }
}

/// How many stretches of `length` start `step` apart in `available`.
#[inline(always)]
fn fitting(available: usize, length: usize, step: usize) -> usize {
    match available.checked_sub(length) {
        Some(rest) => rest / step + 1,
        None => 0,
    }
}
