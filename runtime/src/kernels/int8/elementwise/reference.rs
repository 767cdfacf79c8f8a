//! Plain sum and product.

use super::check;
use crate::kernels::int8::Elementwise;

pub(in crate::kernels) fn add(call: &Elementwise, first: usize, out: &mut [i8]) {
    elementwise(call, first, out, |left, right| left + right);
}

pub(in crate::kernels) fn multiply(call: &Elementwise, first: usize, out: &mut [i8]) {
    elementwise(call, first, out, |left, right| left * right);
}

fn elementwise(
    call: &Elementwise,
    first: usize,
    out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32,
) {
    check(call, first, out);
    let Elementwise {
        left,
        right,
        output,
    } = call;
    for (i, out) in (first..).zip(out) {
        let left = left.real(left.values[i]);
        let right = right.real(right.values[i % right.values.len()]);
        *out = output.saturate(operator(left, right));
    }
}
