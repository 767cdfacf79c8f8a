//! Fast sum and product: stretches over which neither operand starts again, in groups that the compiler vectorises.

use crate::kernels::elementwise::stretches;
use crate::kernels::int8::Elementwise;

/// Elements of a group.
const GROUP: usize = 32;

#[inline(always)]
pub(in crate::kernels) fn add(call: &Elementwise, first: usize, out: &mut [i8]) {
    elementwise(call, first, out, |left, right| left + right);
}

#[inline(always)]
pub(in crate::kernels) fn multiply(call: &Elementwise, first: usize, out: &mut [i8]) {
    elementwise(call, first, out, |left, right| left * right);
}

#[inline(always)]
fn elementwise(
    call: &Elementwise,
    first: usize,
    out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32 + Copy,
) {
    for (left, right, out) in stretches(call.left.values, call.right.values, first, out) {
        stretch(call, left, right, out, operator);
    }
}

/// Slices of equal length.
#[inline(always)]
fn stretch(
    call: &Elementwise,
    left: &[i8],
    right: &[i8],
    out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32 + Copy,
) {
    let Some(last) = out.len().checked_sub(GROUP) else {
        return group(call, left, right, out, operator);
    };
    for i in (0..out.len()).step_by(GROUP) {
        // The last group overlaps the one before.
        let i = i.min(last);
        let [left, right] = [left, right].map(|values| &values[i..][..GROUP]);
        group(call, left, right, &mut out[i..][..GROUP], operator);
    }
}

/// A loop of a length that the compiler knows, for all but short stretches.
#[inline(always)]
fn group(
    call: &Elementwise,
    left: &[i8],
    right: &[i8],
    out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32,
) {
    for ((out, &left), &right) in out.iter_mut().zip(left).zip(right) {
        let value = operator(call.left.real(left), call.right.real(right));
        *out = call.output.saturate(value);
    }
}
