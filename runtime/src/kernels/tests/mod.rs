//! The layers that the tests of both dtypes run, the checks of lengths, and the selection.

mod check;
mod selection;
pub(super) mod strategies;

use core::ops::Range;

/// A part of an output, as fractions of its units.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Part(f64, f64);

impl Part {
    pub(in crate::kernels) const WHOLE: Self = Self(0.0, 1.0);

    pub(in crate::kernels) fn of(self, units: usize) -> Range<usize> {
        let [a, b] = [self.0, self.1].map(|x| (x * units as f64).round() as usize);
        a.min(b)..a.max(b)
    }
}
