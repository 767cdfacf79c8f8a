//! Fast sum and product: stretches over which neither operand starts again, in groups that the compiler vectorises.

use crate::kernels::int8::Elementwise;

/// Elements of a group.
const GROUP: usize = 32;

#[inline(always)]
pub(in crate::kernels::int8) fn add(task: &Elementwise, first: usize, out: &mut [i8]) {
    elementwise(task, first, out, |left, right| left + right);
}

#[inline(always)]
pub(in crate::kernels::int8) fn multiply(task: &Elementwise, first: usize, out: &mut [i8]) {
    elementwise(task, first, out, |left, right| left * right);
}

#[inline(always)]
fn elementwise(
    task: &Elementwise,
    first: usize,
    mut out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32 + Copy,
) {
    let mut left = &task.left.values[first..][..out.len()];
    let mut right = &task.right.values[first % task.right.values.len()..];
    while !out.is_empty() {
        let length = out.len().min(right.len());
        let (now, later) = core::mem::take(&mut out).split_at_mut(length);
        stretch(task, &left[..length], &right[..length], now, operator);
        (left, right, out) = (&left[length..], task.right.values, later);
    }
}

/// Slices of equal length.
#[inline(always)]
fn stretch(
    task: &Elementwise,
    left: &[i8],
    right: &[i8],
    out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32 + Copy,
) {
    let Some(last) = out.len().checked_sub(GROUP) else {
        return group(task, left, right, out, operator);
    };
    for i in (0..out.len()).step_by(GROUP) {
        // The last group overlaps the one before.
        let i = i.min(last);
        let [left, right] = [left, right].map(|values| &values[i..][..GROUP]);
        group(task, left, right, &mut out[i..][..GROUP], operator);
    }
}

/// A loop of a length that the compiler knows, for all but short stretches.
#[inline(always)]
fn group(
    task: &Elementwise,
    left: &[i8],
    right: &[i8],
    out: &mut [i8],
    operator: impl Fn(f32, f32) -> f32,
) {
    for ((out, &left), &right) in out.iter_mut().zip(left).zip(right) {
        let value = operator(task.left.real(left), task.right.real(right));
        *out = task.output.saturate(value);
    }
}
