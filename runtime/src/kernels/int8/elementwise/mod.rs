//! Sum and product of two activations, or of an activation and one value a channel.

pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;

use super::Elementwise;

/// Panics unless the operands are as long as the elements from `first` need.
pub(in crate::kernels) fn check(call: &Elementwise, first: usize, out: &[i8]) {
    let [left, right] = [&call.left, &call.right].map(|operand| operand.values.len());
    assert!(
        first + out.len() <= left,
        "output is longer than the first operand"
    );
    assert!(
        right > 0 && left.is_multiple_of(right),
        "second operand of {right} values does not repeat over {left}"
    );
}
