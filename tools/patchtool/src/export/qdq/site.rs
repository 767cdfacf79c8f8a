//! The values of an int8 site as ONNX has them.

use std::borrow::Cow;

use graft_onnx::build::{floats, int, node, raw};
use graft_onnx::graph::GraphBuilder;
use graft_onnx::proto::{DataType, TensorProto};
use graft_patches::half_table::TableSite;
use graft_patches::layout::{PANEL, unpack_int8_weights};
use graft_patches::metadata::BackboneMetadata;
use graft_patches::records::What;
use graft_patches::requantize::RequantizePanel;
use graft_patches::scale::{Requantization, TensorScale};
use graft_patches::{BackboneImage, PatchImage, Values};

use super::super::tensors;
use super::channel::channel;

/// The names of all sites' weights and, without the last word, of their other tensors.
pub(super) struct Names(Vec<[String; 2]>);

impl Names {
    pub(super) fn new(backbone: &BackboneImage<'_>, metadata: &BackboneMetadata) -> Self {
        Self(tensors::names(backbone.site_count(), &metadata.sites))
    }
}

/// A site's values.
pub(super) struct Site {
    index: usize,
    dims: Vec<usize>,
    weights: Vec<i8>,
    scales: Vec<f32>,
    bias: Vec<i32>,
    input_scale: f32,
}

impl Site {
    /// The backbone's own values, but for what a patch replaces.
    pub(super) fn new(
        backbone: &BackboneImage<'_>,
        patch: Option<&PatchImage<'_>>,
        index: usize,
        scales: &[TensorScale],
    ) -> Self {
        let site = backbone.site(index);
        let layer = backbone.layer(site.layer);
        let own = backbone.int8(&site);
        let replaced = |what| patch.and_then(|patch| patch.find(index, what));
        let (packed, outputs) = match replaced(What::Weights).map(|new| (new.values, new.outputs)) {
            Some((Values::I8(packed), outputs)) => (packed, outputs),
            Some((
                Values::F32(_) | Values::F16(_) | Values::Requantize(_) | Values::HalfTable(_),
                _,
            ))
            | None => (own.weights, site.outputs),
        };
        let table = match (patch, replaced(What::Epilogue).map(|new| new.values)) {
            (_, Some(Values::Requantize(table))) => Cow::Borrowed(table),
            (Some(patch), Some(Values::HalfTable(halves))) => {
                let mut wide = vec![RequantizePanel::default(); halves.len()];
                TableSite::of(patch, backbone, index).widen(halves, &mut wide);
                Cow::Owned(wide)
            }
            (_, Some(Values::F32(_) | Values::F16(_) | Values::I8(_)))
            | (None, Some(Values::HalfTable(_)))
            | (_, None) => Cow::Borrowed(own.table),
        };
        let around = Requantization {
            input: scales[layer.inputs[0]].outer,
            output: scales[site.layer + 1].inner.scale,
        };
        let mut weights = unpack_int8_weights(packed, outputs, site.depth, site.is_depthwise);
        let rows = weights.chunks_exact_mut(site.depth).enumerate();
        let (scales, bias) = rows
            .map(|(at, row)| {
                let panel = &table[at / PANEL];
                let entry = (panel.multiplier[at % PANEL], panel.bias[at % PANEL]);
                channel(around, entry, row)
            })
            .unzip();
        Self {
            index,
            dims: tensors::weight_dims(&layer, &site, outputs),
            weights: tensors::channels_first(&weights, &layer, &site),
            scales,
            bias,
            input_scale: around.input.scale,
        }
    }

    /// Output channels.
    pub(super) fn outputs(&self) -> usize {
        self.dims[0]
    }

    /// Adds the weights and bias, and the nodes that dequantise them; the names of what those write. The names are those
    /// that onnxruntime's quantiser gives, and so known to whoever reads its models.
    pub(super) fn parts(&self, names: &Names, graph: &mut GraphBuilder) -> [String; 2] {
        let [weight, stem] = &names.0[self.index];
        let bias = format!("{stem}.bias");
        let vector = [self.outputs()];
        let weights: Vec<u8> = self.weights.iter().map(|&byte| byte as u8).collect();
        let words: Vec<u8> = self
            .bias
            .iter()
            .flat_map(|bias| bias.to_le_bytes())
            .collect();
        let scales = self.scales.iter().map(|scale| scale * self.input_scale);
        let bias_scales: Vec<f32> = scales.collect();
        let mut dequantised = |name: &str, quantised: [TensorProto; 2], scales: &[f32]| {
            let part = |part: &str| format!("{name}_{part}");
            let [mut values, mut zero_points] = quantised;
            values.name = part("quantized");
            zero_points.name = part("zero_point");
            let inputs = vec![
                graph.constant(values),
                graph.constant(floats(&part("scale"), &vector, scales)),
                graph.constant(zero_points),
            ];
            let output = part("DequantizeLinear_Output");
            let dequantise = node("DequantizeLinear", inputs, vec![int("axis", 0)]);
            graph.node(part("DequantizeLinear"), &output, dequantise);
            output
        };
        let (bytes, integers) = (DataType::Int8, DataType::Int32);
        let zeros = |element, size: usize| raw("", &vector, element, vec![0; size * vector[0]]);
        [
            dequantised(
                weight,
                [raw("", &self.dims, bytes, weights), zeros(bytes, 1)],
                &self.scales,
            ),
            dequantised(
                &bias,
                [raw("", &vector, integers, words), zeros(integers, 4)],
                &bias_scales,
            ),
        ]
    }
}
