//! Sum and product of two activations, or of an activation and one value a channel.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use super::Elementwise;
use crate::kernels::check;

/// Panics unless the operands are as long as the elements from `first` need.
pub(in crate::kernels) fn check(call: &Elementwise, first: usize, out: &[f32]) {
    check::elements([call.left.len(), call.right.len()], first, out.len());
}
