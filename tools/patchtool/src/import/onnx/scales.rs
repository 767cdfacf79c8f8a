//! The scales of a quantised model's tensors and weights, and those of them that an int8 backbone takes.

use std::collections::HashMap;

use graft_patches::geometry::Activation;
use graft_patches::scale::{Scale, TensorScale};

use crate::import::error::ImportError;
use crate::import::graph::{Graph, Layer, Op, TensorId};
use crate::import::int8::Quantization;

/// The scales seen so far.
#[derive(Default)]
pub(super) struct Scales {
    tensors: HashMap<TensorId, Found>,
    /// Curves whose parts were quantised on their own.
    pub(super) curves: usize,
    /// Weights of -128.
    pub(super) lowest: usize,
    /// Nodes whose work went to a layer across a Q/DQ pair, which is left out there.
    across: Vec<String>,
    /// Whether the model has a Q or DQ node that matters.
    pub(super) is_quantised: bool,
}

/// The scales of a tensor and of the weights that it is computed with.
#[derive(Default)]
struct Found {
    inner: Option<Scale>,
    outer: Option<Scale>,
    /// The scale before an activation was fused behind it.
    before: Option<Scale>,
    weights: Option<Result<Vec<f32>, &'static str>>,
}

impl Scales {
    /// The last scale that a tensor was quantised by.
    pub(super) fn outer(&self, tensor: TensorId) -> Option<Scale> {
        self.tensors.get(&tensor)?.outer
    }

    /// A tensor is quantised; `has_curve` says whether its layer already ends in a curve.
    pub(super) fn set(
        &mut self,
        node: &str,
        tensor: TensorId,
        scale: Option<Scale>,
        has_curve: bool,
    ) {
        let found = self.tensors.entry(tensor).or_default();
        let before = found.outer.or(found.before);
        found.outer = scale;
        if has_curve {
            return;
        }
        found.inner = scale;
        found.before = before.filter(|_| scale.is_none());
        if scale.is_some() && before.is_some_and(|before| scale != Some(before)) {
            self.left_out(node);
        }
    }

    /// A node's affine map goes to the layer that computes a tensor, past the Q/DQ pair where it has one.
    pub(super) fn fold(&mut self, node: &str, tensor: TensorId) {
        if let Some(found) = self.tensors.get_mut(&tensor) {
            let is_quantised = found.outer.or(found.before).is_some();
            (found.outer, found.inner, found.before) = (None, None, None);
            if is_quantised {
                self.left_out(node);
            }
        }
    }

    /// The Q/DQ pair before this node is left out, as the node's work went to the layer before the pair.
    pub(super) fn left_out(&mut self, node: &str) {
        self.across.push(node.to_owned());
    }

    /// The scales of the weights behind a tensor, one an output channel; or why they have none.
    pub(super) fn set_weights(
        &mut self,
        tensor: TensorId,
        weights: Result<Vec<f32>, &'static str>,
    ) {
        self.tensors.entry(tensor).or_default().weights = Some(weights);
    }

    /// Notes on what the model rounds and the network does not.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let curves = (self.curves > 0).then(|| {
            format!(
                "{} hard-swishes or hard-sigmoids are computed in one step, without the model's rounding of their parts",
                self.curves
            )
        });
        let across = self.across.first().map(|first| {
            let others = match self.across.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "node {first:?}{others} went into the layer before, past a QuantizeLinear whose rounding and saturation are \
                 left out: scores differ a little from the model's, more where it stands for a Clip"
            )
        });
        curves.into_iter().chain(across)
    }

    /// The scales of all of the network, if it is quantised; clamps that its quantisation implies go to the layers.
    pub(super) fn finish(mut self, graph: &mut Graph) -> Result<Option<Quantization>, ImportError> {
        if !self.is_quantised {
            return Ok(None);
        }
        let input = self.outer(0).ok_or(ImportError::PartlyQuantised {
            what: "image",
            layer: "input".to_owned(),
            problem: "is float",
        })?;
        let mut quantization = Quantization {
            tensors: vec![input.into()],
            sites: Vec::new(),
            lowest: self.lowest,
        };
        let last = graph.layers.len().saturating_sub(1);
        for (index, layer) in graph.layers.iter_mut().enumerate() {
            let found = self.tensors.remove(&layer.output).unwrap_or_default();
            if layer.op.weights_mut().is_some() {
                let scales = found.weights.unwrap_or(Err("are float"));
                let scales = scales.map_err(|problem| partly("weights", layer, problem))?;
                quantization.sites.push(scales);
            }
            // The greatest of some bytes needs no scale of its own.
            let passed_on = matches!(layer.op, Op::MaxPool(_))
                .then(|| quantization.tensors[layer.inputs[0]].outer);
            let outer = found.outer.or(passed_on);
            let inner = found.inner.or(passed_on);
            let (Some(outer), Some(inner)) = (outer, inner) else {
                let what = match outer {
                    Some(_) => "input of the activation",
                    None => "output",
                };
                return Err(partly(what, layer, "is float"));
            };
            if index < last {
                imply_clamp(layer, outer);
            }
            quantization.tensors.push(TensorScale { outer, inner });
        }
        Ok(Some(quantization))
    }
}

fn partly(what: &'static str, layer: &Layer, problem: &'static str) -> ImportError {
    ImportError::PartlyQuantised {
        what,
        layer: layer.name.clone(),
        problem,
    }
}

/// A layer gets the clamp back that its scale stands for: in int8 it changes nothing, but patches for the layer are made
/// in floats. The last layer has none: its scores may just have been above zero.
fn imply_clamp(layer: &mut Layer, scale: Scale) {
    let is_pool_or_product = match layer.op {
        Op::Multiply | Op::AveragePool(..) | Op::MaxPool(_) | Op::GlobalAveragePool => true,
        Op::Conv(..) | Op::Depthwise(..) | Op::Pointwise(_) | Op::Linear(_) | Op::Add => false,
    };
    if !is_pool_or_product
        && layer.activation == Activation::NONE
        && let Some([0.0, max]) = implied_clamp(scale)
    {
        let min = 0.0;
        layer.activation = Activation::Clamp { min, max };
    }
}

/// The clamp that a scale stands for. A quantiser leaves a ReLU or Clip out where saturation does its work: where values
/// start or end at zero, and where they run from one round number to another, as those of Clip do and others hardly ever.
pub(super) fn implied_clamp(scale: Scale) -> Option<[f32; 2]> {
    let [min, max] = [i8::MIN, i8::MAX].map(|byte| round_number(scale.value(byte), scale.scale));
    match (scale.zero_point, min, max) {
        (i8::MIN, _, Some(6.0)) => Some([0.0, 6.0]),
        (i8::MIN, _, _) => Some([0.0, f32::INFINITY]),
        (i8::MAX, _, _) => Some([f32::NEG_INFINITY, 0.0]),
        (_, Some(min), Some(max)) => Some([min, max]),
        (_, _, _) => None,
    }
}

/// The round number that this value is but for the step that it was rounded by.
fn round_number(value: f32, step: f32) -> Option<f32> {
    // So far apart that one in ten values comes as near by chance, and one in a hundred ranges at both ends.
    let parts = [20.0, 10.0, 2.0, 1.0]
        .into_iter()
        .find(|parts| 10.0 * step * parts <= 1.0)?;
    let nearest = (value * parts).round() / parts;
    // Bounds that 255 steps lie between are half a step off each.
    ((value - nearest).abs() <= 0.51 * step).then_some(nearest)
}
