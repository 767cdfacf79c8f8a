//! The backward pass of one layer, on some images: from its accumulators to its weights and operands.

use std::mem::take;

use graft_patches::records::Op;

use super::forward::Images;
use super::lanes::{Lane, grown};
use super::network::{Network, Node, SiteNode};
use crate::kernels::f32::gradient::{self, DepthwiseGradient, Outer, gather, scatter};
use crate::kernels::f32::{Conv, Pointwise};

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
        let Self {
            network,
            node,
            index,
            ..
        } = *self;
        let Lane {
            operands: [operand, _],
            columns,
            weights,
            ..
        } = lane;
        let kernels = &network.kernels.gradient;
        let input = network
            .output(node.layer.inputs[0], self.images, operand)
            .values();
        let weights = &mut weights[..site.gradient.len()];
        let (input_shape, output_shape) = (
            network.shapes[node.layer.inputs[0]],
            network.shapes[index + 1],
        );
        let inputs = site.site.depth;
        let outputs = output_shape.channels;
        if matches!(node.layer.op, Op::Pointwise | Op::Linear) {
            let task = Outer {
                input,
                inputs,
                gradient: self.gradient,
                outputs,
            };
            return (kernels.outer)(&task, weights);
        }
        let images = input.chunks_exact(input_shape.len());
        for (input, gradient) in images.zip(self.gradient.chunks_exact(output_shape.len())) {
            let window = node.layer.window;
            if node.layer.op == Op::Depthwise {
                let task = DepthwiseGradient {
                    input_shape,
                    output_shape,
                    window,
                    gradient,
                };
                (kernels.depthwise_filter)(&task, input, weights);
            } else {
                let columns = grown(columns, output_shape.pixels() * inputs);
                gather(input_shape, output_shape, window, input, columns);
                let task = Outer {
                    input: columns,
                    inputs,
                    gradient,
                    outputs,
                };
                (kernels.outer)(&task, weights);
            }
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
        match (self.node.layer.op, &self.node.site) {
            (Op::Depthwise, Some(site)) => self.depthwise(site, out),
            (_, Some(site)) => self.dense(site, lane, out),
            (Op::Add, None) => self.add(tensor, out),
            (Op::Multiply, None) => self.multiply(tensor, lane, out),
            (op, None) => self.pool(op, lane, out),
        }
    }

    fn dense(&self, site: &SiteNode, lane: &mut Lane, out: &mut [f32]) {
        let Self {
            network,
            node,
            index,
            ..
        } = *self;
        let (input_shape, output_shape) = (
            network.shapes[node.layer.inputs[0]],
            network.shapes[index + 1],
        );
        let product = |gradient, out: &mut [f32]| {
            let task = Pointwise {
                input: gradient,
                inputs: output_shape.channels,
                outputs: site.site.depth,
                weights: &site.transposed,
                epilogue: network.no_epilogue(),
            };
            (network.kernels.pointwise)(&task, 0, out);
        };
        if node.layer.op != Op::Conv {
            return product(self.gradient, out);
        }
        out.fill(0.0);
        let columns = grown(&mut lane.columns, output_shape.pixels() * site.site.depth);
        let images = self.gradient.chunks_exact(output_shape.len());
        for (gradient, out) in images.zip(out.chunks_exact_mut(input_shape.len())) {
            product(gradient, columns);
            scatter(input_shape, output_shape, node.layer.window, columns, out);
        }
    }

    fn depthwise(&self, site: &SiteNode, out: &mut [f32]) {
        let Self {
            network,
            node,
            index,
            ..
        } = *self;
        let (input_shape, output_shape) = (
            network.shapes[node.layer.inputs[0]],
            network.shapes[index + 1],
        );
        let image = network.backbone.image();
        let weights = site
            .weights
            .as_deref()
            .unwrap_or_else(|| image.weights(&site.site));
        let images = self.gradient.chunks_exact(output_shape.len());
        for (gradient, out) in images.zip(out.chunks_exact_mut(input_shape.len())) {
            if let Some(window) = site.flipped {
                let task = Conv {
                    input: gradient,
                    input_shape: output_shape,
                    output_shape: input_shape,
                    window,
                    weights: &site.transposed,
                    epilogue: network.no_epilogue(),
                };
                (network.kernels.depthwise)(&task, 0, out);
            } else {
                let window = node.layer.window;
                let task = DepthwiseGradient {
                    input_shape,
                    output_shape,
                    window,
                    gradient,
                };
                (network.kernels.gradient.depthwise_input)(&task, weights, out);
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

    fn pool(&self, op: Op, lane: &mut Lane, out: &mut [f32]) {
        let Self {
            network,
            node,
            index,
            images,
            ..
        } = *self;
        // An average has the same gradient wherever its input is, so that only a maximum's is made again.
        let input = match op {
            Op::MaxPool => network
                .output(node.layer.inputs[0], images, &mut lane.operands[0])
                .values(),
            _ => &[],
        };
        let input_len = out.len() / images.images;
        let gradients = self.gradient.chunks_exact(network.shapes[index + 1].len());
        out.fill(0.0);
        for (image, (out, gradient)) in out.chunks_exact_mut(input_len).zip(gradients).enumerate() {
            let input = input.get(image * input_len..).unwrap_or_default();
            let task = network.pool_task(node, index, input);
            match op {
                Op::AveragePool => gradient::average(&task, gradient, out),
                Op::MaxPool => gradient::max(&task, gradient, out),
                _ => gradient::global_average(&task, gradient, out),
            }
        }
    }
}
