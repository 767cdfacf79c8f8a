//! Plain arrays.

use graft_patches::layout::{PANEL, QUAD};

use super::Lanes;
#[cfg(test)]
use super::{Interleaved, STRIP};
use crate::kernels::int8::{Quantized, RequantizePanel};

/// Lanes without an instruction set. With another offset than 0 they take inputs as [`super::Vnni`] does, to test that
/// anywhere.
#[derive(Clone, Copy)]
pub(in crate::kernels::int8) struct Portable<const OFFSET: u8>;

// SAFETY of all methods: the caller vouches for the pointers (see the trait).
impl<const OFFSET: u8> Lanes for Portable<OFFSET> {
    const OFFSET: u8 = OFFSET;
    type Quad = [i32; QUAD];
    type Weights = [[i8; QUAD]; PANEL];
    type Sums = [i32; PANEL];
    type Deep = [i32; PANEL];
    type Inputs = [i8; PANEL];
    type Taps = [i8; PANEL];

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0; PANEL]
    }

    #[inline(always)]
    unsafe fn quad(from: *const u8) -> Self::Quad {
        // SAFETY: see the impl.
        let bytes = unsafe { from.cast::<[u8; QUAD]>().read_unaligned() };
        match OFFSET {
            0 => bytes.map(|byte| i32::from(byte as i8)),
            _ => bytes.map(i32::from),
        }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> Self::Weights {
        // SAFETY: see the impl.
        unsafe { from.cast::<Self::Weights>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn dot(mut sums: Self::Sums, quad: Self::Quad, weights: Self::Weights) -> Self::Sums {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            for (input, weight) in quad.iter().zip(weights) {
                *sum += input * i32::from(weight);
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn subtract(left: Self::Sums, right: Self::Sums) -> Self::Sums {
        core::array::from_fn(|i| left[i].wrapping_sub(right[i]))
    }

    #[inline(always)]
    unsafe fn store(
        sums: Self::Sums,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        for (i, sum) in sums.iter().enumerate().take(count) {
            let sum = sum.wrapping_add(panel.bias[i]);
            // SAFETY: see the impl.
            unsafe { to.add(i).write(output.requantize(sum, panel.multiplier[i])) };
        }
    }

    #[inline(always)]
    unsafe fn deep() -> Self::Deep {
        [0; PANEL]
    }

    #[inline(always)]
    unsafe fn inputs(from: *const i8, count: usize) -> Self::Inputs {
        let mut inputs = [0; PANEL];
        for (i, input) in inputs.iter_mut().enumerate().take(count) {
            // SAFETY: see the impl.
            *input = unsafe { *from.add(i) };
        }
        inputs
    }

    #[inline(always)]
    unsafe fn taps(from: *const i8) -> Self::Taps {
        // SAFETY: see the impl.
        unsafe { Self::inputs(from, PANEL) }
    }

    #[inline(always)]
    unsafe fn multiply(mut sums: Self::Deep, inputs: Self::Inputs, taps: Self::Taps) -> Self::Deep {
        for (sum, (input, tap)) in sums.iter_mut().zip(inputs.iter().zip(taps)) {
            *sum += i32::from(*input) * i32::from(tap);
        }
        sums
    }

    #[inline(always)]
    unsafe fn store_deep(
        sums: Self::Deep,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        // SAFETY: see the impl.
        unsafe { Self::store(sums, panel, output, to, count) }
    }
}

/// Where in a strip the bytes are that become lane `lane` of vector `vector`.
#[cfg(test)]
fn interleaved(vector: usize, lane: usize) -> usize {
    16 * (lane / 4) + 4 * vector + lane % 4
}

// SAFETY of all methods: as above.
#[cfg(test)]
impl<const OFFSET: u8> Interleaved for Portable<OFFSET> {
    type Bytes = [u8; STRIP];

    unsafe fn input_bytes<const PIXELS: usize>(
        from: [*const i8; PIXELS],
        count: usize,
    ) -> Self::Bytes {
        // SAFETY: see the impl.
        unsafe { Self::weight_bytes(from, count) }.map(|byte| byte ^ OFFSET)
    }

    unsafe fn weight_bytes<const PIXELS: usize>(
        from: [*const i8; PIXELS],
        count: usize,
    ) -> Self::Bytes {
        let mut bytes = [0; STRIP];
        for (pixel, from) in bytes.chunks_exact_mut(STRIP / PIXELS).zip(from) {
            for (i, byte) in pixel.iter_mut().enumerate().take(count) {
                // SAFETY: see the impl.
                *byte = unsafe { *from.add(i) } as u8;
            }
        }
        bytes
    }

    unsafe fn interleave(rows: [Self::Bytes; 4]) -> [Self::Bytes; 4] {
        let byte = |vector, i: usize| rows[i % 4][interleaved(vector, i / 4)];
        core::array::from_fn(|vector| core::array::from_fn(|i| byte(vector, i)))
    }

    unsafe fn dot_bytes(
        mut sums: Self::Sums,
        inputs: Self::Bytes,
        weights: Self::Bytes,
    ) -> Self::Sums {
        for (i, (input, weight)) in inputs.into_iter().zip(weights).enumerate() {
            let input = match OFFSET {
                0 => i32::from(input as i8),
                _ => i32::from(input),
            };
            sums[i / 4] += input * i32::from(weight as i8);
        }
        sums
    }

    unsafe fn store_bytes<const PIXELS: usize>(
        sums: [Self::Sums; 4],
        table: &[RequantizePanel; 4],
        output: Quantized,
        to: [*mut i8; PIXELS],
        [pixels, count]: [usize; 2],
    ) {
        for (vector, (sums, panel)) in sums.iter().zip(table).enumerate() {
            for (lane, sum) in sums.iter().enumerate() {
                let at = interleaved(vector, lane);
                let (pixel, channel) = (at * PIXELS / STRIP, at % (STRIP / PIXELS));
                if pixel < pixels && channel < count {
                    let sum = sum.wrapping_add(panel.bias[lane]);
                    let value = output.requantize(sum, panel.multiplier[lane]);
                    // SAFETY: see the impl.
                    unsafe { to[pixel].add(channel).write(value) };
                }
            }
        }
    }
}
