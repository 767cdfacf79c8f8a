//! The operations of a generator on arrays: what makes patches.

use std::collections::HashMap;
use std::ops::Range;

use ndarray::{ArcArray, ArcArray2, Array2, Array4, Axis, Ix4, Zip, concatenate, s};

use super::network::Generator;
use super::onnx::Parameters;
use super::ops::{Ops, Window};

#[cfg(test)]
pub(super) mod tests;

/// Maps `[images, channels, height, width]`, shared by their copies.
type Maps = ArcArray<f32, Ix4>;

/// The parameters of a generator, and computing with them.
#[derive(Clone, Debug)]
pub struct Arrays {
    parameters: HashMap<String, ArcArray2<f32>>,
}

impl Arrays {
    /// The parameters of this generator; `values` must be all that it reads, each of the right length.
    pub(super) fn new(generator: &Generator, mut values: Parameters) -> Self {
        let all = generator.parameters().into_iter().filter_map(|own| {
            let array = matrix(own.shape, values.remove(&own.name)?);
            Some((own.name, array))
        });
        Self {
            parameters: all.collect(),
        }
    }
}

/// A matrix of values row by row.
pub(super) fn matrix(shape: [usize; 2], values: Vec<f32>) -> ArcArray2<f32> {
    let array = Array2::from_shape_vec(shape, values);
    array
        .expect("callers check the number of values")
        .into_shared()
}

/// Maps `[images, channels, height, width]` of values in this order.
pub(super) fn maps(shape: [usize; 4], values: Vec<f32>) -> Maps {
    let array = Array4::from_shape_vec(shape, values);
    array
        .expect("callers check the number of values")
        .into_shared()
}

impl Ops for Arrays {
    type Matrix = ArcArray2<f32>;
    type Maps = Maps;

    fn parameter(&self, name: &str) -> Self::Matrix {
        self.parameters[name].clone()
    }

    fn matmul(&self, a: &Self::Matrix, b: &Self::Matrix) -> Self::Matrix {
        a.dot(b).into_shared()
    }

    fn transpose(&self, a: &Self::Matrix) -> Self::Matrix {
        a.clone().reversed_axes()
    }

    fn add(&self, a: &Self::Matrix, b: &Self::Matrix) -> Self::Matrix {
        (a + b).into_shared()
    }

    fn mul(&self, a: &Self::Matrix, b: &Self::Matrix) -> Self::Matrix {
        (a * b).into_shared()
    }

    fn scale(&self, a: &Self::Matrix, factor: f32) -> Self::Matrix {
        (a * factor).into_shared()
    }

    fn relu(&self, a: &Self::Matrix) -> Self::Matrix {
        a.mapv(relu).into_shared()
    }

    fn softmax(&self, a: &Self::Matrix) -> Self::Matrix {
        let mut result = a.to_owned();
        for mut row in result.rows_mut() {
            let largest = row.fold(f32::NEG_INFINITY, |most, &value| most.max(value));
            row.mapv_inplace(|value| (value - largest).exp());
            let sum = row.sum();
            row /= sum;
        }
        result.into_shared()
    }

    fn standardize(&self, a: &Self::Matrix, epsilon: f32) -> Self::Matrix {
        let mut result = a.to_owned();
        for mut row in result.rows_mut() {
            let count = row.len() as f32;
            let mean = row.sum() / count;
            row -= mean;
            let variance = row.dot(&row) / count;
            row /= (variance + epsilon).sqrt();
        }
        result.into_shared()
    }

    fn sum_columns(&self, a: &Self::Matrix) -> Self::Matrix {
        a.sum_axis(Axis(1)).insert_axis(Axis(1)).into_shared()
    }

    fn inverse(&self, a: &Self::Matrix) -> Self::Matrix {
        a.mapv(f32::recip).into_shared()
    }

    fn inverse_sqrt(&self, a: &Self::Matrix, epsilon: f32) -> Self::Matrix {
        a.mapv(|value| (value + epsilon).sqrt().recip())
            .into_shared()
    }

    fn rows_like(&self, a: &Self::Matrix, like: &Self::Matrix) -> Self::Matrix {
        a.clone().slice_move(s![..like.nrows(), ..])
    }

    fn columns(&self, a: &Self::Matrix, range: Range<usize>) -> Self::Matrix {
        a.clone().slice_move(s![.., range])
    }

    fn concat_rows(&self, parts: &[Self::Matrix]) -> Self::Matrix {
        joined(Axis(0), parts)
    }

    fn concat_columns(&self, parts: &[Self::Matrix]) -> Self::Matrix {
        joined(Axis(1), parts)
    }

    fn pad_columns(&self, a: &Self::Matrix, count: usize) -> Self::Matrix {
        let zeros = Array2::zeros((a.nrows(), count)).into_shared();
        joined(Axis(1), &[a.clone(), zeros])
    }

    /// Image by image, the product of the filters and the windows that they see: columns of a matrix.
    fn conv(&self, x: &Maps, filters: &Self::Matrix, window: Window) -> Maps {
        let (images, inputs, height, width) = x.dim();
        let Window {
            kernel,
            stride,
            padding,
        } = window;
        let [rows, columns] =
            [height, width].map(|size| (size + 2 * padding - kernel) / stride + 1);
        let [covered_rows, covered_columns] = [rows, columns].map(|count| (count - 1) * stride + 1);
        let outputs = filters.nrows();
        let mut padded =
            ndarray::Array3::zeros((inputs, height + 2 * padding, width + 2 * padding));
        let mut windows = ndarray::Array5::zeros((inputs, kernel, kernel, rows, columns));
        let mut result = Array4::zeros((images, outputs, rows, columns));
        for (image, mut result) in x.outer_iter().zip(result.outer_iter_mut()) {
            padded
                .slice_mut(s![.., padding..padding + height, padding..padding + width])
                .assign(&image);
            for (row, column) in (0..kernel * kernel).map(|at| (at / kernel, at % kernel)) {
                let seen = padded.slice(s![
                    ..,
                    row..row + covered_rows; stride,
                    column..column + covered_columns; stride
                ]);
                windows.slice_mut(s![.., row, column, .., ..]).assign(&seen);
            }
            let windows = windows
                .view()
                .into_shape_with_order((inputs * kernel * kernel, rows * columns))
                .expect("a whole array has any shape of its length");
            let sums = filters
                .dot(&windows)
                .into_shape_with_order((outputs, rows, columns))
                .expect("a whole array has any shape of its length");
            result.assign(&sums);
        }
        result.into_shared()
    }

    fn affine(&self, x: &Maps, scale: Option<&Self::Matrix>, bias: &Self::Matrix) -> Maps {
        let mut result = x.to_owned();
        for mut image in result.outer_iter_mut() {
            for (channel, mut map) in image.outer_iter_mut().enumerate() {
                let scale = scale.map_or(1.0, |scale| scale[[0, channel]]);
                let bias = bias[[0, channel]];
                map.mapv_inplace(|value| value * scale + bias);
            }
        }
        result.into_shared()
    }

    fn statistics(&self, x: &Maps) -> (Self::Matrix, Self::Matrix) {
        let (images, channels, height, width) = x.dim();
        let count = (images * height * width) as f32;
        let sums =
            |values: &Array4<f32>| values.sum_axis(Axis(3)).sum_axis(Axis(2)).sum_axis(Axis(0));
        let row = |sums: ndarray::Array1<f32>| (sums / count).insert_axis(Axis(0));
        let mean = row(sums(&x.to_owned()));
        let by_channel = mean
            .to_shape((1, channels, 1, 1))
            .expect("one value for each channel");
        let centred = x - &by_channel;
        let variance = row(sums(&centred.mapv(|value| value * value)));
        (mean.into_shared(), variance.into_shared())
    }

    fn relu_maps(&self, x: &Maps) -> Maps {
        x.mapv(relu).into_shared()
    }

    fn max_pool(&self, x: &Maps) -> Maps {
        let (.., height, width) = x.dim();
        let (rows, columns) = (height / 2 * 2, width / 2 * 2);
        let part = |row, column| x.slice(s![.., .., row..rows; 2, column..columns; 2]);
        Zip::from(part(0, 0))
            .and(part(0, 1))
            .and(part(1, 0))
            .and(part(1, 1))
            .map_collect(|&a, &b, &c, &d| larger(larger(a, b), larger(c, d)))
            .into_shared()
    }

    fn mean(&self, x: &Maps) -> Self::Matrix {
        let (.., height, width) = x.dim();
        let sums = x.sum_axis(Axis(3)).sum_axis(Axis(2));
        (sums / (height * width) as f32).into_shared()
    }
}

fn relu(value: f32) -> f32 {
    larger(value, 0.0)
}

/// The larger of two numbers; NaN where one is, which `f32::max` would drop: a calculation that overflows must not end in
/// finite weights.
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

fn joined(axis: Axis, parts: &[ArcArray2<f32>]) -> ArcArray2<f32> {
    let parts: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let array = concatenate(axis, &parts);
    array
        .expect("parts are as long as each other")
        .into_shared()
}
