//! The int8 kernels: one folder per operator, each with a plain reference and a fast version.
//!
//! Activations are NHWC and s8, one image a call, and a kernel computes a contiguous part of its output, as in f32
//! ([`super`]). Weights are read in the packed layout of `graft_patches::layout`: dense
//! `[ceil(N/16)][ceil(K/4)][16][4]`, depthwise `[kh][kw][C padded to 16]`; the epilogue is
//! [`RequantizePanel`]s. Sums are exact and the requantisation is one rule (`graft_patches::requantize`), so every kernel
//! gives the same bytes as the reference.
//!
//! The fast versions of layers with weights are written once, over what an instruction set does with sixteen channels at
//! a time (`isa::lanes`); depthwise layers have a second way, for lanes that can interleave rows (`depthwise/interleaved`).
//! The other layers are few and light: theirs are plain loops that the compiler vectorises for each instruction set.
//! Cortex-M has no room for lanes: its kernels are in `cortex_m.rs` of each folder, on the instructions in `isa::cortex_m`.
//! With the DSP extension and an FPU its two inner loops are in assembly (`pointwise/cortex_m/tile.rs`,
//! `depthwise/cortex_m/framed.rs`), which needs all registers that there are.

pub(super) mod conv;
pub(super) mod depthwise;
pub(super) mod elementwise;
pub(super) mod epilogue;
pub(super) mod lookup;
pub(super) mod pointwise;
pub(super) mod pool;
#[cfg(any(test, simd))]
pub(super) mod table;
#[cfg(test)]
mod tests;

pub use epilogue::Epilogue;
pub use graft_patches::requantize::{Quantized, RequantizePanel};

use graft_patches::layout::QUAD;
use graft_patches::plan::PREPARED;

pub use super::select::available_int8 as available;
use super::{Shape, Window};

/// Bytes of scratch memory for each input of a dense layer, but on Cortex-M: so many pixels are prepared at a time, or half as
/// many where their inputs are widened.
#[cfg(any(test, simd))]
const BLOCK: usize = Scratch::VECTOR.dense;

/// A convolution or depthwise convolution.
#[derive(Clone, Copy, Debug)]
pub struct Conv<'a> {
    /// Whole input, `input_shape`.
    pub input: &'a [i8],
    /// Shape of the input.
    pub input_shape: Shape,
    /// Shape of the whole output.
    pub output_shape: Shape,
    /// Kernel, stride, padding.
    pub window: Window,
    /// The value of padding: the input's zero point.
    pub padding: i8,
    /// Packed weights: dense with K = kh * kw * C_in, or depthwise.
    pub weights: &'a [i8],
    /// Requantisation.
    pub epilogue: Epilogue<'a>,
}

/// A pointwise convolution over pixels, or with one pixel a fully connected layer.
#[derive(Clone, Copy, Debug)]
pub struct Pointwise<'a> {
    /// `[pixels][inputs]`.
    pub input: &'a [i8],
    /// Input channels, K.
    pub inputs: usize,
    /// Output channels, N.
    pub outputs: usize,
    /// Packed dense weights.
    pub weights: &'a [i8],
    /// Requantisation.
    pub epilogue: Epilogue<'a>,
}

/// One operand of an elementwise operator: `(q - zero_point) * multiplier`.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// Activations.
    pub values: &'a [i8],
    /// The value that stands for zero.
    pub zero_point: i8,
    /// Finite.
    pub multiplier: f32,
}

impl Operand<'_> {
    /// The real number that one of the values stands for.
    #[inline(always)]
    fn real(&self, value: i8) -> f32 {
        (i32::from(value) - i32::from(self.zero_point)) as f32 * self.multiplier
    }
}

/// A sum or product of two activations.
#[derive(Clone, Copy, Debug)]
pub struct Elementwise<'a> {
    /// First operand, as long as the output.
    pub left: Operand<'a>,
    /// Second operand: as long as the output, or one value a channel (broadcast over pixels).
    pub right: Operand<'a>,
    /// Zero point and bounds of the output.
    pub output: Quantized,
}

/// An average or maximum pool.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    /// Whole input.
    pub input: &'a [i8],
    /// Shape of the input.
    pub input_shape: Shape,
    /// Shape of the whole output.
    pub output_shape: Shape,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Average only: whether padding counts in the divisor.
    pub count_padding: bool,
    /// The value that stands for zero in the input.
    pub zero_point: i8,
    /// Scale of the input over that of the output, finite.
    pub multiplier: f32,
    /// Zero point and bounds of the output.
    pub output: Quantized,
}

/// One complete set of int8 kernels for one instruction set. Every entry checks the lengths that it relies on.
pub struct Kernels {
    /// The name, such as `avx512-vnni`: `kernel_names` lists those of a machine.
    pub name: &'static str,
    /// k x k convolution of output rows from the given one; `out` is whole rows; `scratch` holds at least
    /// [`Scratch::dense`] bytes for K inputs.
    pub conv: fn(&Conv, usize, &mut [i8], &mut [u8]),
    /// Depthwise convolution of output rows from the given one.
    pub depthwise: fn(&Conv, usize, &mut [i8]),
    /// Pointwise convolution of pixels from the given one; `out` is whole pixels; `scratch` as above.
    pub pointwise: fn(&Pointwise, usize, &mut [i8], &mut [u8]),
    /// Fully connected layer (one pixel): output panels from the given one; `out` ends at a panel or at N; `scratch`
    /// holds at least [`Scratch::linear`] bytes for K inputs.
    pub linear: fn(&Pointwise, usize, &mut [i8], &mut [u8]),
    /// Sum, elements from the given one.
    pub add: fn(&Elementwise, usize, &mut [i8]),
    /// Product, elements from the given one.
    pub multiply: fn(&Elementwise, usize, &mut [i8]),
    /// Average pool of output rows from the given one.
    pub average_pool: fn(&Pool, usize, &mut [i8]),
    /// Maximum pool of output rows from the given one; padding never wins.
    pub max_pool: fn(&Pool, usize, &mut [i8]),
    /// Mean over all pixels, channels from the given one. `window` is not used.
    pub global_average_pool: fn(&Pool, usize, &mut [i8]),
    /// Replaces every value q by the table's at `q + 128`.
    pub lookup: fn(&[i8; 256], &mut [i8]),
}

/// Scratch memory that the kernels of a family of CPUs need, in bytes for each input of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    dense: usize,
    linear: usize,
    /// Bytes before those that are aligned.
    margin: usize,
}

impl Scratch {
    /// Many pixels: of kernels for vectors.
    const VECTOR: Self = Self {
        dense: 96,
        linear: 2,
        margin: 0,
    };
    /// A window and the halves of 16 bits of four pixels, or those of one.
    pub const CORTEX_M: Self = Self {
        dense: PREPARED,
        linear: 2,
        margin: align_of::<u32>() - 1,
    };
    /// Of the kernels on this machine.
    pub const HERE: Self = match cfg!(target_arch = "arm") {
        true => Self::CORTEX_M,
        false => Self::VECTOR,
    };

    /// Bytes that a convolution, pointwise or other, of `inputs` inputs needs: kh * kw * C_in.
    pub const fn dense(self, inputs: usize) -> usize {
        self.len(inputs, self.dense)
    }

    /// Bytes that a fully connected layer of `inputs` inputs needs.
    pub const fn linear(self, inputs: usize) -> usize {
        self.len(inputs, self.linear)
    }

    const fn len(self, inputs: usize, each: usize) -> usize {
        let padded = inputs.div_ceil(QUAD).saturating_mul(QUAD);
        padded.saturating_mul(each).saturating_add(self.margin)
    }
}
