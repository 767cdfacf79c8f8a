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
    // Counted, because a Cortex-M divides slowly.
    let mut at = first % right.values.len();
    for (out, &value) in out.iter_mut().zip(&left.values[first..]) {
        let real = operator(left.real(value), right.real(right.values[at]));
        *out = output.saturate(real);
        at += 1;
        if at == right.values.len() {
            at = 0;
        }
    }
}
