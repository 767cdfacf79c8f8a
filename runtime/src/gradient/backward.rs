//! The backward pass of a batch: from the gradient of the scores to those of all trained values.

use std::mem::take;
use std::vec;
use std::vec::Vec;

use super::epilogue::TrainedEpilogue;
use super::forward::Images;
use super::lanes::{Lane, Part, clear_sums, group, grown, share, total_sums, total_weights};
use super::layer::{LayerGradient, Target};
use super::network::Network;
use super::node::Node;

/// The state of a backward pass from layer to layer.
struct Pass {
    /// Of each tensor, as far as its readers have given it.
    gradients: Vec<Option<Vec<f32>>>,
    /// For each tensor, the sums that its layer's epilogue needs, where they were made with the gradient.
    sums: Vec<Option<Vec<f32>>>,
    /// Readers of each tensor that have yet to give their part of its gradient.
    readers: Vec<usize>,
}

impl Network {
    /// Takes the gradient of the loss by the scores of the last [`forward`](Self::forward) pass, `[images][classes]`,
    /// back to all [`parameters`](Self::parameters), whose values must still be those of that pass.
    ///
    /// # Panics
    /// If no batch has run forward, or the gradient has not as many values as the scores.
    pub fn backward(&mut self, gradient: &[f32]) {
        assert!(self.batch > 0, "forward comes first");
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

    /// Memory for a gradient of `len` values or more, with anything in it.
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
        if let Some(epilogue) = &mut node.epilogue {
            epilogue
                .gradients
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

    /// Gives an epilogue that is trained the sums of the gradient of its output.
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
        if let Some(epilogue) = &mut self.nodes[index].epilogue {
            epilogue.take_sums(&sums);
        }
    }

    /// The epilogue that made a tensor, where it needs sums.
    fn summed(&self, tensor: usize) -> Option<&TrainedEpilogue> {
        let layer = tensor.checked_sub(1).filter(|&layer| layer >= self.first)?;
        self.nodes[layer]
            .epilogue
            .as_ref()
            .filter(|epilogue| epilogue.needs_sums())
    }

    /// Adds the sums that a tensor's epilogue needs, over some images and their gradient.
    fn add_sums(&self, tensor: usize, images: Images, gradient: &[f32], sums: &mut [f32]) {
        let Some(epilogue) = self.summed(tensor) else {
            return;
        };
        let values = images.of(&self.tensors[tensor], self.shapes[tensor].len());
        (self.kernels.gradient.affine_sums)(
            &epilogue.of(values),
            gradient,
            &mut sums[..2 * epilogue.scale.len()],
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
                let gradient = match &node.epilogue {
                    None => gradient,
                    Some(epilogue) => {
                        let affine = epilogue.of(images.of(&self.tensors[index + 1], len));
                        let factors = epilogue.factors.each_ref().map(|factors| &factors[..]);
                        let out = grown(&mut accumulators, gradient.len());
                        (self.kernels.gradient.affine_input)(&affine, gradient, &factors, out);
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
