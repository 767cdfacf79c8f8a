//! The forward pass of a batch: accumulators are kept, outputs are made again where they are read.

use std::mem::take;
use std::vec::Vec;

use graft_patches::records::Op;

use super::lanes::{Lane, Part, clear_sums, group, grown, share, total_sums};
use super::network::{Network, Node};
use crate::kernels::Activation;
use crate::kernels::f32::{Conv, Elementwise, Epilogue, Pointwise, Pool, conv_scratch_len};

impl Network {
    /// Runs a batch of inputs, `[images][input_len]` normalised values, with batch norm on the statistics that
    /// [`Trainable`](super::Trainable) names.
    /// Returns the scores, `[images][classes]`.
    ///
    /// On batch statistics each pass moves the running [`statistics`](Self::statistics) towards the batch's; where a
    /// batch has one value a channel (one image at 1 x 1) it leaves them as they are.
    ///
    /// # Panics
    /// If the inputs are not whole images, or none.
    pub fn forward(&mut self, inputs: &[f32]) -> &[f32] {
        let len = self.input_len();
        assert!(
            !inputs.is_empty() && inputs.len().is_multiple_of(len),
            "whole images"
        );
        self.batch = inputs.len() / len;
        let input = self.input();
        self.tensors[input].clear();
        self.tensors[input].extend_from_slice(inputs);
        for index in self.first..self.nodes.len() {
            self.turn(index);
            self.forward_layer(index);
        }
        let scores = self.nodes.len();
        let mut logits = take(&mut self.logits);
        let mut scratch = Vec::new();
        let images = Images {
            first: 0,
            images: self.batch,
        };
        let values = self.output(scores, images, &mut scratch).values();
        logits.clear();
        logits.extend_from_slice(values);
        self.logits = logits;
        &self.logits
    }

    /// Weights that were trained have to be turned again, where the gradient of their input is wanted.
    fn turn(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let is_trained = node
            .site
            .as_ref()
            .is_some_and(|site| site.weights.is_some());
        if is_trained && self.wanted[node.layer.inputs[0]] {
            node.turn(&self.backbone.image(), &self.shapes);
        }
    }

    fn forward_layer(&mut self, index: usize) {
        let mut out = take(&mut self.tensors[index + 1]);
        let mut lanes = take(&mut self.lanes);
        let len = self.shapes[index + 1].len();
        grown(&mut out, self.batch * len);
        let node = &self.nodes[index];
        let shift = node
            .epilogue
            .as_ref()
            .and_then(|epilogue| epilogue.moments_shift());
        let channels = self.shapes[index + 1].channels;
        clear_sums(&mut lanes, 0, 2 * channels);
        let step = group(len + self.shapes[node.layer.inputs[0]].len());
        share(
            &mut lanes,
            self.batch,
            step,
            [(&mut out, len)],
            |lane, part| {
                self.accumulate(node, index, lane, part, shift);
            },
        );
        let sums = shift
            .is_some()
            .then(|| total_sums(&lanes, self.batch, 0, 2 * channels));
        self.lanes = lanes;
        self.tensors[index + 1] = out;
        let pixels = self.batch * self.shapes[index + 1].pixels();
        match (&mut self.nodes[index].epilogue, sums) {
            (Some(epilogue), Some(sums)) => epilogue.take_moments(&sums, pixels),
            (Some(epilogue), None) => epilogue.take_running(),
            _ => {}
        }
    }

    /// The accumulators of a layer for some images.
    fn accumulate(
        &self,
        node: &Node,
        index: usize,
        lane: &mut Lane,
        part: Part<'_, 1>,
        shift: Option<&[f32]>,
    ) {
        let Part {
            first,
            images,
            outs: [out],
        } = part;
        let part = Images { first, images };
        let Lane {
            operands: [left, right],
            columns,
            sums: [sums, _],
            ..
        } = lane;
        let tensors = node.layer.inputs;
        let left = self.output(tensors[0], part, left).values();
        if node.layer.op.arity() == 2 {
            let right = self.output(tensors[1], part, right).values();
            self.elementwise(node, index, images, [left, right], out);
        } else if node.site.is_some() {
            self.weigh(node, index, left, columns, out);
        } else {
            self.pool(node, index, images, left, out);
        }
        if let Some(shift) = shift {
            (self.kernels.gradient.moments)(out, shift, &mut sums[..2 * shift.len()]);
        }
    }

    /// A site without its epilogue.
    fn weigh(
        &self,
        node: &Node,
        index: usize,
        input: &[f32],
        scratch: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let Some(site) = &node.site else { return };
        let image = self.backbone.image();
        let weights = site
            .weights
            .as_deref()
            .unwrap_or_else(|| image.weights(&site.site));
        let (input_shape, output_shape) =
            (self.shapes[node.layer.inputs[0]], self.shapes[index + 1]);
        let epilogue = self.no_epilogue();
        if matches!(node.layer.op, Op::Pointwise | Op::Linear) {
            let task = Pointwise {
                input,
                inputs: input_shape.channels,
                outputs: output_shape.channels,
                weights,
                epilogue,
            };
            return (self.kernels.pointwise)(&task, 0, out);
        }
        let images = input.chunks_exact(input_shape.len());
        for (input, out) in images.zip(out.chunks_exact_mut(output_shape.len())) {
            let window = node.layer.window;
            let task = Conv {
                input,
                input_shape,
                output_shape,
                window,
                weights,
                epilogue,
            };
            if node.layer.op == Op::Depthwise {
                (self.kernels.depthwise)(&task, 0, out);
            } else {
                let len = conv_scratch_len(&window, input_shape.channels);
                (self.kernels.conv)(&task, 0, out, grown(scratch, len));
            }
        }
    }

    /// The epilogue that changes nothing.
    pub(super) fn no_epilogue(&self) -> Epilogue<'_> {
        Epilogue {
            table: &self.identity,
            activation: Activation::NONE,
        }
    }

    fn elementwise(
        &self,
        node: &Node,
        index: usize,
        images: usize,
        operands: [&[f32]; 2],
        out: &mut [f32],
    ) {
        let [left, right] = operands.map(|values| values.chunks_exact(values.len() / images));
        let outs = out.chunks_exact_mut(self.shapes[index + 1].len());
        for ((left, right), out) in left.zip(right).zip(outs) {
            let task = Elementwise {
                left,
                right,
                activation: Activation::NONE,
            };
            match node.layer.op {
                Op::Add => (self.kernels.add)(&task, 0, out),
                _ => (self.kernels.multiply)(&task, 0, out),
            }
        }
    }

    fn pool(&self, node: &Node, index: usize, images: usize, input: &[f32], out: &mut [f32]) {
        let outs = out.chunks_exact_mut(self.shapes[index + 1].len());
        for (input, out) in input.chunks_exact(input.len() / images).zip(outs) {
            let task = self.pool_task(node, index, input);
            match node.layer.op {
                Op::AveragePool => (self.kernels.average_pool)(&task, 0, out),
                Op::MaxPool => (self.kernels.max_pool)(&task, 0, out),
                _ => (self.kernels.global_average_pool)(&task, 0, out),
            }
        }
    }

    /// A pool layer on one image.
    pub(super) fn pool_task<'a>(&self, node: &Node, index: usize, input: &'a [f32]) -> Pool<'a> {
        Pool {
            input,
            input_shape: self.shapes[node.layer.inputs[0]],
            output_shape: self.shapes[index + 1],
            window: node.layer.window,
            count_padding: node.layer.count_padding,
            activation: Activation::NONE,
        }
    }

    /// A tensor as its readers see it: what is kept, through its layer's epilogue.
    pub(super) fn output<'a>(
        &'a self,
        tensor: usize,
        images: Images,
        scratch: &'a mut Vec<f32>,
    ) -> Source<'a> {
        let kept = images.of(&self.tensors[tensor], self.shapes[tensor].len());
        // The input of the first layer has no epilogue here, whatever layer made it.
        let layer = tensor.checked_sub(1).filter(|&layer| layer >= self.first);
        match layer.and_then(|layer| self.nodes[layer].epilogue.as_ref()) {
            None => Source::Kept(kept),
            Some(epilogue) => {
                let out = grown(scratch, kept.len());
                (self.kernels.gradient.affine)(&epilogue.of(kept), out);
                Source::Made(out)
            }
        }
    }
}

/// Some images of a batch.
#[derive(Clone, Copy)]
pub(super) struct Images {
    pub(super) first: usize,
    pub(super) images: usize,
}

impl Images {
    /// Their part of a tensor of so many values an image.
    pub(super) fn of(self, values: &[f32], len: usize) -> &[f32] {
        &values[self.first * len..][..self.images * len]
    }
}

/// Values of a tensor.
pub(super) enum Source<'a> {
    /// As they are kept.
    Kept(&'a [f32]),
    /// In scratch memory.
    Made(&'a mut [f32]),
}

impl<'a> Source<'a> {
    pub(super) fn values(self) -> &'a [f32] {
        match self {
            Self::Kept(values) => values,
            Self::Made(values) => values,
        }
    }
}
