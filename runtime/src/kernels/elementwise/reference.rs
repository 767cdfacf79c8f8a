//! Plain sum and product.

use super::check;
use crate::kernels::Elementwise;

pub(in crate::kernels) fn add(task: &Elementwise, first: usize, out: &mut [f32]) {
    elementwise(task, first, out, |left, right| left + right);
}

pub(in crate::kernels) fn multiply(task: &Elementwise, first: usize, out: &mut [f32]) {
    elementwise(task, first, out, |left, right| left * right);
}

fn elementwise(
    task: &Elementwise,
    first: usize,
    out: &mut [f32],
    operator: impl Fn(f32, f32) -> f32,
) {
    check(task, first, out);
    for (i, out) in (first..).zip(out) {
        let value = operator(task.left[i], task.right[i % task.right.len()]);
        *out = task.activation.of(value);
    }
}
