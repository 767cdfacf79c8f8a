//! The f32 kernels: one folder per operator, each with a plain reference and a fast version.
//!
//! Weights are read in the packed layout of the backbone image (`graft_patches::layout`): dense weights in panels of
//! [`PANEL`] output channels `[ceil(N/16)][K][16]`, K running over (kernel row, kernel column, input channel);
//! depthwise weights `[kh][kw][C padded to 16]`; the epilogue `[ceil(N/16)][2][16]` (16 scales, then 16 biases).
//! Padded lanes hold zeros.
//!
//! The fast versions are generic over a vector of 4, 8 or 16 lanes (`isa::vector`), and instantiated for each instruction
//! set with the register tile that fits it: the 16-lane logic is tested on machines without AVX-512 through a portable
//! vector. Cortex-M runs the reference: it has no f32 vectors.

pub(super) mod conv;
pub(super) mod depthwise;
pub(super) mod elementwise;
pub(super) mod epilogue;
#[cfg(feature = "gradient")]
pub mod gradient;
#[cfg(feature = "gradient")]
pub(super) mod norm;
pub(super) mod pointwise;
pub(super) mod pool;
#[cfg(any(test, simd))]
pub(super) mod table;
#[cfg(test)]
mod tests;

pub use epilogue::Epilogue;
#[cfg(feature = "gradient")]
pub use norm::Affine;

pub use super::select::available_f32 as available;
#[cfg(feature = "gradient")]
pub(crate) use super::select::f32_by_name as by_name;
#[cfg(feature = "f32")]
pub use super::select::select_f32 as select;
use super::{Activation, PANEL, Shape, Window};

/// A convolution (all input channels to all output channels) or depthwise convolution (channel by channel).
#[derive(Clone, Copy, Debug)]
pub struct Conv<'a> {
    /// Whole input, `input_shape`.
    pub input: &'a [f32],
    /// Shape of the input.
    pub input_shape: Shape,
    /// Shape of the whole output.
    pub output_shape: Shape,
    /// Kernel, stride, padding; [`Window::pad_before`] resolves it for this input.
    pub window: Window,
    /// Packed weights: panels with K = kh * kw * C_in, or depthwise.
    pub weights: &'a [f32],
    /// Scale, bias, activation.
    pub epilogue: Epilogue<'a>,
}

/// A pointwise (1 x 1) convolution over `pixels`, or with one pixel a fully connected layer.
#[derive(Clone, Copy, Debug)]
pub struct Pointwise<'a> {
    /// `[pixels][inputs]`.
    pub input: &'a [f32],
    /// Input channels, K.
    pub inputs: usize,
    /// Output channels, N.
    pub outputs: usize,
    /// Packed panels.
    pub weights: &'a [f32],
    /// Scale, bias, activation.
    pub epilogue: Epilogue<'a>,
}

/// An elementwise operator on two activations.
#[derive(Clone, Copy, Debug)]
pub struct Elementwise<'a> {
    /// First operand, as long as the output.
    pub left: &'a [f32],
    /// Second operand: as long as the output, or one value a channel (broadcast over pixels).
    pub right: &'a [f32],
    /// Applied last.
    pub activation: Activation,
}

/// An average or maximum pool.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    /// Whole input.
    pub input: &'a [f32],
    /// Shape of the input.
    pub input_shape: Shape,
    /// Shape of the whole output.
    pub output_shape: Shape,
    /// Kernel, stride, padding; [`Window::pad_before`] resolves it for this input.
    pub window: Window,
    /// Average only: whether padding counts in the divisor.
    pub count_padding: bool,
    /// Applied last.
    pub activation: Activation,
}

/// One complete set of kernels for one instruction set.
///
/// Every entry is safe: it checks the slice lengths that it relies on and panics on a programming error of the
/// engine (never on a file's account: plans are verified at load).
pub struct Kernels {
    /// The name, such as `avx2`: `kernel_names` lists those of a machine.
    pub name: &'static str,
    /// k x k convolution of output rows from the given one; `out` is whole rows.
    pub conv: fn(&Conv, usize, &mut [f32]),
    /// Depthwise convolution of output rows from the given one.
    pub depthwise: fn(&Conv, usize, &mut [f32]),
    /// Pointwise convolution of pixels from the given one; `out` is whole pixels.
    pub pointwise: fn(&Pointwise, usize, &mut [f32]),
    /// Fully connected layer (one pixel): output panels from the given one; `out` ends at a panel or at N.
    pub linear: fn(&Pointwise, usize, &mut [f32]),
    /// Sum, elements from the given one.
    pub add: fn(&Elementwise, usize, &mut [f32]),
    /// Product, elements from the given one.
    pub multiply: fn(&Elementwise, usize, &mut [f32]),
    /// Average pool of output rows from the given one.
    pub average_pool: fn(&Pool, usize, &mut [f32]),
    /// Maximum pool of output rows from the given one; padding never wins.
    pub max_pool: fn(&Pool, usize, &mut [f32]),
    /// Mean over all pixels, channels from the given one. `window` is not used.
    pub global_average_pool: fn(&Pool, usize, &mut [f32]),
    /// The backward pass.
    #[cfg(feature = "gradient")]
    pub gradient: gradient::GradientKernels,
}
