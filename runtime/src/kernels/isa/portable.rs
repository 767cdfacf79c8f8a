//! Plain arrays: int8 without an instruction set, and in tests the kernels of all vector lengths on any machine.

use graft_patches::layout::{PANEL, QUAD};

use super::Candidate;
#[cfg(test)]
use super::lanes::Interleaved;
use super::lanes::{Depthwise, Lanes};
#[cfg(test)]
use super::vector::Vector;
#[cfg(test)]
use crate::kernels::entry::simd_kernel;
use crate::kernels::f32;
#[cfg(test)]
use crate::kernels::f32::table::simd_kernels;
use crate::kernels::int8;
use crate::kernels::int8::table::{int8_kernels, tiled_lanes};
use crate::kernels::int8::{Quantized, RequantizePanel};

tiled_lanes!(Portable<0>);
#[cfg(test)]
tiled_lanes!(Portable<128>);

/// The fast kernels in plain Rust.
static PORTABLE: int8::Kernels =
    int8_kernels!("portable", Portable<0>, depthwise: Portable<0>, tile: 4 x 1, linear: 4);

/// The tile, the unsigned inputs and the interleaved rows of VNNI, on any machine.
#[cfg(test)]
pub(in crate::kernels) static UNSIGNED: int8::Kernels = int8::Kernels {
    depthwise: simd_kernel!(
        int8::depthwise::check, int8::depthwise::interleaved::depthwise::<Portable<128>>,
        (call: &int8::Conv, first: usize, out: &mut [i8])
    ),
    ..int8_kernels!("portable, unsigned", Portable<128>, depthwise: Portable<128>, tile: 6 x 4, linear: 4)
};

/// The tiles of each vector length.
#[cfg(test)]
pub(in crate::kernels) static FLOATS: [f32::Kernels; 3] = [
    simd_kernels!("portable4", Floats<4>, tile: 6 x 4, tail: 12 x 2, panel: 4, linear: 8),
    simd_kernels!("portable8", Floats<8>, tile: 6 x 2, tail: 12 x 1, panel: 2, linear: 8),
    simd_kernels!("portable16", Floats<16>, tile: 12 x 2, tail: 12 x 1, panel: 1, linear: 4),
];

/// None: CPUs that have no other fast kernels run the reference.
pub(in crate::kernels) static F32: &[Candidate<f32::Kernels>] = &[];

pub(in crate::kernels) static INT8: &[Candidate<int8::Kernels>] = &[(&PORTABLE, || true)];

/// `L` lanes.
#[cfg(test)]
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Floats<const L: usize>([f32; L]);

#[cfg(test)]
impl<const L: usize> Floats<L> {
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(core::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

#[cfg(test)]
impl<const L: usize> Vector for Floats<L> {
    const LANES: usize = L;

    unsafe fn splat(x: f32) -> Self {
        Self([x; L])
    }

    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for L values.
        Self(unsafe { from.cast::<[f32; L]>().read() })
    }

    unsafe fn load_partial(from: *const f32, count: usize) -> Self {
        assert!(count < L);
        let mut lanes = [0.0; L];
        // SAFETY: the caller vouches for `count` values.
        lanes[..count].copy_from_slice(unsafe { core::slice::from_raw_parts(from, count) });
        Self(lanes)
    }

    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for L values.
        unsafe { to.cast::<[f32; L]>().write(self.0) }
    }

    unsafe fn store_partial(self, to: *mut f32, count: usize) {
        assert!(count < L);
        // SAFETY: the caller vouches for `count` values.
        unsafe { core::slice::from_raw_parts_mut(to, count) }.copy_from_slice(&self.0[..count]);
    }

    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(addend, |a, b| a + b)
    }

    /// As on NEON, where a vector has four lanes.
    const FACTORS: usize = if L == 4 { 4 } else { 1 };

    unsafe fn factors(from: *const f32) -> Self {
        // SAFETY: the caller vouches for `FACTORS` values.
        unsafe {
            match Self::FACTORS {
                1 => Self::splat(*from),
                _ => Self::load(from),
            }
        }
    }

    unsafe fn mul_add_factor<const INDEX: usize>(self, factors: Self, addend: Self) -> Self {
        // SAFETY: arithmetic.
        unsafe { self.mul_add(Self::splat(factors.0[INDEX]), addend) }
    }

    unsafe fn min(self, bound: Self) -> Self {
        self.zip(bound, |x, bound| if x > bound { bound } else { x })
    }

    unsafe fn max(self, bound: Self) -> Self {
        self.zip(bound, |x, bound| if x < bound { bound } else { x })
    }
}

/// Lanes without an instruction set. With another offset than 0 they take inputs as VNNI does, to test that
/// anywhere.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Portable<const OFFSET: u8>;

// SAFETY of all methods: the caller vouches for the pointers (see the trait).
impl<const OFFSET: u8> Lanes for Portable<OFFSET> {
    const OFFSET: u8 = OFFSET;
    const QUADS: usize = 2;
    type Quads = [[i32; QUAD]; 2];
    type Sums = [i32; PANEL];

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0; PANEL]
    }

    #[inline(always)]
    unsafe fn start(panel: &RequantizePanel) -> Self::Sums {
        panel.bias
    }

    #[inline(always)]
    unsafe fn quads(from: *const u8, count: usize) -> Self::Quads {
        let mut quads = [[0; QUAD]; 2];
        for (i, input) in quads.as_flattened_mut().iter_mut().enumerate() {
            if i < count * QUAD {
                // SAFETY: see the impl.
                let byte = unsafe { *from.add(i) };
                *input = match OFFSET {
                    0 => i32::from(byte as i8),
                    _ => i32::from(byte),
                };
            }
        }
        quads
    }

    /// Not inlined, so that the sums of a tile stay in memory: compilers take minutes to find registers for them.
    #[inline(never)]
    unsafe fn dot<const ROWS: usize>(
        sums: &mut [Self::Sums; ROWS],
        inputs: &[Self::Quads; ROWS],
        weights: *const i8,
        count: usize,
        _part: usize,
    ) {
        for quad in 0..count {
            // SAFETY: see the impl.
            let weights = unsafe { *weights.cast::<[[i8; QUAD]; PANEL]>().add(quad) };
            for (sums, inputs) in sums.iter_mut().zip(inputs) {
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    for (input, weight) in inputs[quad].iter().zip(weights) {
                        *sum = sum.wrapping_add(input * i32::from(weight));
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn subtract(left: Self::Sums, right: Self::Sums) -> Self::Sums {
        core::array::from_fn(|i| left[i].wrapping_sub(right[i]))
    }

    /// Not inlined: a tile has it once for each of its rows.
    #[inline(never)]
    unsafe fn store(
        sums: Self::Sums,
        panel: &RequantizePanel,
        output: Quantized,
        to: *mut i8,
        count: usize,
    ) {
        for (i, &sum) in sums.iter().enumerate().take(count) {
            // SAFETY: see the impl.
            unsafe { to.add(i).write(output.requantize(sum, panel.multiplier[i])) };
        }
    }
}

// SAFETY of all methods: as above.
impl<const OFFSET: u8> Depthwise for Portable<OFFSET> {
    type Deep = [i32; PANEL];
    type Inputs = [i8; PANEL];
    type Taps = [[i8; PANEL]; 2];

    #[inline(always)]
    unsafe fn deep(panel: &RequantizePanel) -> Self::Deep {
        panel.bias
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
    unsafe fn taps(from: [*const i8; 2]) -> Self::Taps {
        // SAFETY: see the impl.
        from.map(|from| unsafe { Self::inputs(from, PANEL) })
    }

    #[inline(always)]
    unsafe fn multiply(
        mut sums: Self::Deep,
        inputs: [Self::Inputs; 2],
        taps: Self::Taps,
    ) -> Self::Deep {
        for (inputs, taps) in inputs.iter().zip(taps) {
            for (sum, (&input, tap)) in sums.iter_mut().zip(inputs.iter().zip(taps)) {
                *sum = sum.wrapping_add(i32::from(input) * i32::from(tap));
            }
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

/// Bytes of a strip.
#[cfg(test)]
const STRIP: usize = 4 * PANEL;

/// The place in a strip of the bytes that become lane `lane` of vector `vector`.
#[cfg(test)]
fn interleaved(vector: usize, lane: usize) -> usize {
    16 * (lane / 4) + 4 * vector + lane % 4
}

// SAFETY of all methods: as above.
#[cfg(test)]
impl<const OFFSET: u8> Interleaved for Portable<OFFSET> {
    type Depthwise = Self;
    const STRIP: usize = STRIP;
    type Bytes = [u8; STRIP];
    type Dots = [i32; PANEL];

    unsafe fn dots(from: &[i32; PANEL]) -> Self::Dots {
        *from
    }

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
        mut sums: Self::Dots,
        inputs: Self::Bytes,
        weights: Self::Bytes,
    ) -> Self::Dots {
        for (i, (input, weight)) in inputs.into_iter().zip(weights).enumerate() {
            let input = match OFFSET {
                0 => i32::from(input as i8),
                _ => i32::from(input),
            };
            let sum = &mut sums[i / 4];
            *sum = sum.wrapping_add(input * i32::from(weight as i8));
        }
        sums
    }

    unsafe fn subtract_dots(left: Self::Dots, right: Self::Dots) -> Self::Dots {
        // SAFETY: passed on from the caller.
        unsafe { Self::subtract(left, right) }
    }

    unsafe fn store_bytes<const PIXELS: usize>(
        sums: [Self::Dots; 4],
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
                    let value = output.requantize(*sum, panel.multiplier[lane]);
                    // SAFETY: see the impl.
                    unsafe { to[pixel].add(channel).write(value) };
                }
            }
        }
    }
}
