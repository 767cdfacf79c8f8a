//! Affine maps of each channel, which batch norms and arithmetic with constants are.
//!
//! The layer before takes one over where nothing comes between its weights and the map. Else the layer behind does: a
//! linear layer or a convolution puts it into its weights and bias, means hand it on. Where neither can (zeros around the
//! input of a convolution are not shifted) it becomes a layer of its own, a depthwise convolution of one pixel.

use graft_patches::geometry::Window;

use super::node::Node;
use super::value::View;
use super::walk::Walk;
use crate::import::error::ImportError;
use crate::import::graph::{BatchNorm, Op, Weights};

/// The reason why a quantised model's map is not taken: behind it, too, all is rounded to the scales that it has there.
pub(super) const NOT_DIRECT: &str =
    "its input is not the direct output of a convolution or linear layer, nor the image";

/// `scale * x + shift`, one value a channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

impl Affine {
    pub(super) fn uniform(scale: f32, shift: f32, channels: usize) -> Self {
        Self {
            scale: vec![scale; channels],
            shift: vec![shift; channels],
        }
    }

    pub(super) fn is_identity(&self) -> bool {
        self.scale.iter().all(|&scale| scale == 1.0) && !self.shifts()
    }

    /// Whether it moves zero.
    pub(super) fn shifts(&self) -> bool {
        self.shift.iter().any(|&shift| shift != 0.0)
    }

    /// `next` behind this.
    fn then(mut self, next: &Self) -> Self {
        for (channel, (scale, shift)) in next.scale.iter().zip(&next.shift).enumerate() {
            self.scale[channel] *= scale;
            self.shift[channel] = self.shift[channel] * scale + shift;
        }
        self
    }

    /// Puts this before a layer with weights, which has no zeros around its input or is not [shifted](Self::shifts).
    pub(super) fn fold_into(&self, op: &mut Op) {
        let taps = |window: &Window| window.kernel.iter().product();
        let (weights, taps, is_depthwise) = match op {
            Op::Conv(window, weights) => (weights, taps(window), false),
            Op::Depthwise(window, weights) => (weights, taps(window), true),
            Op::Pointwise(weights) | Op::Linear(weights) => (weights, 1, false),
            Op::Add
            | Op::Multiply
            | Op::AveragePool(..)
            | Op::MaxPool(_)
            | Op::GlobalAveragePool => return,
        };
        let length = weights.values.len() / weights.outputs.max(1);
        let bias = weights
            .bias
            .get_or_insert_with(|| vec![0.0; weights.outputs]);
        let filters = weights.values.chunks_exact_mut(length.max(1));
        for (output, (filter, bias)) in filters.zip(bias).enumerate() {
            let mut sum = f64::from(*bias);
            for (input, taps) in filter.chunks_exact_mut(taps).enumerate() {
                let channel = if is_depthwise { output } else { input };
                for weight in taps {
                    sum += f64::from(*weight) * f64::from(self.shift[channel]);
                    *weight *= self.scale[channel];
                }
            }
            *bias = sum as f32;
        }
    }
}

/// A batch norm of unit statistics, which says the same as an affine map.
pub(super) fn unit(name: &str, Affine { scale, shift }: Affine) -> BatchNorm {
    BatchNorm {
        name: name.to_owned(),
        mean: vec![0.0; scale.len()],
        var: vec![1.0; scale.len()],
        gamma: scale,
        beta: shift,
        epsilon: 0.0,
    }
}

impl From<&BatchNorm> for Affine {
    fn from(norm: &BatchNorm) -> Self {
        let (scale, shift) = norm.fold(None);
        Self { scale, shift }
    }
}

impl<'a> Walk<'a> {
    /// The map of a view: in the layer before where that can take it, else pending for the layer behind.
    pub(super) fn mapped(
        &mut self,
        node: Node<'a>,
        view: View<'a>,
        affine: Affine,
    ) -> Result<View<'a>, ImportError> {
        if view.affine.is_none() && self.builder.takes_affine(&view) {
            let Affine { scale, shift } = affine;
            let generation = self.builder.fuse_affine(node, &view, scale, shift)?;
            return Ok(view.fused(generation));
        }
        self.map_behind(node, view, affine)
    }

    /// The map pending for the layer behind.
    pub(super) fn map_behind(
        &mut self,
        node: Node<'a>,
        view: View<'a>,
        affine: Affine,
    ) -> Result<View<'a>, ImportError> {
        self.builder.check_reader(node, &view)?;
        let affine = match &view.affine {
            Some((before, _)) => before.clone().then(&affine),
            None => affine,
        };
        if affine
            .scale
            .iter()
            .chain(&affine.shift)
            .any(|value| !value.is_finite())
        {
            return Err(node.malformed("it scales or shifts by infinity or NaN"));
        }
        Ok(View {
            affine: Some((affine, node)),
            ..view
        })
    }

    /// The view with its pending map as a layer, if it has one.
    pub(super) fn map_as_layer(&mut self, mut view: View<'a>) -> Result<View<'a>, ImportError> {
        let Some((affine, node)) = view.affine.take() else {
            return Ok(view);
        };
        let channels = affine.scale.len();
        let weights = Weights {
            name: format!("{}.weight", node.name()),
            values: vec![1.0; channels],
            outputs: channels,
            bias: None,
            batch_norm: Some(unit(node.name(), affine)),
        };
        let shape = self.builder.shape(&view);
        let op = Op::Depthwise(Window::POINT, weights);
        let tensor = self.builder.push(node, op, &[&view], shape)?;
        Ok(View {
            tensor,
            generation: 0,
            ..view
        })
    }
}
