//! From a quantised model to the bytes of an int8 backbone.

use graft_patches::BackboneImage;
use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::metadata::{BackboneMetadata, Calibration, QuantizedFrom};
use graft_patches::scale::{TensorScale, quantize_weights_by};
use graft_patches::writer::{Int8Values, WriteError, int8_backbone};

/// The scales that make an int8 network of the floats that a quantised model's integers stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// Scales of all tensors of the graph.
    pub tensors: Vec<TensorScale>,
    /// Of every layer with weights, in order: the scale of each output channel's weights.
    pub sites: Vec<Vec<f32>>,
    /// Weights of -128 in the model, which become -127.
    pub lowest: usize,
}

/// The int8 backbone of a quantised model, from its floats [compiled](super::compile::compile). Its weights are the bytes
/// of the model: each float is a byte times its scale, and so gives the byte back.
///
/// # Errors
/// A network that does not fit the format.
pub fn compile(
    float: &BackboneImage<'_>,
    quantization: &Quantization,
) -> Result<Vec<u8>, WriteError> {
    let sites = (0..float.site_count()).zip(&quantization.sites);
    let sites: Vec<Int8Values> = sites
        .map(|(index, scales)| values(float, index, scales))
        .collect();
    let mut metadata = BackboneMetadata {
        quantized: Some(QuantizedFrom {
            calibration: Calibration {
                method: "QDQ model".into(),
                ..Calibration::default()
            },
            ..QuantizedFrom::default()
        }),
        ..float.metadata()?
    };
    // Nothing trains on int8.
    for site in &mut metadata.sites {
        site.batch_norm = None;
    }
    int8_backbone(float, &quantization.tensors, &sites, &metadata)
}

fn values(float: &BackboneImage<'_>, index: usize, scales: &[f32]) -> Int8Values {
    let site = float.site(index);
    let packed = float.weights(&site);
    let rows = unpack_weights(packed, site.outputs, site.depth, site.is_depthwise);
    let mut weights = vec![0; rows.len()];
    let each = rows
        .chunks_exact(site.depth)
        .zip(weights.chunks_exact_mut(site.depth));
    for ((row, bytes), &scale) in each.zip(scales) {
        quantize_weights_by(scale, row, bytes);
    }
    let (scale, bias) = unpack_epilogue(float.epilogue(&site), site.outputs);
    Int8Values {
        weights,
        weight_scales: scales.to_vec(),
        scale,
        bias,
    }
}
