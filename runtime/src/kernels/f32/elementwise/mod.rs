//! Sum and product of two activations, or of an activation and one value a channel.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;

use super::Elementwise;

/// Panics unless the operands are as long as the elements from `first` need.
pub(in crate::kernels) fn check(call: &Elementwise, first: usize, out: &[f32]) {
    assert!(
        first + out.len() <= call.left.len(),
        "output is longer than the first operand"
    );
    assert!(
        !call.right.is_empty() && call.left.len().is_multiple_of(call.right.len()),
        "second operand of {} values does not repeat over {}",
        call.right.len(),
        call.left.len()
    );
}
