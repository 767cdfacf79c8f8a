//! The backward pass of one layer, on some images: from its accumulators to its weights and operands.

use std::mem::take;

use graft_patches::geometry::Shape;
use graft_patches::records::Op;

use super::forward::Images;
use super::lanes::{Lane, grown};
use super::network::Network;
use super::node::Node;
use crate::kernels::f32::gradient::{self, DepthwiseGradient, Outer, gather, scatter};
use crate::kernels::f32::{Conv, Pointwise, Pool};

/// An operand whose gradient is wanted.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) tensor: usize,
    /// No other reader has given its part yet: write, do not add.
    pub(super) is_first: bool,
    /// No other reader will: its layer's sums can be made.
    pub(super) is_last: bool,
}

/// Some images of one layer, and the gradient of their accumulators.
pub(super) struct LayerGradient<'a> {
    pub(super) network: &'a Network,
    pub(super) node: &'a Node,
    pub(super) index: usize,
    pub(super) images: Images,
    pub(super) gradient: &'a [f32],
}

impl LayerGradient<'_> {
    /// Adds the gradient of the weights to the lane's, where they are trained.
    pub(super) fn weights(&self, lane: &mut Lane) {
        let Some(site) = self
            .node
            .site
            .as_ref()
            .filter(|site| !site.gradient.is_empty())
        else {
            return;
        };
        let network = self.network;
        let Lane {
            operands: [operand, _],
            columns,
            weights,
            ..
        } = lane;
        let kernels = &network.kernels.gradient;
        let input = network
            .output(self.node.layer.inputs[0], self.images, operand)
            .values();
        let weights = &mut weights[..site.gradient.len()];
        let inputs = site.site.depth;
        let outputs = self.output_shape().channels;
        let outer = |input: &[f32], gradient: &[f32], weights: &mut [f32]| {
            let outer = Outer {
                input,
                inputs,
                gradient,
                outputs,
            };
            (kernels.outer)(&outer, weights);
        };
        match self.node.layer.op {
            Op::Conv => {
                let (from, to) = (self.input_shape(), self.output_shape());
                for (input, gradient) in self.by_image(input) {
                    let columns = grown(columns, to.pixels() * inputs);
                    gather(from, to, self.node.layer.window, input, columns);
                    outer(columns, gradient, weights);
                }
            }
            Op::Depthwise => {
                for (input, gradient) in self.by_image(input) {
                    (kernels.depthwise_filter)(&self.depthwise(gradient), input, weights);
                }
            }
            Op::Pointwise | Op::Linear => outer(input, self.gradient, weights),
            Op::Add | Op::Multiply | Op::AveragePool | Op::MaxPool | Op::GlobalAveragePool => {
                unreachable!("loading has seen to sites")
            }
        }
    }

    fn input_shape(&self) -> Shape {
        self.network.shapes[self.node.layer.inputs[0]]
    }

    fn output_shape(&self) -> Shape {
        self.network.shapes[self.index + 1]
    }

    /// The first operand of each image with the gradient of its accumulators.
    fn by_image<'i>(&'i self, input: &'i [f32]) -> impl Iterator<Item = (&'i [f32], &'i [f32])> {
        let gradients = self.gradient.chunks_exact(self.output_shape().len());
        input.chunks_exact(self.input_shape().len()).zip(gradients)
    }

    fn depthwise<'g>(&self, gradient: &'g [f32]) -> DepthwiseGradient<'g> {
        DepthwiseGradient {
            input_shape: self.input_shape(),
            output_shape: self.output_shape(),
            window: self.node.layer.window,
            gradient,
        }
    }

    /// Gives an operand its gradient.
    pub(super) fn operand(&self, target: Target, lane: &mut Lane, out: &mut [f32]) {
        if target.is_first {
            return self.write(target.tensor, lane, out);
        }
        let mut part = take(&mut lane.input);
        let values = grown(&mut part, out.len());
        self.write(target.tensor, lane, values);
        for (out, value) in out.iter_mut().zip(values) {
            *out += *value;
        }
        lane.input = part;
    }

    /// Writes this layer's part of the gradient of an operand.
    fn write(&self, tensor: usize, lane: &mut Lane, out: &mut [f32]) {
        match self.node.layer.op {
            Op::Conv => self.conv_input(lane, out),
            Op::Depthwise => self.depthwise_input(out),
            Op::Pointwise | Op::Linear => self.columns(self.gradient, out),
            Op::Add => self.add(tensor, out),
            Op::Multiply => self.multiply(tensor, lane, out),
            Op::AveragePool => self.pool(gradient::average, &[], out),
            Op::MaxPool => {
                let operand = &mut lane.operands[0];
                let input = self.node.layer.inputs[0];
                let input = self.network.output(input, self.images, operand);
                self.pool(gradient::max, input.values(), out);
            }
            Op::GlobalAveragePool => self.pool(gradient::global_average, &[], out),
        }
    }

    /// The gradient of the windows that a dense layer's accumulators read: of a pointwise one, of its input.
    fn columns(&self, gradient: &[f32], out: &mut [f32]) {
        let site = self.node.weighted();
        let pointwise = Pointwise {
            input: gradient,
            inputs: self.output_shape().channels,
            outputs: site.site.depth,
            weights: &site.transposed,
            epilogue: self.network.no_epilogue(),
        };
        (self.network.kernels.pointwise)(&pointwise, 0, out);
    }

    fn conv_input(&self, lane: &mut Lane, out: &mut [f32]) {
        let (from, to) = (self.input_shape(), self.output_shape());
        let depth = self.node.weighted().site.depth;
        let columns = grown(&mut lane.columns, to.pixels() * depth);
        out.fill(0.0);
        let gradients = self.gradient.chunks_exact(to.len());
        for (gradient, out) in gradients.zip(out.chunks_exact_mut(from.len())) {
            self.columns(gradient, columns);
            scatter(from, to, self.node.layer.window, columns, out);
        }
    }

    fn depthwise_input(&self, out: &mut [f32]) {
        let site = self.node.weighted();
        let network = self.network;
        let (from, to) = (self.input_shape(), self.output_shape());
        let weights = network.weights(site);
        let gradients = self.gradient.chunks_exact(to.len());
        for (gradient, out) in gradients.zip(out.chunks_exact_mut(from.len())) {
            if let Some(window) = site.flipped {
                let conv = Conv {
                    input: gradient,
                    input_shape: to,
                    output_shape: from,
                    window,
                    weights: &site.transposed,
                    epilogue: network.no_epilogue(),
                };
                (network.kernels.depthwise)(&conv, 0, out);
            } else {
                let kernel = network.kernels.gradient.depthwise_input;
                kernel(&self.depthwise(gradient), weights, out);
            }
        }
    }

    /// The sum of a tensor with itself passes its gradient on twice.
    fn add(&self, tensor: usize, out: &mut [f32]) {
        out.copy_from_slice(self.gradient);
        if self.node.layer.inputs == [tensor; 2] {
            out.iter_mut().for_each(|out| *out *= 2.0);
        }
    }

    fn multiply(&self, tensor: usize, lane: &mut Lane, out: &mut [f32]) {
        let Self {
            network,
            node,
            index,
            images,
            ..
        } = *self;
        let Lane {
            operands: [left, right],
            ..
        } = lane;
        let inputs = node.layer.inputs;
        let left = network.output(inputs[0], images, left).values();
        let right = network.output(inputs[1], images, right).values();
        let [left, right] =
            [left, right].map(|values| values.chunks_exact(values.len() / images.images));
        let len = out.len() / images.images;
        let gradients = self.gradient.chunks_exact(network.shapes[index + 1].len());
        out.fill(0.0);
        for (((left, right), gradient), out) in left
            .zip(right)
            .zip(gradients)
            .zip(out.chunks_exact_mut(len))
        {
            if inputs[0] == tensor {
                gradient::multiply_left(right, gradient, out);
            }
            if inputs[1] == tensor {
                gradient::multiply_right(left, gradient, out);
            }
        }
    }

    /// A pool; only the gradient of a maximum depends on its input.
    fn pool(&self, kernel: fn(&Pool, &[f32], &mut [f32]), input: &[f32], out: &mut [f32]) {
        let input_len = self.input_shape().len();
        let gradients = self.gradient.chunks_exact(self.output_shape().len());
        out.fill(0.0);
        for (image, (out, gradient)) in out.chunks_exact_mut(input_len).zip(gradients).enumerate() {
            let input = input.get(image * input_len..).unwrap_or_default();
            let pool = self.network.pool_call(self.node, self.index, input);
            kernel(&pool, gradient, out);
        }
    }
}
