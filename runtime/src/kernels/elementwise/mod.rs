//! Sum and product of two activations, or of an activation and one value a channel.

#[cfg(feature = "gradient")]
pub(super) mod gradient;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;

use super::Elementwise;

/// Panics unless the operands are as long as the elements from `first` need.
pub(super) fn check(task: &Elementwise, first: usize, out: &[f32]) {
    assert!(
        first + out.len() <= task.left.len(),
        "output is longer than the first operand"
    );
    assert!(
        !task.right.is_empty() && task.left.len().is_multiple_of(task.right.len()),
        "second operand of {} values does not repeat over {}",
        task.right.len(),
        task.left.len()
    );
}
