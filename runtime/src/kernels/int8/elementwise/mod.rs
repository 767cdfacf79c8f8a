//! Sum and product of two activations, or of an activation and one value a channel.

pub(in crate::kernels) mod reference;
#[cfg(any(test, simd))]
pub(in crate::kernels) mod simd;

use super::Elementwise;
use crate::kernels::check;

/// Panics unless the operands are as long as the elements from `first` need.
pub(in crate::kernels) fn check(call: &Elementwise, first: usize, out: &[i8]) {
    let operands = [call.left.values.len(), call.right.values.len()];
    check::elements(operands, first, out.len());
}
