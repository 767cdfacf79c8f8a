//! An int8 backbone, with a patch or without, as an ONNX model in the QDQ format: float nodes between QuantizeLinear and
//! DequantizeLinear, which engines fuse into int8 kernels.
//!
//! The weights are the bytes of the images, the scale of each channel its multiplier in units of its tensors, so that an
//! engine computes what the runtime does but for the rounding of products. All values are inline.

mod channel;
mod site;

#[cfg(test)]
mod tests;

use graft_onnx::build::{floats, integers, node, raw};
use graft_onnx::graph::GraphBuilder;
use graft_onnx::proto::DataType;
use graft_patches::geometry::{Activation, Shape};
use graft_patches::metadata::{BackboneMetadata, PatchMetadata};
use graft_patches::plan::infer_shapes;
use graft_patches::records::{Dtype, Layer};
use graft_patches::scale::{Scale, ScaleRecord, TensorScale};
use graft_patches::{BackboneImage, PatchImage, Verify};

use self::site::{Names, Site};
use super::document::{Document, INPUT, PREFIX, SCORES};
use super::properties::{self, Task};
use super::{ExportError, nodes};

/// The bytes of the model of an int8 backbone's own task, or of a patch for it.
///
/// # Errors
/// A backbone that is not int8, a patch for another one, metadata that cannot be decoded.
pub fn write(
    backbone: &BackboneImage<'_>,
    patch: Option<&PatchImage<'_>>,
) -> Result<Vec<u8>, ExportError> {
    if backbone.dtype() != Dtype::I8 {
        let found = backbone.dtype();
        return Err(ExportError::Float { found });
    }
    if let Some(patch) = patch {
        patch.check_against(backbone, Verify::Full)?;
    }
    let metadata = backbone.metadata()?;
    let own = own_task(&metadata);
    let own = patch.map_or(Ok(own), PatchImage::metadata)?;
    let input = patch.map_or(backbone.input(), PatchImage::input);
    let mut shapes = vec![Shape::default(); backbone.layer_count() + 1];
    infer_shapes(backbone, input.shape, &mut shapes)?;
    let mut scores = shapes[backbone.layer_count()];
    let mut model = Model::new(backbone, patch, &metadata, scores.pixels() == 1);
    for index in 0..backbone.layer_count() {
        let outputs = model.layer(index);
        scores.channels = outputs.unwrap_or(scores.channels);
    }
    let labels = match own.labels.is_empty() {
        true => &metadata.labels,
        false => &own.labels,
    };
    let kind = patch.map_or_else(String::new, |patch| patch.kinds().to_string());
    let task = Task {
        name: &own.name,
        kind: &kind,
        input,
        resize: own.resize,
        labels,
    };
    let document = Document {
        name: own.name.clone(),
        properties: properties::write(backbone, &metadata, &task),
        graph: model.graph,
        input: input.shape,
        is_row: model.is_row,
        scores,
    };
    Ok(document.encode()?)
}

fn own_task(metadata: &BackboneMetadata) -> PatchMetadata {
    PatchMetadata {
        name: metadata.name.clone(),
        resize: metadata.resize,
        labels: metadata.labels.clone(),
        ..PatchMetadata::default()
    }
}

/// The nodes so far.
struct Model<'a> {
    backbone: &'a BackboneImage<'a>,
    patch: Option<&'a PatchImage<'a>>,
    metadata: &'a BackboneMetadata,
    names: Names,
    scales: Vec<TensorScale>,
    /// Whether the scores are one row.
    is_row: bool,
    graph: GraphBuilder,
    values: Vec<Value>,
}

/// A dequantised tensor.
#[derive(Default)]
struct Value {
    /// `[batch, channels, rows, columns]`, where some node writes or needs that.
    image: Option<String>,
    /// `[batch, channels]`, likewise.
    row: Option<String>,
}

impl Value {
    fn form(&mut self, is_row: bool) -> &mut Option<String> {
        match is_row {
            true => &mut self.row,
            false => &mut self.image,
        }
    }
}

impl<'a> Model<'a> {
    fn new(
        backbone: &'a BackboneImage<'a>,
        patch: Option<&'a PatchImage<'a>>,
        metadata: &'a BackboneMetadata,
        is_row: bool,
    ) -> Self {
        let scales = patch.map_or(backbone.scales(), PatchImage::scales);
        let mut model = Self {
            backbone,
            patch,
            metadata,
            names: Names::new(backbone, metadata),
            scales: scales.iter().map(ScaleRecord::get).collect(),
            is_row,
            graph: GraphBuilder::default(),
            values: vec![Value::default()],
        };
        let name = format!("{PREFIX}activation.000");
        model.quantise(INPUT.to_owned(), &name, "000", model.scales[0].outer);
        model.values[0].image = Some(name);
        model
    }

    /// Adds a layer; says how many output channels its weights have.
    fn layer(&mut self, index: usize) -> Option<usize> {
        let layer = self.backbone.layer(index);
        let writes_row = nodes::is_row(layer.op);
        let outputs = self.float(index, &layer, writes_row);
        let tensor = format!("{:03}", index + 1);
        let name = format!("{PREFIX}activation.{tensor}");
        let float = self.activation(layer.activation, index, format!("{name}.float"));
        let is_last = index + 1 == self.backbone.layer_count();
        let is_scores = is_last && self.is_row == writes_row;
        let output = if is_scores { SCORES.to_owned() } else { name };
        self.quantise(float, &output, &tensor, self.scales[index + 1].outer);
        let mut value = Value::default();
        *value.form(writes_row) = Some(output);
        self.values.push(value);
        if is_last && !is_scores {
            self.reshaped(index + 1, self.is_row, SCORES);
        }
        outputs
    }

    /// The float node of a layer.
    fn float(&mut self, index: usize, layer: &Layer, writes_row: bool) -> Option<usize> {
        let operands = &layer.inputs[..layer.op.arity()];
        let operands = operands.iter();
        let mut inputs: Vec<String> = operands
            .map(|&tensor| self.value(tensor, writes_row))
            .collect();
        let site = layer
            .site
            .map(|at| Site::new(self.backbone, self.patch, at, &self.scales));
        let outputs = site.as_ref().map(Site::outputs);
        let first = match site {
            Some(site) => {
                inputs.extend(site.parts(&self.names, &mut self.graph));
                nodes::layer(layer, inputs, site.outputs())
            }
            None => nodes::layer(layer, inputs, 0),
        };
        let output = format!("{PREFIX}activation.{:03}.float", index + 1);
        // The importer takes a layer's name from its node.
        let own = self.metadata.layers.get(index);
        let own = own.filter(|own| !own.is_empty()).unwrap_or(&output);
        self.graph.node(own, &output, first);
        outputs
    }

    /// The activation of a layer, unless saturation computes it; the name of what it gives.
    fn activation(&mut self, activation: Activation, index: usize, before: String) -> String {
        let scale = self.scales[index + 1];
        let tensor = format!("{:03}", index + 1);
        let mut before = before;
        if activation.is_curve() {
            let name = format!("{PREFIX}activation.{tensor}.inner");
            self.quantise(before, &name, &format!("{tensor}.inner"), scale.inner);
            before = name;
        } else {
            let bounds = scale.outer.quantized(activation);
            if (bounds.min, bounds.max) == (i8::MIN, i8::MAX) {
                return before;
            }
        }
        let number = |value: f32| self.number(value);
        match nodes::activation(activation, before.clone(), number) {
            Some(node) => {
                let name = format!("{PREFIX}activation.{tensor}.active");
                self.graph.node(&name, &name, node);
                name
            }
            None => before,
        }
    }

    /// Name of a bound of a Clip; an open one has none.
    fn number(&mut self, value: f32) -> String {
        if value.is_infinite() {
            return String::new();
        }
        let name = format!("{PREFIX}number.{value}");
        self.graph.constant(floats(&name, &[], &[value]))
    }

    /// Quantises and dequantises `from` as `to`; `tensor` names the scale.
    fn quantise(&mut self, from: String, to: &str, tensor: &str, scale: Scale) {
        let [step, zero] =
            ["scale", "zero_point"].map(|part| format!("{PREFIX}tensor.{tensor}.{part}"));
        self.graph.constant(floats(&step, &[], &[scale.scale]));
        let bytes = scale.zero_point.to_le_bytes().to_vec();
        self.graph.constant(raw(&zero, &[], DataType::Int8, bytes));
        let quantised = format!("{to}.quantized");
        let inputs = vec![from, step.clone(), zero.clone()];
        let quantise = node("QuantizeLinear", inputs, Vec::new());
        self.graph.node(&quantised, &quantised, quantise);
        let inputs = vec![quantised, step, zero];
        let dequantise = node("DequantizeLinear", inputs, Vec::new());
        self.graph.node(format!("{to}.dequantize"), to, dequantise);
    }

    /// Name of a dequantised tensor in the form that a node needs.
    fn value(&mut self, tensor: usize, is_row: bool) -> String {
        if let Some(name) = self.values[tensor].form(is_row) {
            return name.clone();
        }
        let name = format!("{PREFIX}activation.{tensor:03}.reshaped");
        self.reshaped(tensor, is_row, &name);
        name
    }

    /// The other form of a tensor, quantised on both sides: so engines see that no value changes.
    fn reshaped(&mut self, tensor: usize, is_row: bool, name: &str) {
        let known = self.values[tensor].form(!is_row).clone();
        let mut inputs = vec![known.unwrap_or_default()];
        let op = match is_row {
            true => "Flatten",
            false => {
                let axes = integers(&format!("{PREFIX}axes"), &[2, 3]);
                inputs.push(self.graph.constant(axes));
                "Unsqueeze"
            }
        };
        let float = format!("{name}.float");
        self.graph
            .node(&float, &float, node(op, inputs, Vec::new()));
        let scale = self.scales[tensor].outer;
        self.quantise(float, name, &format!("{tensor:03}"), scale);
        *self.values[tensor].form(is_row) = Some(name.to_owned());
    }
}
