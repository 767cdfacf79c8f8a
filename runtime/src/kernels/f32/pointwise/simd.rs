//! Fast pointwise convolution and fully connected layer: blocks of pixels, then panels, then register tiles.

use super::tile::{tile, tiles};
use crate::kernels::f32::{PANEL, Pointwise};
use crate::kernels::isa::vector::Vector;

/// Input floats of a block: half of a usual L2 cache, so that a block stays there while all panels pass.
const BLOCK: usize = 64 * 1024;

/// Pointwise convolution in tiles of at most `ROWS` pixels by `WIDE` vectors; where at most `NARROW` vectors are left,
/// `TALL` pixels by `NARROW`.
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn pointwise<
    V: Vector,
    const ROWS: usize,
    const WIDE: usize,
    const TALL: usize,
    const NARROW: usize,
>(
    call: &Pointwise,
    first: usize,
    out: &mut [f32],
) {
    let most = (BLOCK / call.inputs.max(1)).clamp(ROWS, 16 * ROWS);
    let mut input = &call.input[first * call.inputs..];
    for out in out.chunks_mut(most * call.outputs) {
        let rows = out.len() / call.outputs;
        // SAFETY: `rows` pixels are left in `input` and in `out`.
        unsafe {
            let (input, out) = (input.as_ptr(), out.as_mut_ptr());
            block::<V, ROWS, WIDE, TALL, NARROW>(call, input, out, rows);
        }
        input = &input[rows * call.inputs..];
    }
}

/// All output channels for a block of pixels.
///
/// # Safety
/// `check` holds for `rows` pixels at `input` and `output`.
#[inline(always)]
unsafe fn block<
    V: Vector,
    const ROWS: usize,
    const WIDE: usize,
    const TALL: usize,
    const NARROW: usize,
>(
    call: &Pointwise,
    input: *const f32,
    output: *mut f32,
    rows: usize,
) {
    const {
        assert!(
            NARROW == 1 || WIDE * V::LANES == PANEL,
            "wide tiles end at a panel's end"
        )
    };
    let mut channel = 0;
    while channel < call.outputs {
        let left = (call.outputs - channel).div_ceil(V::LANES);
        // SAFETY: `channel` starts a panel, and so many panels are left in the weights and the table.
        unsafe {
            let output = output.add(channel);
            if left > WIDE - NARROW {
                tiles::<V, ROWS, WIDE>(call, channel, input, output, rows);
                channel += WIDE * V::LANES;
            } else {
                tiles::<V, TALL, NARROW>(call, channel, input, output, rows);
                channel += NARROW * V::LANES;
            }
        }
    }
}

/// Fully connected layer, `WIDE` vectors at a time, then `SINGLE`, which are one panel.
///
/// # Safety
/// `check_linear(call, first, out)` holds; the CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn linear<V: Vector, const WIDE: usize, const SINGLE: usize>(
    call: &Pointwise,
    first: usize,
    out: &mut [f32],
) {
    let input = call.input.as_ptr();
    let mut done = 0;
    while done < out.len() {
        let channel = first * PANEL + done;
        let left = (out.len() - done).next_multiple_of(PANEL);
        // SAFETY: `left` padded channels are in the weights and the table. The output ends at a panel or at
        // `call.outputs`, beyond which a tile stores nothing.
        unsafe {
            let output = out.as_mut_ptr().add(done);
            if left >= WIDE * V::LANES {
                tile::<V, 1, WIDE>(call, channel, input, output);
                done += WIDE * V::LANES;
            } else {
                tile::<V, 1, SINGLE>(call, channel, input, output);
                done += SINGLE * V::LANES;
            }
        }
    }
}
