//! Sum and product of two activations, or of an activation and one value a channel.

pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;

use super::Elementwise;

/// Panics unless the operands are as long as the elements from `first` need.
pub(super) fn check(task: &Elementwise, first: usize, out: &[i8]) {
    let [left, right] = [&task.left, &task.right].map(|operand| operand.values.len());
    assert!(
        first + out.len() <= left,
        "output is longer than the first operand"
    );
    assert!(
        right > 0 && left.is_multiple_of(right),
        "second operand of {right} values does not repeat over {left}"
    );
}
