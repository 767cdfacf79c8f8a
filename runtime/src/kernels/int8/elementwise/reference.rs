//! Plain sum and product.

use super::check;
use crate::kernels::int8::Elementwise;

pub(in crate::kernels::int8) fn add(task: &Elementwise, first: usize, out: &mut [i8]) {
    elementwise(task, first, out, |left, right| left + right);
}

pub(in crate::kernels::int8) fn multiply(task: &Elementwise, first: usize, out: &mut [i8]) {
    elementwise(task, first, out, |left, right| left * right);
}

fn elementwise(
    task: &Elementwise,
    first: usize,
    out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32,
) {
    check(task, first, out);
    let Elementwise {
        left,
        right,
        output,
    } = task;
    for (i, out) in (first..).zip(out) {
        let left = left.real(left.values[i]);
        let right = right.real(right.values[i % right.values.len()]);
        *out = output.saturate(operator(left, right));
    }
}
