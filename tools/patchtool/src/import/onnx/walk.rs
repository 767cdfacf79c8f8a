//! The walk over the nodes: what is known of each value, and which handler reads which operator.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use graft_onnx::proto::{DataType, TensorProto};
use graft_patches::geometry::{Activation, Shape};

use super::affine::{Affine, NOT_DIRECT};
use super::builder::Builder;
use super::constant::{self, Constant};
use super::folding;
use super::interface::Input;
use super::node::{Arithmetic, Node};
use super::order;
use super::quantised;
use super::value::{Call, Value, View};
use super::{Ending, Imported};
use crate::import::error::ImportError;
use crate::import::graph::Op;

/// The state of the walk.
pub(super) struct Walk<'a> {
    pub(super) builder: Builder<'a>,
    pub(super) opset: i64,
    folder: &'a Path,
    initialisers: HashMap<&'a str, &'a TensorProto>,
    reads: HashMap<&'a str, usize>,
    values: HashMap<&'a str, Value<'a>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        input: &Input<'a>,
        folder: &'a Path,
        initialisers: HashMap<&'a str, &'a TensorProto>,
        reads: HashMap<&'a str, usize>,
        opset: i64,
    ) -> Result<Self, ImportError> {
        let mut walk = Self {
            builder: Builder::new(input.shape)?,
            opset,
            folder,
            initialisers,
            reads,
            values: HashMap::new(),
        };
        let Shape {
            height,
            width,
            channels,
        } = input.shape;
        let dims = match input.channel_axis {
            1 => vec![1, channels, height, width],
            _ => vec![1, height, width, channels],
        };
        let reads = walk.reads_of(input.name);
        walk.builder.expect_reads(0, reads);
        let image = View::of(0, dims, input.channel_axis);
        walk.values.insert(input.name, Value::Activation(image));
        Ok(walk)
    }

    /// Reads one node.
    pub(super) fn run(&mut self, node: Node<'a>) -> Result<(), ImportError> {
        if quantised::is_other_format(&node.op()) {
            return Err(node.quantised());
        }
        let call = self.call(node)?;
        let is_activation = |value: &Option<Value<'_>>| matches!(value, Some(Value::Activation(_)));
        let value = if node.op() == "Shape" {
            shape_of(&call)?
        } else if call.read().iter().any(is_activation) {
            let view = self.activation(&call)?;
            self.settle(node, view)?
        } else {
            self.constant(&call)?
        };
        self.values.insert(node.output(), value);
        Ok(())
    }

    /// The finished model.
    pub(super) fn finish(mut self, output: &str) -> Result<Imported, ImportError> {
        let Some(Value::Activation(view)) = self.values.remove(output) else {
            return Err(ImportError::MalformedGraph {
                why: format!("no node computes the output {output:?} from the image"),
            });
        };
        let view = self.concrete(view)?;
        let is_last = self.builder.graph.layers.last().map(|layer| layer.output);
        let is_pending = view.padding.is_some() || view.mean.is_some();
        if is_last != Some(view.tensor) || !view.is_vector() || is_pending {
            return Err(ImportError::Interface {
                found: format!("output {output:?} of shape {:?}", view.dims),
                expected: "one row of scores that the last layer computes",
            });
        }
        let rounding: Vec<String> = self.builder.scales.notes().collect();
        let quantized = self.builder.scales.finish(&mut self.builder.graph)?;
        let ending = self.builder.ending.map(|(node, ending)| {
            let more = match ending {
                Ending::Sigmoid => "; of several, `patchtool run` shows the softmax",
                Ending::Softmax | Ending::LogSoftmax => "",
            };
            format!(
                "the trailing {} {:?} was left out: scores are logits{more}",
                node.op(),
                node.name()
            )
        });
        Ok(Imported {
            ending: self.builder.ending.map(|(_, ending)| ending),
            ending_step: self.builder.ending_step,
            graph: self.builder.graph,
            reads_bytes: false,
            input_affine: self.builder.input_affine,
            properties: Default::default(),
            notes: ending.into_iter().chain(rounding).collect(),
            quantized,
        })
    }

    /// The output of a new layer.
    pub(super) fn push(
        &mut self,
        node: Node<'a>,
        op: Op,
        inputs: &[&View<'a>],
        shape: Shape,
        dims: Vec<usize>,
        channel_axis: usize,
    ) -> Result<View<'a>, ImportError> {
        let tensor = self.builder.push(node, op, inputs, shape)?;
        Ok(View::of(tensor, dims, channel_axis))
    }

    /// The view with nothing pending but padding, so that a layer can read it.
    pub(super) fn concrete(&mut self, view: View<'a>) -> Result<View<'a>, ImportError> {
        let view = self.fused(view)?;
        self.map_as_layer(view)
    }

    /// The view with its pending expression fused; a map of its channels may be left to the layer behind.
    pub(super) fn fused(&mut self, mut view: View<'a>) -> Result<View<'a>, ImportError> {
        let Some(origin) = view.origin else {
            return Ok(view);
        };
        let fused = view.expression.fused();
        let (slope, offset) = fused.map_or((1.0, 0.0), |fused| (fused.slope, fused.offset));
        let affine = Affine::uniform(slope, offset, view.channels());
        let is_mapped_before = affine.is_identity() || self.builder.takes_affine(&view);
        if view.affine.is_some() || !is_mapped_before {
            if view.scale.is_some() {
                return Err(origin.unsupported(NOT_DIRECT));
            }
            if fused.is_some_and(|fused| fused.activation == Activation::NONE) {
                let generation = view.generation;
                return self.map_behind(origin, view.fused(generation), affine);
            }
            if view.affine.is_none() {
                let identity = Affine::uniform(1.0, 0.0, view.channels());
                view = self.map_behind(origin, view, identity)?;
            }
            view = self.map_as_layer(view)?;
        }
        let generation = self.builder.fuse(origin, &view)?;
        Ok(view.fused(generation))
    }

    fn reads_of(&self, name: &str) -> usize {
        self.reads.get(name).copied().unwrap_or(0)
    }

    /// Only a value with one reader may stay pending: with more, each would have to fuse it.
    fn settle(&mut self, node: Node<'a>, view: View<'a>) -> Result<Value<'a>, ImportError> {
        let reads = self.reads_of(node.output());
        let view = if reads > 1 {
            self.concrete(view)?
        } else {
            view
        };
        if view.origin.is_none() {
            self.builder.expect_reads(view.tensor, reads);
        }
        Ok(Value::Activation(view))
    }

    fn call(&mut self, node: Node<'a>) -> Result<Call<'a>, ImportError> {
        let read = order::values_read(node);
        let mut inputs = Vec::new();
        for index in 0..node.input_count() {
            let Some(name) = node.input(index) else {
                inputs.push(None);
                continue;
            };
            let value = self.lookup(node, name)?;
            if let Value::Activation(view) = &value
                && view.origin.is_none()
                && index < read
            {
                self.builder.take_read(view.tensor);
            }
            inputs.push(Some(value));
        }
        Ok(Call { node, inputs })
    }

    fn lookup(&mut self, node: Node<'a>, name: &'a str) -> Result<Value<'a>, ImportError> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let missing = || ImportError::MissingTensor {
            name: name.to_owned(),
            expected: format!("an initialiser, input {name:?} of node {:?}", node.name()),
        };
        let proto = self.initialisers.get(name).ok_or_else(missing)?;
        let value = Value::Constant(Rc::new(constant::load(proto, self.folder)?));
        self.values.insert(name, value.clone());
        Ok(value)
    }

    fn constant(&mut self, call: &Call<'a>) -> Result<Value<'a>, ImportError> {
        let node = call.node;
        let constant = match (node.op().as_str(), call.inputs.as_slice()) {
            ("Constant", _) => folding::constant(node, self.folder)?,
            ("Identity" | "Dropout", [Some(value), ..]) => return Ok(value.clone()),
            ("QuantizeLinear", _) => quantised::quantised(call)?,
            ("DequantizeLinear", _) => quantised::dequantised(call)?,
            ("CastLike", [Some(Value::Constant(from)), Some(like)]) => {
                folding::cast(from, i64::from(element(like) as i32))
            }
            (_, inputs) => {
                let known: Vec<Option<&Constant>> = inputs.iter().map(known).collect();
                let all = inputs.iter().zip(&known);
                let is_known = all.into_iter().all(|(a, b)| a.is_some() == b.is_some());
                if is_known {
                    folding::evaluate(node, &known)?
                } else {
                    None
                }
            }
        };
        Ok(match constant {
            Some(constant) => Value::Constant(Rc::new(constant)),
            // The first that isn't known is to blame.
            None => Value::Unknown(call.inputs.iter().find_map(unknown).unwrap_or(node)),
        })
    }

    fn activation(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let op = call.node.op();
        if call.has_integers() && !quantised::takes_integers(&op) {
            return Err(call.node.unsupported(
                "it computes with the integers of QuantizeLinear, expected DequantizeLinear before it",
            ));
        }
        match op.as_str() {
            "Identity" | "Dropout" | "CastLike" => call.any_view(0),
            "Cast" => self.cast(call),
            "QuantizeLinear" => self.quantise(call),
            "DequantizeLinear" => self.dequantise(call),
            "Conv" => self.convolution(call),
            "Gemm" => self.gemm(call),
            "MatMul" => self.matmul(call),
            "BatchNormalization" => self.batch_normalization(call),
            "Relu" | "Clip" | "HardSwish" | "HardSigmoid" => self.activation_function(call),
            "Max" | "Min" => self.bounded(call),
            "Sum" => self.sum(call),
            "GlobalAveragePool" => self.global_average_pool(call),
            "ReduceMean" => self.reduce_mean(call),
            "AveragePool" => self.average_pool(call),
            "MaxPool" => self.max_pool(call),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshape(call),
            "Transpose" => self.transpose(call),
            "Pad" => self.pad(call),
            "Softmax" => self.ending(Ending::Softmax, call),
            "LogSoftmax" => self.ending(Ending::LogSoftmax, call),
            "Sigmoid" => self.ending(Ending::Sigmoid, call),
            op => match Arithmetic::of(op) {
                Some(op) => self.arithmetic(op, call),
                None => Err(call.node.unsupported("no layer of the runtime computes it")),
            },
        }
    }
}

fn known<'b>(value: &'b Option<Value<'_>>) -> Option<&'b Constant> {
    match value {
        Some(Value::Constant(constant)) => Some(constant),
        Some(Value::Activation(_) | Value::Unknown(_)) | None => None,
    }
}

fn unknown<'a>(value: &Option<Value<'a>>) -> Option<Node<'a>> {
    match value {
        Some(Value::Unknown(source)) => Some(*source),
        Some(Value::Activation(_) | Value::Constant(_)) | None => None,
    }
}

fn element(value: &Value<'_>) -> DataType {
    match value {
        Value::Constant(constant) => constant.element,
        Value::Activation(_) | Value::Unknown(_) => DataType::Float,
    }
}

fn shape_of<'a>(call: &Call<'a>) -> Result<Value<'a>, ImportError> {
    let node = call.node;
    let dims = match call.inputs.first() {
        Some(Some(Value::Activation(view))) => view.dims.clone(),
        Some(Some(Value::Constant(constant))) => constant.dims.clone(),
        Some(Some(Value::Unknown(source))) => return Ok(Value::Unknown(*source)),
        Some(None) | None => return Ok(Value::Unknown(node)),
    };
    let rank = dims.len() as i64;
    let bound = |at: i64| {
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        at.clamp(0, rank) as usize
    };
    let range = bound(node.int("start", 0)?)..bound(node.int("end", rank)?);
    let dims = dims.get(range).unwrap_or(&[]);
    let dims = dims.iter().map(|&dim| dim as i64).collect();
    Ok(Value::Constant(Rc::new(Constant::ints(
        node.output(),
        dims,
    ))))
}
