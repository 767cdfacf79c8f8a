//! Fast sum and product: stretches over which neither operand starts again, in groups that the compiler vectorises.

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
    mut out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32 + Copy,
) {
    let mut left = &call.left.values[first..][..out.len()];
    let mut right = &call.right.values[first % call.right.values.len()..];
    while !out.is_empty() {
        let length = out.len().min(right.len());
        let (now, later) = core::mem::take(&mut out).split_at_mut(length);
        stretch(call, &left[..length], &right[..length], now, operator);
        (left, right, out) = (&left[length..], call.right.values, later);
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
