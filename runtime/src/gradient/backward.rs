//! The backward pass of a batch: from the gradient of the scores to those of all trained values.

use std::mem::take;
use std::vec;
use std::vec::Vec;

use graft_patches::records::Op;

use super::forward::Images;
use super::lanes::{Lane, Part, clear_sums, group, grown, share, total_sums, total_weights};
use super::network::{Network, Node, SiteNode};
use super::tail::Tail;
use crate::kernels::gradient::{self, DepthwiseGradient, Outer, gather, scatter};
use crate::kernels::{Conv, Pointwise};

/// What a backward pass carries from layer to layer.
struct Pass {
    /// Of each tensor, as far as its readers have given it.
    gradients: Vec<Option<Vec<f32>>>,
    /// For each tensor, the sums that its layer's tail needs, where they were made with the gradient.
    sums: Vec<Option<Vec<f32>>>,
    /// Readers of each tensor that have yet to give their part of its gradient.
    readers: Vec<usize>,
}

/// An operand whose gradient is wanted.
#[derive(Clone, Copy)]
struct Target {
    tensor: usize,
    /// No other reader has given its part yet: write, do not add.
    is_first: bool,
    /// No other reader will: its layer's sums can be made.
    is_last: bool,
}

impl Network {
    /// Takes the gradient of the loss by the scores of the last [`forward`](Self::forward) pass, `[images][classes]`,
    /// back to all [`parameters`](Self::parameters).
    ///
    /// # Panics
    /// If it has not as many values as the scores.
    pub fn backward(&mut self, gradient: &[f32]) {
        assert_eq!(
            gradient.len(),
            self.logits.len(),
            "a gradient for each score"
        );
        let tensors = self.shapes.len();
        let mut pass = Pass {
            gradients: vec![None; tensors],
            sums: vec![None; tensors],
            readers: self.readers(),
        };
        let mut scores = self.buffer(gradient.len());
        scores[..gradient.len()].copy_from_slice(gradient);
        pass.gradients[tensors - 1] = Some(scores);
        for index in (self.first..self.nodes.len()).rev() {
            if let Some(gradient) = pass.gradients[index + 1].take() {
                self.backward_layer(index, &gradient, &mut pass);
                self.free.push(gradient);
            } else {
                self.clear_gradients(index);
            }
        }
    }

    /// For each tensor, how many layers will give a part of its gradient.
    fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.shapes.len()];
        let scores = self.nodes.len();
        for index in (self.first..scores).rev() {
            if index + 1 == scores || readers[index + 1] > 0 {
                for tensor in self.targets(&self.nodes[index]) {
                    readers[tensor] += 1;
                }
            }
        }
        readers
    }

    /// Distinct operands of a layer that depend on a parameter.
    fn targets(&self, node: &Node) -> impl Iterator<Item = usize> {
        let [left, right] = node.layer.inputs;
        let right = (node.layer.op.arity() == 2 && right != left).then_some(right);
        [Some(left), right]
            .into_iter()
            .flatten()
            .filter(|&tensor| self.wanted[tensor])
    }

    /// Memory for a gradient of so many values or more, with anything in it.
    fn buffer(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.free.pop().unwrap_or_default();
        grown(&mut buffer, len);
        buffer
    }

    /// A layer whose output does not reach the scores.
    fn clear_gradients(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if let Some(site) = &mut node.site {
            site.gradient.fill(0.0);
        }
        if let Some(tail) = &mut node.tail {
            tail.gradients
                .iter_mut()
                .for_each(|gradient| gradient.fill(0.0));
        }
    }

    fn backward_layer(&mut self, index: usize, gradient: &[f32], pass: &mut Pass) {
        let mut lanes = take(&mut self.lanes);
        self.take_sums(index, gradient, pass, &mut lanes);
        let mut targets = [None; 2];
        let mut outs = [Vec::new(), Vec::new()];
        let wanted: Vec<usize> = self.targets(&self.nodes[index]).collect();
        for (at, tensor) in wanted.into_iter().enumerate() {
            pass.readers[tensor] -= 1;
            let known = pass.gradients[tensor].take();
            targets[at] = Some(Target {
                tensor,
                is_first: known.is_none(),
                is_last: pass.readers[tensor] == 0,
            });
            outs[at] = known.unwrap_or_else(|| self.buffer(self.batch * self.shapes[tensor].len()));
            clear_sums(&mut lanes, at, 2 * self.shapes[tensor].channels);
        }
        self.clear_weights(index, &mut lanes);
        self.share_layer(index, gradient, &mut lanes, targets, &mut outs);
        for (at, (target, out)) in targets.into_iter().zip(outs).enumerate() {
            let Some(Target {
                tensor, is_last, ..
            }) = target
            else {
                continue;
            };
            pass.gradients[tensor] = Some(out);
            if is_last && self.summed(tensor).is_some() {
                pass.sums[tensor] = Some(total_sums(
                    &lanes,
                    self.batch,
                    at,
                    2 * self.shapes[tensor].channels,
                ));
            }
        }
        if let Some(site) = self.nodes[index]
            .site
            .as_mut()
            .filter(|site| !site.gradient.is_empty())
        {
            total_weights(&lanes, self.batch, &mut site.gradient);
        }
        self.lanes = lanes;
    }

    /// Gives a tail that is trained the sums of the gradient of its output.
    fn take_sums(&mut self, index: usize, gradient: &[f32], pass: &mut Pass, lanes: &mut [Lane]) {
        if self.summed(index + 1).is_none() {
            return;
        }
        let shape = self.shapes[index + 1];
        let sums = pass.sums[index + 1].take().unwrap_or_else(|| {
            clear_sums(lanes, 0, 2 * shape.channels);
            share(
                lanes,
                self.batch,
                group(2 * shape.len()),
                [],
                |lane, Part { first, images, .. }| {
                    let images = Images { first, images };
                    self.add_sums(
                        index + 1,
                        images,
                        images.of(gradient, shape.len()),
                        &mut lane.sums[0],
                    );
                },
            );
            total_sums(lanes, self.batch, 0, 2 * shape.channels)
        });
        if let Some(tail) = &mut self.nodes[index].tail {
            tail.take_sums(&sums);
        }
    }

    /// The tail that made a tensor, where it needs sums.
    fn summed(&self, tensor: usize) -> Option<&Tail> {
        let layer = tensor.checked_sub(1).filter(|&layer| layer >= self.first)?;
        self.nodes[layer]
            .tail
            .as_ref()
            .filter(|tail| tail.needs_sums())
    }

    /// Adds the sums that a tensor's tail needs, over some images and their gradient.
    fn add_sums(&self, tensor: usize, images: Images, gradient: &[f32], sums: &mut [f32]) {
        let Some(tail) = self.summed(tensor) else {
            return;
        };
        let values = images.of(&self.tensors[tensor], self.shapes[tensor].len());
        (self.kernels.gradient.affine_sums)(
            &tail.of(values),
            gradient,
            &mut sums[..2 * tail.scale.len()],
        );
    }

    fn clear_weights(&self, index: usize, lanes: &mut [Lane]) {
        if let Some(site) = &self.nodes[index].site {
            for lane in lanes {
                grown(&mut lane.weights, site.gradient.len()).fill(0.0);
            }
        }
    }

    /// All images of a layer, shared among the lanes.
    fn share_layer(
        &self,
        index: usize,
        gradient: &[f32],
        lanes: &mut [Lane],
        targets: [Option<Target>; 2],
        outs: &mut [Vec<f32>; 2],
    ) {
        let node = &self.nodes[index];
        let len = self.shapes[index + 1].len();
        let step = group(len + self.shapes[node.layer.inputs[0]].len());
        let lens =
            targets.map(|target| target.map_or(0, |target| self.shapes[target.tensor].len()));
        let [left, right] = outs;
        let outs = [(&mut left[..], lens[0]), (&mut right[..], lens[1])];
        share(
            lanes,
            self.batch,
            step,
            outs,
            |lane,
             Part {
                 first,
                 images,
                 outs,
             }| {
                let images = Images { first, images };
                let mut accumulators = take(&mut lane.accumulators);
                let gradient = images.of(gradient, len);
                let gradient = match &node.tail {
                    None => gradient,
                    Some(tail) => {
                        let task = tail.of(images.of(&self.tensors[index + 1], len));
                        let factors = tail.factors.each_ref().map(|factors| &factors[..]);
                        let out = grown(&mut accumulators, gradient.len());
                        (self.kernels.gradient.affine_input)(&task, gradient, &factors, out);
                        out
                    }
                };
                let layer = LayerGradient {
                    network: self,
                    node,
                    index,
                    images,
                    gradient,
                };
                layer.weights(lane);
                let [left, right] = outs;
                for (at, (target, out)) in targets.into_iter().zip([left, right]).enumerate() {
                    let Some(target) = target else { continue };
                    layer.operand(target, lane, out);
                    if target.is_last {
                        self.add_sums(target.tensor, images, out, &mut lane.sums[at]);
                    }
                }
                lane.accumulators = accumulators;
            },
        );
    }
}

/// Some images of one layer, and the gradient of their accumulators.
struct LayerGradient<'a> {
    network: &'a Network,
    node: &'a Node,
    index: usize,
    images: Images,
    gradient: &'a [f32],
}

impl LayerGradient<'_> {
    /// Adds the gradient of the weights to the lane's, where they are trained.
    fn weights(&self, lane: &mut Lane) {
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
    fn operand(&self, target: Target, lane: &mut Lane, out: &mut [f32]) {
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
            _ => self.pool(lane, out),
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

    fn pool(&self, lane: &mut Lane, out: &mut [f32]) {
        let Self {
            network,
            node,
            index,
            ..
        } = *self;
        let Lane {
            operands: [operand, _],
            ..
        } = lane;
        let input = network
            .output(node.layer.inputs[0], self.images, operand)
            .values();
        let (input_len, output_len) = (
            input.len() / self.images.images,
            network.shapes[index + 1].len(),
        );
        out.fill(0.0);
        let outs = out
            .chunks_exact_mut(input_len)
            .zip(self.gradient.chunks_exact(output_len));
        for (input, (out, gradient)) in input.chunks_exact(input_len).zip(outs) {
            let task = network.pool_task(node, index, input);
            match node.layer.op {
                Op::AveragePool => gradient::average(&task, gradient, out),
                Op::MaxPool => gradient::max(&task, gradient, out),
                _ => gradient::global_average(&task, gradient, out),
            }
        }
    }
}
