//! Fast sum and product: stretches over which neither operand starts again.

use crate::kernels::f32::epilogue::simd::activate;
use crate::kernels::f32::{Activation, Elementwise};
use crate::kernels::isa::vector::Vector;

/// Vectors computed at a time.
const GROUP: usize = 4;

/// The sum, or with `PRODUCT` the product.
///
/// # Safety
/// `check(call, first, out)` holds; the CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn elementwise<V: Vector, const PRODUCT: bool>(
    call: &Elementwise,
    first: usize,
    mut out: &mut [f32],
) {
    let mut left = &call.left[first..][..out.len()];
    let mut right = &call.right[first % call.right.len()..];
    while !out.is_empty() {
        let length = out.len().min(right.len());
        let (now, later) = core::mem::take(&mut out).split_at_mut(length);
        // SAFETY: the caller vouches for the instruction set.
        unsafe { stretch::<V, PRODUCT>(&left[..length], &right[..length], now, call.activation) };
        (left, right, out) = (&left[length..], call.right, later);
    }
}

/// Slices of equal length.
///
/// # Safety
/// As for every method of [`Vector`].
#[inline(always)]
unsafe fn stretch<V: Vector, const PRODUCT: bool>(
    left: &[f32],
    right: &[f32],
    out: &mut [f32],
    activation: Activation,
) {
    let length = out.len().min(left.len()).min(right.len());
    let (left, right, out) = (left.as_ptr(), right.as_ptr(), out.as_mut_ptr());
    let mut i = 0;
    while i + GROUP * V::LANES <= length {
        // SAFETY: the whole group lies in all three slices.
        unsafe {
            group::<V, PRODUCT, GROUP>(left.add(i), right.add(i), out.add(i), activation, V::LANES)
        };
        i += GROUP * V::LANES;
    }
    while i < length {
        // SAFETY: no more than `length - i` values are touched.
        unsafe {
            group::<V, PRODUCT, 1>(
                left.add(i),
                right.add(i),
                out.add(i),
                activation,
                length - i,
            )
        };
        i += V::LANES;
    }
}

/// `VECTORS` vectors, of each the first `count` lanes.
///
/// # Safety
/// The pointers are good for these values.
#[inline(always)]
unsafe fn group<V: Vector, const PRODUCT: bool, const VECTORS: usize>(
    left: *const f32,
    right: *const f32,
    out: *mut f32,
    activation: Activation,
    count: usize,
) {
    // SAFETY: by the caller's promise.
    unsafe {
        let mut values = [V::splat(0.0); VECTORS];
        for (i, value) in values.iter_mut().enumerate() {
            let left = V::load_up_to(left.add(i * V::LANES), count);
            let right = V::load_up_to(right.add(i * V::LANES), count);
            *value = if PRODUCT {
                left.mul(right)
            } else {
                left.add(right)
            };
        }
        activate(&mut values, activation);
        for (i, value) in values.iter().enumerate() {
            value.store_up_to(out.add(i * V::LANES), count);
        }
    }
}
