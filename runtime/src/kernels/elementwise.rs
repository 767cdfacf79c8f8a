//! The walk of elementwise operators.

/// Stretches of the elements from `first` over which neither operand starts again: the left operand, the right one and
/// the output, of equal length.
#[inline(always)]
pub(super) fn stretches<'a, T>(
    left: &'a [T],
    right: &'a [T],
    first: usize,
    out: &'a mut [T],
) -> Stretches<'a, T> {
    Stretches {
        left: &left[first..][..out.len()],
        right,
        rest: &right[first % right.len()..],
        out,
    }
}

/// As [`stretches`] gives them.
pub(super) struct Stretches<'a, T> {
    left: &'a [T],
    right: &'a [T],
    /// The right operand until it starts again.
    rest: &'a [T],
    out: &'a mut [T],
}

impl<'a, T> Iterator for Stretches<'a, T> {
    type Item = (&'a [T], &'a [T], &'a mut [T]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let length = self.out.len().min(self.rest.len());
        if length == 0 {
            return None;
        }
        let (left, left_later) = self.left.split_at(length);
        let (out, out_later) = core::mem::take(&mut self.out).split_at_mut(length);
        let right = &self.rest[..length];
        (self.left, self.rest, self.out) = (left_later, self.right, out_later);
        Some((left, right, out))
    }
}
