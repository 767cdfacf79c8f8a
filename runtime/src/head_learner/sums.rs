//! The sums of one class: the number of its examples, the sum of their embeddings, the lower triangle of their products.

/// Words of one class, split.
pub(super) struct Sums<'m> {
    pub(super) count: &'m mut i32,
    /// Sum of x.
    pub(super) total: &'m mut [i32],
    /// Sum of x x^T, row by row up to the diagonal.
    triangle: &'m mut [i32],
}

/// Place of entry (row, column) in a triangle, with column <= row.
pub(super) const fn triangle_index(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

impl<'m> Sums<'m> {
    pub(super) fn of(words: &'m mut [i32], dimensions: usize) -> Self {
        let (count, rest) = words.split_at_mut(1);
        let (total, triangle) = rest.split_at_mut(dimensions);
        Self {
            count: &mut count[0],
            total,
            triangle,
        }
    }

    /// Whether x can be added without any sum overflowing. Those of squares are the greatest of all, since |x| <= x^2 of
    /// integers, and by Cauchy and Schwarz.
    pub(super) fn has_room(&self, x: &[i32]) -> bool {
        let fits = |(at, &value): (usize, &i32)| {
            let square = i64::from(value) * i64::from(value);
            let sum = i64::from(self.triangle[triangle_index(at, at)]) + square;
            i32::try_from(sum).is_ok()
        };
        *self.count < i32::MAX && x.iter().enumerate().all(fits)
    }

    /// Whether x can be among the examples: with it gone, the others' sums of squares are not below what their sums ask for, by
    /// Cauchy and Schwarz. What cannot be is refused, but not all that can be was added.
    pub(super) fn may_have(&self, x: &[i32]) -> bool {
        let others = i64::from(*self.count) - 1;
        let fits = |(at, (&value, &total)): (usize, (&i32, &i32))| {
            let [value, total] = [value, total].map(i64::from);
            let squares = i64::from(self.triangle[triangle_index(at, at)]) - value * value;
            // All are below 2^31 or hardly more.
            let rest = total - value;
            squares >= 0 && rest * rest <= others * squares
        };
        others >= 0 && x.iter().zip(&*self.total).enumerate().all(fits)
    }

    /// Adds an example that there is room for.
    pub(super) fn add(&mut self, x: &[i32]) {
        *self.count += 1;
        self.each(x, |sum, value| sum.wrapping_add(value));
    }

    /// Takes an example away that is among them.
    pub(super) fn subtract(&mut self, x: &[i32]) {
        *self.count -= 1;
        self.each(x, |sum, value| sum.wrapping_sub(value));
    }

    #[inline(always)]
    fn each(&mut self, x: &[i32], update: impl Fn(i32, i32) -> i32) {
        for (sum, &value) in self.total.iter_mut().zip(x) {
            *sum = update(*sum, value);
        }
        let mut rest = &mut *self.triangle;
        for (row, &value) in x.iter().enumerate() {
            let (sums, after) = core::mem::take(&mut rest).split_at_mut(row + 1);
            rest = after;
            // Embeddings behind a ReLU have many zeros.
            if value == 0 {
                continue;
            }
            for (sum, &other) in sums.iter_mut().zip(x) {
                *sum = update(*sum, value * other);
            }
        }
    }
}
