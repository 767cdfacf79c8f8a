//! The operations that a generator is written in, so that it is written once: arrays make patches ([`super::arrays`]), ONNX
//! nodes are its file ([`super::onnx`]), and tensors with gradients, of the crate `graft-meta`, train it.

use std::ops::Range;

/// A sliding window of equal sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros on all four sides.
    pub padding: usize,
}

/// Operations on matrices (rows of tokens) and maps (NCHW).
pub trait Ops {
    /// `[rows, columns]`
    type Matrix: Clone + std::fmt::Debug;
    /// `[images, channels, height, width]`
    type Maps: Clone + std::fmt::Debug;

    /// A trained parameter.
    fn parameter(&self, name: &str) -> Self::Matrix;
    /// Product of two matrices.
    fn matmul(&self, a: &Self::Matrix, b: &Self::Matrix) -> Self::Matrix;
    /// Rows become columns.
    fn transpose(&self, a: &Self::Matrix) -> Self::Matrix;
    /// Sum; `b` has the shape of `a`, or one row, or one column, or one value.
    fn add(&self, a: &Self::Matrix, b: &Self::Matrix) -> Self::Matrix;
    /// Product of values; `b` as in [`Self::add`].
    fn mul(&self, a: &Self::Matrix, b: &Self::Matrix) -> Self::Matrix;
    /// Product with a constant.
    fn scale(&self, a: &Self::Matrix, factor: f32) -> Self::Matrix;
    /// `max(a, 0)`
    fn relu(&self, a: &Self::Matrix) -> Self::Matrix;
    /// Softmax of each row.
    fn softmax(&self, a: &Self::Matrix) -> Self::Matrix;
    /// Each row to mean 0 and variance 1, `epsilon` added to the variance.
    fn standardize(&self, a: &Self::Matrix, epsilon: f32) -> Self::Matrix;
    /// Sum of each row, as one column.
    fn sum_columns(&self, a: &Self::Matrix) -> Self::Matrix;
    /// `1 / a`
    fn inverse(&self, a: &Self::Matrix) -> Self::Matrix;
    /// `1 / sqrt(a + epsilon)`
    fn inverse_sqrt(&self, a: &Self::Matrix, epsilon: f32) -> Self::Matrix;
    /// The first rows of `a`, as many as `like` has.
    fn rows_like(&self, a: &Self::Matrix, like: &Self::Matrix) -> Self::Matrix;
    /// Some of the columns.
    fn columns(&self, a: &Self::Matrix, range: Range<usize>) -> Self::Matrix;
    /// Below each other.
    fn concat_rows(&self, parts: &[Self::Matrix]) -> Self::Matrix;
    /// Side by side.
    fn concat_columns(&self, parts: &[Self::Matrix]) -> Self::Matrix;
    /// `count` columns of zeros on the right.
    fn pad_columns(&self, a: &Self::Matrix, count: usize) -> Self::Matrix;

    /// Convolution with filters `[outputs, inputs * kernel * kernel]` (each row input channel by input channel), which may
    /// be computed values.
    fn conv(&self, x: &Self::Maps, filters: &Self::Matrix, window: Window) -> Self::Maps;
    /// `x * scale + bias` by channel; both are `[1, channels]`.
    fn affine(
        &self,
        x: &Self::Maps,
        scale: Option<&Self::Matrix>,
        bias: &Self::Matrix,
    ) -> Self::Maps;
    /// Mean and (biased) variance of each channel over images and pixels, `[1, channels]`.
    fn statistics(&self, x: &Self::Maps) -> (Self::Matrix, Self::Matrix);
    /// `max(x, 0)`
    fn relu_maps(&self, x: &Self::Maps) -> Self::Maps;
    /// Largest of each 2 x 2 window, stride 2, without padding.
    fn max_pool(&self, x: &Self::Maps) -> Self::Maps;
    /// Mean over pixels, `[images, channels]`.
    fn mean(&self, x: &Self::Maps) -> Self::Matrix;
}
