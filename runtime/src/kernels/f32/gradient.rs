//! The kernels of the backward pass, one set for each instruction set.

use super::norm::{self, Affine};
use super::{depthwise, pointwise};

pub use super::conv::gradient::{gather, scatter};
pub use super::depthwise::gradient::{DepthwiseGradient, flip};
pub use super::elementwise::gradient::{multiply_left, multiply_right};
pub use super::pointwise::gradient::{Outer, transpose};
pub use super::pool::gradient::{average, global_average, max};

/// The kernels that training needs beyond the forward ones. As for [`super::Kernels`], every entry checks its operands.
///
/// The gradient of a dense convolution's input is a forward kernel on [transposed](transpose) weights.
pub struct GradientKernels {
    /// `activation(scale * (z - shift) + bias)` of a batch of accumulators.
    pub affine: fn(&Affine, &mut [f32]),
    /// Adds, for each channel, the sum of the gradients `g` before the activation and that of
    /// `g * (z - shift)`: the call, the gradient of its output, the sums `[2][channels]`.
    pub affine_sums: fn(&Affine, &[f32], &mut [f32]),
    /// Gradient of the accumulators, `a * g + b * (z - shift) + c` with these factors for each channel.
    pub affine_input: fn(&Affine, &[f32], &Factors, &mut [f32]),
    /// Adds, for each channel, the sum and the sum of squares of `z - shift`: the values, the shifts, the sums
    /// `[2][channels]`.
    pub moments: fn(&[f32], &[f32], &mut [f32]),
    /// Adds the gradient of a dense convolution's weights to packed sums.
    pub outer: fn(&Outer, &mut [f32]),
    /// Gradient of a depthwise convolution's input: the call, the weights, the gradient.
    pub depthwise_input: fn(&DepthwiseGradient, &[f32], &mut [f32]),
    /// Adds the gradient of a depthwise convolution's filters to packed sums: the call, the input, the sums.
    pub depthwise_filter: fn(&DepthwiseGradient, &[f32], &mut [f32]),
}

/// The factors `a`, `b` and `c` of each channel.
pub type Factors<'a> = [&'a [f32]; 3];

/// Plain Rust.
pub(in crate::kernels) const REFERENCE: GradientKernels = GradientKernels {
    affine: norm::reference::affine,
    affine_sums: norm::reference::sums,
    affine_input: norm::reference::input,
    moments: norm::reference::moments,
    outer: pointwise::gradient::reference::outer,
    depthwise_input: depthwise::gradient::reference::input,
    depthwise_filter: depthwise::gradient::reference::filter,
};

/// A [`GradientKernels`] table on one vector type; `panel` is the vectors of one panel.
#[cfg(any(test, simd))]
macro_rules! simd_gradients {
    ($vector:ty, panel: $panel:literal $(, features: $features:literal)?) => {{
        use $crate::kernels::f32::gradient::{DepthwiseGradient, Factors, GradientKernels, Outer};
        use $crate::kernels::f32::norm::{self, Affine};
        use $crate::kernels::entry::{plain_kernel as plain, simd_kernel as kernel};
        GradientKernels {
            affine: plain!(
                norm::check, norm::simd::affine, (call: &Affine, out: &mut [f32]) $(, $features)?
            ),
            affine_sums: plain!(
                norm::check_sums, norm::simd::sums,
                (call: &Affine, gradient: &[f32], sums: &mut [f32]) $(, $features)?
            ),
            affine_input: plain!(
                norm::check_input, norm::simd::input,
                (call: &Affine, gradient: &[f32], factors: &Factors, out: &mut [f32]) $(, $features)?
            ),
            moments: plain!(
                norm::check_moments, norm::simd::moments,
                (values: &[f32], shift: &[f32], sums: &mut [f32]) $(, $features)?
            ),
            outer: kernel!(
                $crate::kernels::f32::pointwise::gradient::check,
                $crate::kernels::f32::pointwise::gradient::simd::outer::<$vector, $panel>,
                (call: &Outer, sums: &mut [f32]) $(, $features)?
            ),
            depthwise_input: plain!(
                $crate::kernels::f32::depthwise::gradient::check_input,
                $crate::kernels::f32::depthwise::gradient::simd::input,
                (call: &DepthwiseGradient, weights: &[f32], out: &mut [f32]) $(, $features)?
            ),
            depthwise_filter: kernel!(
                $crate::kernels::f32::depthwise::gradient::check_filter,
                $crate::kernels::f32::depthwise::gradient::simd::filter::<$vector>,
                (call: &DepthwiseGradient, input: &[f32], sums: &mut [f32]) $(, $features)?
            ),
        }
    }};
}

#[cfg(any(test, simd))]
pub(in crate::kernels) use simd_gradients;
