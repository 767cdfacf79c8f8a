//! Fast pointwise convolution and fully connected layer: blocks of pixels, then panels, then register tiles.

use super::tile::{Windows, tile, tiles};
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
        let pixels = out.len() / call.outputs;
        let windows = windows(call, input.as_ptr());
        // SAFETY: `pixels` pixels are left in `input` and in `out`.
        unsafe { block::<V, ROWS, WIDE, TALL, NARROW>(windows, out.as_mut_ptr(), pixels) };
        input = &input[pixels * call.inputs..];
    }
}

/// Pixels from `input` on, as windows.
#[inline(always)]
fn windows<'a>(call: &Pointwise<'a>, input: *const f32) -> Windows<'a> {
    Windows {
        input,
        step: call.inputs,
        rows: 1,
        length: call.inputs,
        pitch: 0,
        weights: call.weights.as_ptr(),
        terms: call.inputs,
        row_terms: call.inputs,
        outputs: call.outputs,
        epilogue: call.epilogue,
    }
}

/// All output channels of a block of pixels.
///
/// # Safety
/// `pixels` windows lie on the input, `pixels` pixels are at `output`; weights and table are those of a layer.
#[inline(always)]
pub(in crate::kernels::f32) unsafe fn block<
    V: Vector,
    const ROWS: usize,
    const WIDE: usize,
    const TALL: usize,
    const NARROW: usize,
>(
    windows: Windows<'_>,
    output: *mut f32,
    pixels: usize,
) {
    const {
        assert!(
            NARROW == 1 || WIDE * V::LANES == PANEL,
            "wide tiles end at a panel's end"
        )
    };
    let mut channel = 0;
    while channel < windows.outputs {
        let left = (windows.outputs - channel).div_ceil(V::LANES);
        // SAFETY: `channel` starts a panel, and the weights and the table have all panels of `outputs`.
        unsafe {
            if left > WIDE - NARROW {
                tiles::<V, ROWS, WIDE>(windows, channel, output, pixels);
                channel += WIDE * V::LANES;
            } else {
                tiles::<V, TALL, NARROW>(windows, channel, output, pixels);
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
    let windows = windows(call, call.input.as_ptr());
    let output = out.as_mut_ptr().wrapping_sub(first * PANEL);
    let mut done = 0;
    while done < out.len() {
        let channel = first * PANEL + done;
        let left = (out.len() - done).next_multiple_of(PANEL);
        // SAFETY: `left` padded channels are in the weights and the table. The output ends at a panel or at
        // `call.outputs`, beyond which a tile stores nothing.
        unsafe {
            if left >= WIDE * V::LANES {
                tile::<V, 1, WIDE>(&windows, channel, output);
                done += WIDE * V::LANES;
            } else {
                tile::<V, 1, SINGLE>(&windows, channel, output);
                done += SINGLE * V::LANES;
            }
        }
    }
}
