//! Plain sum and product.

use super::check;
use crate::kernels::f32::Elementwise;

pub(in crate::kernels) fn add(call: &Elementwise, first: usize, out: &mut [f32]) {
    elementwise(call, first, out, |left, right| left + right);
}

pub(in crate::kernels) fn multiply(call: &Elementwise, first: usize, out: &mut [f32]) {
    elementwise(call, first, out, |left, right| left * right);
}

fn elementwise(
    call: &Elementwise,
    first: usize,
    out: &mut [f32],
    operator: impl Fn(f32, f32) -> f32,
) {
    check(call, first, out);
    for (i, out) in (first..).zip(out) {
        let value = operator(call.left[i], call.right[i % call.right.len()]);
        *out = call.activation.of(value);
    }
}
