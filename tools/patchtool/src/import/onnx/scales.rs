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
    /// Hard-swishes whose gate was quantised on its own.
    pub(super) gates: usize,
    /// Whether the model has a Q or DQ node that matters.
    pub(super) is_quantised: bool,
}

/// The scales of a tensor and of the weights that it is computed with.
#[derive(Default)]
struct Found {
    inner: Option<Scale>,
    outer: Option<Scale>,
    weights: Option<Result<Vec<f32>, &'static str>>,
}

impl Scales {
    /// The last scale that a tensor was quantised by.
    pub(super) fn outer(&self, tensor: TensorId) -> Option<Scale> {
        self.tensors.get(&tensor)?.outer
    }

    /// A tensor is quantised; `has_curve` says whether its layer already ends in a curve.
    pub(super) fn set(&mut self, tensor: TensorId, scale: Option<Scale>, has_curve: bool) {
        let found = self.tensors.entry(tensor).or_default();
        found.outer = scale;
        if !has_curve {
            found.inner = scale;
        }
    }

    /// The scales of the weights behind a tensor, one an output channel; or why they have none.
    pub(super) fn set_weights(
        &mut self,
        tensor: TensorId,
        weights: Result<Vec<f32>, &'static str>,
    ) {
        self.tensors.entry(tensor).or_default().weights = Some(weights);
    }

    /// A note on hard-swishes, where scales of their gates were left out.
    pub(super) fn note(&self) -> Option<String> {
        (self.gates > 0).then(|| {
            format!(
                "{} hard-swishes are computed in one step, without the model's rounding of their gate",
                self.gates
            )
        })
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
        };
        let last = graph.layers.len().saturating_sub(1);
        for (index, layer) in graph.layers.iter_mut().enumerate() {
            let found = self.tensors.remove(&layer.output).unwrap_or_default();
            if let Some(weights) = found.weights {
                let scales = weights.map_err(|problem| partly("weights", layer, problem))?;
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

/// A quantiser leaves a ReLU out where saturation does its work. The layer gets it back: in int8 it changes nothing, but
/// patches for the layer are made in floats. The last layer has none: its scores may just have been above zero.
fn imply_clamp(layer: &mut Layer, scale: Scale) {
    let is_pool_or_product = match layer.op {
        Op::Multiply | Op::AveragePool(..) | Op::MaxPool(_) | Op::GlobalAveragePool => true,
        Op::Conv(..) | Op::Depthwise(..) | Op::Pointwise(_) | Op::Linear(_) | Op::Add => false,
    };
    let starts_at_zero = scale.zero_point == i8::MIN;
    if is_pool_or_product || layer.activation != Activation::NONE || !starts_at_zero {
        return;
    }
    let reaches_six = (scale.value(i8::MAX) - 6.0).abs() <= scale.scale / 2.0;
    layer.activation = match reaches_six {
        true => Activation::RELU6,
        false => Activation::RELU,
    };
}
