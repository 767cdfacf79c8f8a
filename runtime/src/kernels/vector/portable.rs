//! Any number of lanes in plain Rust: tests the kernels of all vector lengths on any machine.

use super::Vector;

#[derive(Clone, Copy)]
pub(in crate::kernels) struct Portable<const L: usize>([f32; L]);

impl<const L: usize> Portable<L> {
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(core::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl<const L: usize> Vector for Portable<L> {
    const LANES: usize = L;

    unsafe fn splat(x: f32) -> Self {
        Self([x; L])
    }

    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for L values.
        Self(unsafe { from.cast::<[f32; L]>().read() })
    }

    unsafe fn load_partial(from: *const f32, count: usize) -> Self {
        assert!(count < L);
        let mut lanes = [0.0; L];
        // SAFETY: the caller vouches for `count` values.
        lanes[..count].copy_from_slice(unsafe { core::slice::from_raw_parts(from, count) });
        Self(lanes)
    }

    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for L values.
        unsafe { to.cast::<[f32; L]>().write(self.0) }
    }

    unsafe fn store_partial(self, to: *mut f32, count: usize) {
        assert!(count < L);
        // SAFETY: the caller vouches for `count` values.
        unsafe { core::slice::from_raw_parts_mut(to, count) }.copy_from_slice(&self.0[..count]);
    }

    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(addend, |a, b| a + b)
    }

    unsafe fn min(self, bound: Self) -> Self {
        self.zip(bound, |x, bound| if x > bound { bound } else { x })
    }

    unsafe fn max(self, bound: Self) -> Self {
        self.zip(bound, |x, bound| if x < bound { bound } else { x })
    }
}
