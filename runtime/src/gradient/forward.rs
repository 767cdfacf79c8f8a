//! The forward pass of a batch: accumulators are kept, outputs are made again where they are read.

use std::mem::take;
use std::vec::Vec;

use graft_patches::records::Op;

use super::lanes::{Lane, Part, clear_sums, group, grown, share, total_sums};
use super::network::Network;
use super::node::{Node, SiteNode};
use crate::kernels::Activation;
use crate::kernels::f32::{Conv, Elementwise, Epilogue, Pointwise, Pool};

impl Network {
    /// Runs a batch of inputs, `[images][input_len]` normalised values, with batch norm in the mode that
    /// [`Trainable`](super::Trainable) names. Returns the scores, `[images][classes]`.
    ///
    /// In mode [`Batch`](super::BatchNormMode::Batch) each pass moves the running [`statistics`](Self::statistics) towards
    /// the batch's; where a batch has one value a channel (one image at 1 x 1) it leaves them as they are.
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
            self.transpose(index);
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

    /// Weights that were trained have to be transposed again, where the gradient of their input is wanted.
    fn transpose(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let is_trained = node
            .site
            .as_ref()
            .is_some_and(|site| site.weights.is_some());
        if is_trained && self.wanted[node.layer.inputs[0]] {
            node.transpose(&self.backbone.image(), &self.shapes);
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
            (None, _) => {}
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
            sums: [sums, _],
            ..
        } = lane;
        let kernels = self.kernels;
        let tensors = node.layer.inputs;
        let left = self.output(tensors[0], part, left).values();
        match node.layer.op {
            Op::Conv => self.convolve(node, index, left, out, |conv, out| {
                (kernels.conv)(conv, 0, out);
            }),
            Op::Depthwise => self.convolve(node, index, left, out, |conv, out| {
                (kernels.depthwise)(conv, 0, out);
            }),
            Op::Pointwise | Op::Linear => self.pointwise(node, index, left, out),
            Op::Add => {
                let right = self.output(tensors[1], part, right).values();
                elementwise(kernels.add, [left, right], images, out);
            }
            Op::Multiply => {
                let right = self.output(tensors[1], part, right).values();
                elementwise(kernels.multiply, [left, right], images, out);
            }
            Op::AveragePool => self.pool(kernels.average_pool, node, index, left, out),
            Op::MaxPool => self.pool(kernels.max_pool, node, index, left, out),
            Op::GlobalAveragePool => {
                self.pool(kernels.global_average_pool, node, index, left, out);
            }
        }
        if let Some(shift) = shift {
            (self.kernels.gradient.moments)(out, shift, &mut sums[..2 * shift.len()]);
        }
    }

    /// A convolution or depthwise convolution without its epilogue, image by image.
    fn convolve(
        &self,
        node: &Node,
        index: usize,
        input: &[f32],
        out: &mut [f32],
        mut kernel: impl FnMut(&Conv, &mut [f32]),
    ) {
        let (input_shape, output_shape) =
            (self.shapes[node.layer.inputs[0]], self.shapes[index + 1]);
        let weights = self.weights(node.weighted());
        let images = input.chunks_exact(input_shape.len());
        for (input, out) in images.zip(out.chunks_exact_mut(output_shape.len())) {
            let conv = Conv {
                input,
                input_shape,
                output_shape,
                window: node.layer.window,
                weights,
                epilogue: self.no_epilogue(),
            };
            kernel(&conv, out);
        }
    }

    /// A pointwise convolution or fully connected layer without its epilogue, over the pixels of all images.
    fn pointwise(&self, node: &Node, index: usize, input: &[f32], out: &mut [f32]) {
        let pointwise = Pointwise {
            input,
            inputs: self.shapes[node.layer.inputs[0]].channels,
            outputs: self.shapes[index + 1].channels,
            weights: self.weights(node.weighted()),
            epilogue: self.no_epilogue(),
        };
        (self.kernels.pointwise)(&pointwise, 0, out);
    }

    /// The weights of a site: trained ones, or the backbone's.
    pub(super) fn weights<'a>(&'a self, site: &'a SiteNode) -> &'a [f32] {
        match &site.weights {
            Some(trained) => trained,
            None => self.backbone.image().weights(&site.site),
        }
    }

    /// The epilogue that changes nothing.
    pub(super) fn no_epilogue(&self) -> Epilogue<'_> {
        Epilogue {
            table: &self.identity,
            activation: Activation::NONE,
        }
    }

    fn pool(
        &self,
        kernel: fn(&Pool, usize, &mut [f32]),
        node: &Node,
        index: usize,
        input: &[f32],
        out: &mut [f32],
    ) {
        let images = input.chunks_exact(self.shapes[node.layer.inputs[0]].len());
        let outs = out.chunks_exact_mut(self.shapes[index + 1].len());
        for (input, out) in images.zip(outs) {
            kernel(&self.pool_call(node, index, input), 0, out);
        }
    }

    /// A pool layer on one image.
    pub(super) fn pool_call<'a>(&self, node: &Node, index: usize, input: &'a [f32]) -> Pool<'a> {
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

/// A sum or product without its activation, image by image.
fn elementwise(
    kernel: fn(&Elementwise, usize, &mut [f32]),
    operands: [&[f32]; 2],
    images: usize,
    out: &mut [f32],
) {
    let [left, right] = operands.map(|values| values.chunks_exact(values.len() / images));
    let outs = out.chunks_exact_mut(out.len() / images);
    for ((left, right), out) in left.zip(right).zip(outs) {
        let elementwise = Elementwise {
            left,
            right,
            activation: Activation::NONE,
        };
        kernel(&elementwise, 0, out);
    }
}

/// Some images of a batch.
#[derive(Clone, Copy)]
pub(super) struct Images {
    pub(super) first: usize,
    pub(super) images: usize,
}

impl Images {
    /// Their part of a tensor of `len` values an image.
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
