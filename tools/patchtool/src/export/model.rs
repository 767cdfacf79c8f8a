//! A backbone with a task's values as an ONNX model: NCHW, any batch size, one node for each thing a layer does.

use graft_onnx::build::{float, floats, integers, node};
use graft_onnx::graph::GraphBuilder;
use graft_onnx::proto::NodeProto;
use graft_patches::BackboneImage;
use graft_patches::geometry::Shape;
use graft_patches::metadata::BackboneMetadata;
use graft_patches::plan::infer_shapes;
use graft_patches::records::Layer;

use super::document::{Document, INPUT, PREFIX, SCORES};
use super::properties::{self, Task};
use super::tensors::{After, SiteTensors, Sites, Tensor};
use super::{ExportError, WeightsFile, nodes};
use crate::trained::Trained;

/// The bytes of a task's ONNX model. Values that the task did not train are named in `weights`, which belongs in the
/// same folder; its own are inline. The model of a baseline, which trained everything, has all of them inline.
///
/// # Errors
/// Trained values that do not fit the backbone.
pub fn write(
    backbone: &BackboneImage<'_>,
    trained: &Trained,
    weights: &WeightsFile,
) -> Result<Vec<u8>, ExportError> {
    trained.check(backbone)?;
    let metadata = backbone.metadata()?;
    let mut shapes = vec![Shape::default(); backbone.layer_count() + 1];
    infer_shapes(backbone, trained.input.shape, &mut shapes)?;
    let sites = Sites::new(*backbone, &metadata);
    let mut model = Model {
        weights: (!trained.kind.is_baseline()).then_some(weights),
        metadata: &metadata,
        graph: GraphBuilder::default(),
        values: vec![Value::image(INPUT)],
    };
    let count = backbone.layer_count();
    for index in 0..count {
        let layer = backbone.layer(index);
        let tensors = layer
            .site
            .map(|site| sites.get(site, trained.sites.get(&site)));
        let classes = tensors.as_ref().map(|tensors| tensors.weights.dims[0]);
        shapes[index + 1].channels = classes.unwrap_or(shapes[index + 1].channels);
        let mut steps = model.steps(&layer, tensors.as_ref());
        let mut is_row = nodes::is_row(layer.op);
        if index + 1 == count && !is_row && shapes[count].pixels() == 1 {
            steps.push(node("Flatten", Vec::new(), Vec::new()));
            is_row = true;
        }
        model.push(index, count, steps, is_row);
    }
    let is_row = model.values[count].is_row;
    let labels = match trained.labels.is_empty() {
        true => &metadata.labels,
        false => &trained.labels,
    };
    let task = Task {
        name: &trained.name,
        kind: &trained.kind.to_string(),
        input: trained.input,
        resize: trained.resize,
        labels,
    };
    let document = Document {
        name: trained.name.clone(),
        graph: model.graph,
        input: trained.input.shape,
        scores: shapes[count],
        is_row,
        properties: properties::write(backbone, &metadata, &task),
    };
    Ok(document.encode()?)
}

/// An activation under construction.
struct Value {
    name: String,
    /// `[batch, channels]`; else `[batch, channels, rows, columns]`.
    is_row: bool,
    /// Its name in the other form, where some node needs that.
    other: Option<String>,
}

impl Value {
    fn image(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_row: false,
            other: None,
        }
    }
}

struct Model<'a> {
    /// The file of frozen values; `None` where they are inline.
    weights: Option<&'a WeightsFile>,
    metadata: &'a BackboneMetadata,
    graph: GraphBuilder,
    /// As the backbone numbers its tensors.
    values: Vec<Value>,
}

impl Model<'_> {
    /// The nodes of a layer, each to read the output of the one before it.
    fn steps(&mut self, layer: &Layer, tensors: Option<&SiteTensors>) -> Vec<NodeProto> {
        let mut steps = match tensors {
            Some(tensors) => self.site(layer, tensors),
            None => vec![self.unweighted(layer)],
        };
        // It reads the output of the step before.
        let number = |value| self.number(value);
        steps.extend(nodes::activation(layer.activation, String::new(), number));
        steps
    }

    fn site(&mut self, layer: &Layer, tensors: &SiteTensors) -> Vec<NodeProto> {
        let is_row = nodes::is_row(layer.op);
        let mut inputs = vec![
            self.value(layer.inputs[0], is_row),
            self.initialiser(&tensors.weights),
        ];
        let mut after = Vec::new();
        match &tensors.after {
            After::BatchNorm { own, norm, epsilon } => {
                inputs.extend(own.as_ref().map(|own| self.initialiser(own)));
                // The first input is the output of the step before.
                let mut values = vec![String::new()];
                values.extend(norm.iter().map(|tensor| self.initialiser(tensor)));
                let epsilon = float("epsilon", *epsilon);
                after.push(node("BatchNormalization", values, vec![epsilon]));
            }
            After::Affine { scale: None, bias } => inputs.push(self.initialiser(bias)),
            After::Affine {
                scale: Some(scale),
                bias,
            } => {
                for (op, tensor) in [("Mul", scale), ("Add", bias)] {
                    let name = self.initialiser(&broadcast(tensor, is_row));
                    after.push(node(op, vec![String::new(), name], Vec::new()));
                }
            }
        }
        let first = nodes::layer(layer, inputs, tensors.weights.dims[0]);
        [first].into_iter().chain(after).collect()
    }

    fn unweighted(&mut self, layer: &Layer) -> NodeProto {
        let operands = &layer.inputs[..layer.op.arity()];
        // Two rows stay rows for the layers behind them.
        let inputs = operands.iter().map(|&input| self.value(input, false));
        nodes::layer(layer, inputs.collect(), 0)
    }

    /// A bound of a Clip; an open one has no name.
    fn number(&mut self, value: f32) -> String {
        if value.is_infinite() {
            return String::new();
        }
        let name = format!("{PREFIX}number.{value}");
        self.graph.constant(floats(&name, &[], &[value]))
    }

    /// Adds a tensor once and returns its name.
    fn initialiser(&mut self, tensor: &Tensor) -> String {
        let weights = self.weights.filter(|_| tensor.is_frozen);
        let place = weights.and_then(|weights| Some((weights, weights.place(&tensor.name)?)));
        self.graph.constant(match place {
            Some((weights, place)) => tensor.external(weights.name(), place),
            None => tensor.inline(),
        })
    }

    /// Name of an activation in the form that a node needs.
    fn value(&mut self, tensor: usize, is_row: bool) -> String {
        let value = &self.values[tensor];
        if value.is_row == is_row {
            return value.name.clone();
        }
        if let Some(other) = &value.other {
            return other.clone();
        }
        let name = format!("{PREFIX}activation.{tensor:03}.reshaped");
        let mut inputs = vec![value.name.clone()];
        let op = if is_row {
            "Flatten"
        } else {
            let axes = integers(&format!("{PREFIX}axes"), &[2, 3]);
            inputs.push(self.graph.constant(axes));
            "Unsqueeze"
        };
        let reshape = node(op, inputs, Vec::new());
        self.graph.node(&name, &name, reshape);
        self.values[tensor].other = Some(name.clone());
        name
    }

    /// Chains the nodes of layer `index` of `count`.
    fn push(&mut self, index: usize, count: usize, steps: Vec<NodeProto>, is_row: bool) {
        let output = if index + 1 == count {
            SCORES.to_owned()
        } else {
            format!("{PREFIX}activation.{:03}", index + 1)
        };
        let layer = self.metadata.layers.get(index).cloned().unwrap_or_default();
        let last = steps.len() - 1;
        let mut before = String::new();
        for (at, mut step) in steps.into_iter().enumerate() {
            match (at, step.input.first_mut()) {
                (0, _) => {}
                (_, Some(input)) => *input = before,
                (_, None) => step.input.push(before),
            }
            before = if at == last {
                output.clone()
            } else {
                format!("{PREFIX}activation.{:03}.{at}", index + 1)
            };
            // The importer takes a layer's name from its first node.
            let name = if at == 0 && !layer.is_empty() {
                layer.clone()
            } else {
                format!("{PREFIX}layer.{index:03}.{at}")
            };
            self.graph.node(name, &before, step);
        }
        self.values.push(Value {
            is_row,
            ..Value::image(&output)
        });
    }
}

/// One value a channel, in a shape that broadcasts over the activation.
fn broadcast(tensor: &Tensor, is_row: bool) -> Tensor {
    let mut tensor = tensor.clone();
    if !is_row {
        tensor.dims.extend([1, 1]);
    }
    tensor
}
