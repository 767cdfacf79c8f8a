//! The generator's operations on burn's tensors, with gradients.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use burn_tensor::activation;
use burn_tensor::module::{conv2d, max_pool2d};
use burn_tensor::ops::{ConvOptions, MaxPoolOptions};
use burn_tensor::{Device, Tensor, TensorData};

use patchtool::hyper::ops::{Ops, Window};

/// Parameters on a device, and what can be computed from them.
#[derive(Clone, Debug)]
pub struct Tensors {
    device: Device,
    parameters: RefCell<BTreeMap<String, Tensor<2>>>,
}

impl Tensors {
    /// No parameters yet.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            parameters: RefCell::default(),
        }
    }

    /// No parameters, on the same device with gradients.
    pub fn with_gradients(&self) -> Self {
        Self::new(self.device.clone().autodiff())
    }

    /// Gives a parameter a value; with gradients where the device has them.
    pub fn set(&self, name: &str, shape: [usize; 2], values: &[f32]) {
        let mut tensor = self.matrix(shape, values);
        if self.device.is_autodiff() {
            tensor = tensor.require_grad();
        }
        self.parameters.borrow_mut().insert(name.into(), tensor);
    }

    /// A constant matrix.
    pub fn matrix(&self, shape: [usize; 2], values: &[f32]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &self.device)
    }

    /// Constant maps, NCHW.
    pub fn maps(&self, shape: [usize; 4], values: &[f32]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &self.device)
    }

    /// One-hot rows of `columns` columns.
    pub fn one_hot(
        &self,
        indices: impl ExactSizeIterator<Item = usize>,
        columns: usize,
    ) -> Tensor<2> {
        let rows = indices.len();
        let mut values = vec![0.0; rows * columns];
        for (row, index) in indices.enumerate() {
            values[row * columns + index] = 1.0;
        }
        self.matrix([rows, columns], &values)
    }
}

/// The values of a tensor.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    data.try_to_vec().expect("tensors of this module are f32")
}

impl Ops for Tensors {
    type Matrix = Tensor<2>;
    type Maps = Tensor<4>;

    fn parameter(&self, name: &str) -> Tensor<2> {
        let parameters = self.parameters.borrow();
        let known = parameters.get(name);
        known
            .unwrap_or_else(|| panic!("no parameter {name}"))
            .clone()
    }

    fn matmul(&self, a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
        a.clone().matmul(b.clone())
    }

    fn transpose(&self, a: &Tensor<2>) -> Tensor<2> {
        a.clone().transpose()
    }

    fn add(&self, a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
        a.clone() + b.clone()
    }

    fn mul(&self, a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
        a.clone() * b.clone()
    }

    fn scale(&self, a: &Tensor<2>, factor: f32) -> Tensor<2> {
        a.clone() * factor
    }

    fn relu(&self, a: &Tensor<2>) -> Tensor<2> {
        activation::relu(a.clone())
    }

    fn softmax(&self, a: &Tensor<2>) -> Tensor<2> {
        activation::softmax(a.clone(), 1)
    }

    fn standardize(&self, a: &Tensor<2>, epsilon: f32) -> Tensor<2> {
        let centred = a.clone() - a.clone().mean_dim(1);
        let variance = (centred.clone() * centred.clone()).mean_dim(1);
        centred / (variance + epsilon).sqrt()
    }

    fn sum_columns(&self, a: &Tensor<2>) -> Tensor<2> {
        a.clone().sum_dim(1)
    }

    fn inverse(&self, a: &Tensor<2>) -> Tensor<2> {
        a.clone().recip()
    }

    fn inverse_sqrt(&self, a: &Tensor<2>, epsilon: f32) -> Tensor<2> {
        (a.clone() + epsilon).sqrt().recip()
    }

    fn rows_like(&self, a: &Tensor<2>, like: &Tensor<2>) -> Tensor<2> {
        let [rows, _] = like.dims();
        a.clone().narrow(0, 0, rows)
    }

    fn columns(&self, a: &Tensor<2>, range: Range<usize>) -> Tensor<2> {
        a.clone().narrow(1, range.start, range.len())
    }

    fn concat_rows(&self, parts: &[Tensor<2>]) -> Tensor<2> {
        Tensor::cat(parts.to_vec(), 0)
    }

    fn concat_columns(&self, parts: &[Tensor<2>]) -> Tensor<2> {
        Tensor::cat(parts.to_vec(), 1)
    }

    fn pad_columns(&self, a: &Tensor<2>, count: usize) -> Tensor<2> {
        if count == 0 {
            return a.clone();
        }
        let [rows, _] = a.dims();
        let zeros = Tensor::zeros([rows, count], &self.device);
        Tensor::cat(vec![a.clone(), zeros], 1)
    }

    fn conv(&self, x: &Tensor<4>, filters: &Tensor<2>, window: Window) -> Tensor<4> {
        let ([_, inputs, ..], [outputs, _]) = (x.dims(), filters.dims());
        let side = window.kernel;
        let filters = filters.clone().reshape([outputs, inputs, side, side]);
        let options = ConvOptions::new([window.stride; 2], [window.padding; 2], [1, 1], 1);
        conv2d(x.clone(), filters, None, options)
    }

    fn affine(&self, x: &Tensor<4>, scale: Option<&Tensor<2>>, bias: &Tensor<2>) -> Tensor<4> {
        let by_channel = |row: &Tensor<2>| {
            let [_, channels] = row.dims();
            row.clone().reshape([1, channels, 1, 1])
        };
        let scaled = match scale {
            Some(scale) => x.clone() * by_channel(scale),
            None => x.clone(),
        };
        scaled + by_channel(bias)
    }

    fn statistics(&self, x: &Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let [_, channels, ..] = x.dims();
        let mean_of = |x: Tensor<4>| x.mean_dim(3).mean_dim(2).mean_dim(0);
        let mean = mean_of(x.clone());
        let centred = x.clone() - mean.clone();
        let variance = mean_of(centred.clone() * centred);
        (mean.reshape([1, channels]), variance.reshape([1, channels]))
    }

    fn relu_maps(&self, x: &Tensor<4>) -> Tensor<4> {
        activation::relu(x.clone())
    }

    fn max_pool(&self, x: &Tensor<4>) -> Tensor<4> {
        let options = MaxPoolOptions {
            kernel_size: [2, 2],
            stride: [2, 2],
            padding: [(0, 0), (0, 0)],
            dilation: [1, 1],
            ceil_mode: false,
        };
        max_pool2d(x.clone(), options)
    }

    fn mean(&self, x: &Tensor<4>) -> Tensor<2> {
        let [images, channels, ..] = x.dims();
        x.clone()
            .mean_dim(3)
            .mean_dim(2)
            .reshape([images, channels])
    }
}
