//! A vector register of f32.

/// A register of [`LANES`](Self::LANES) f32 values.
///
/// Every method is inlined into its caller, so that it is compiled for the instruction set of the table entry that the
/// call comes from (see `entry.rs`).
///
/// # Safety
/// All methods may be called only on a CPU with the instruction set of the type. Pointers need no alignment beyond
/// that of f32; loads and stores touch exactly the lanes they name.
pub(in crate::kernels) trait Vector: Copy {
    /// Values in the register; divides [`PANEL`](crate::kernels::PANEL).
    const LANES: usize;

    /// All lanes `x`.
    unsafe fn splat(x: f32) -> Self;

    /// `LANES` values at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// `count < LANES` values at `from`, then zeros.
    unsafe fn load_partial(from: *const f32, count: usize) -> Self;

    /// Writes all lanes.
    unsafe fn store(self, to: *mut f32);

    /// Writes the first `count < LANES` lanes.
    unsafe fn store_partial(self, to: *mut f32, count: usize);

    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;

    /// `self * other`.
    unsafe fn mul(self, other: Self) -> Self;

    /// `self * factor + addend`.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// `self * scale + bias`, in the register of `self`.
    #[inline(always)]
    unsafe fn scale(self, scale: Self, bias: Self) -> Self {
        // SAFETY: passed on from the caller.
        unsafe { self.mul_add(scale, bias) }
    }

    /// Values of [`factors`](Self::factors): 1 where it costs no more to [`splat`](Self::splat) each.
    const FACTORS: usize = 1;

    /// `FACTORS` values at `from`, which multiply vectors one by one.
    #[inline(always)]
    unsafe fn factors(from: *const f32) -> Self {
        // SAFETY: passed on from the caller.
        unsafe { Self::splat(*from) }
    }

    /// `self * factor + addend`, where the factor is the one at `INDEX < FACTORS`.
    #[inline(always)]
    unsafe fn mul_add_factor<const INDEX: usize>(self, factors: Self, addend: Self) -> Self {
        // SAFETY: passed on from the caller.
        unsafe { self.mul_add(factors, addend) }
    }

    /// The smaller; a NaN in `self` stays.
    unsafe fn min(self, bound: Self) -> Self;

    /// The larger; a NaN in `self` stays.
    unsafe fn max(self, bound: Self) -> Self;

    /// The first `count` of `LANES` or more values at `from`.
    #[inline(always)]
    unsafe fn load_up_to(from: *const f32, count: usize) -> Self {
        // SAFETY: the caller's promise for `min(count, LANES)` values.
        unsafe {
            if count >= Self::LANES {
                Self::load(from)
            } else {
                Self::load_partial(from, count)
            }
        }
    }

    /// Writes the first `count` lanes, all where `count` is larger.
    #[inline(always)]
    unsafe fn store_up_to(self, to: *mut f32, count: usize) {
        // SAFETY: the caller's promise for `min(count, LANES)` values.
        unsafe {
            if count >= Self::LANES {
                self.store(to)
            } else {
                self.store_partial(to, count)
            }
        }
    }
}
