//! A whole f32 backbone in int8.

use graft_patches::BackboneImage;
use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::metadata::{self, BackboneMetadata, Calibration, SiteMetadata};
use graft_patches::records::{Dtype, Input, Op};
use graft_patches::scale::{Scale, TensorScale};
use graft_patches::writer::{Int8Values, int8_backbone};
use graft_runtime::Backbone;

use crate::bar::Bar;

use super::{Images, Method, QuantizeError, Statistics, signal_to_noise, weights};

/// A quantised backbone.
#[derive(Debug)]
pub struct QuantizedBackbone {
    /// The image.
    pub bytes: Vec<u8>,
    /// Range of each layer's output that its bytes reach.
    pub ranges: Vec<(f32, f32)>,
    /// Signal-to-noise ratio of each layer's output, in decibels.
    pub signal_to_noise: Vec<f32>,
}

/// Choices of the user.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Method by which the ranges of activations are chosen.
    pub method: Method,
    /// Whether weights are rounded, and biases corrected, so that the mean of every output channel stays.
    pub keep_means: bool,
}

/// Quantises an f32 backbone by what it computes from some images.
///
/// # Errors
/// A backbone that is not f32, or computes what is not finite.
pub fn backbone(
    float: &Backbone,
    images: &Images,
    settings: Settings,
    bar: &Bar,
) -> Result<QuantizedBackbone, QuantizeError> {
    let image = float.image();
    let found = image.dtype();
    if found != Dtype::F32 {
        let expected = Dtype::F32;
        return Err(QuantizeError::Dtype { found, expected });
    }
    let statistics = Statistics::of_layers(float, &float.identity(), images, bar)?;
    let scales = scales(&image, &image.input(), &statistics, settings.method);
    let sites: Vec<_> = (0..image.site_count())
        .map(|index| {
            let input = image.layer(image.site(index).layer).inputs[0];
            // What the image itself is on average is not known; its weights are few.
            let producer = input.checked_sub(1).filter(|_| settings.keep_means);
            let means = producer.map(|producer| statistics[producer].means.as_slice());
            site(&image, index, means)
        })
        .collect();
    let calibration = Calibration {
        method: settings.method.to_string(),
        data: images.digest,
        images: images.pixels.len() as u32,
    };
    let mut metadata = metadata_of(&image, calibration)?;
    let bytes = int8_backbone(&image, &scales, &sites, &metadata)?;
    let int8 = Backbone::from_bytes(&bytes)?;
    let patches = [&float.identity(), &int8.identity()];
    let signal_to_noise = signal_to_noise([float, &int8], patches, images)?;
    if let Some(quantized) = &mut metadata.quantized {
        quantized.signal_to_noise.clone_from(&signal_to_noise);
    }
    Ok(QuantizedBackbone {
        bytes: int8_backbone(&image, &scales, &sites, &metadata)?,
        ranges: ranges(&scales),
        signal_to_noise,
    })
}

/// The metadata of an int8 backbone: all but the raw batch norms, which training starts from, and training is on f32.
fn metadata_of(
    image: &BackboneImage<'_>,
    calibration: Calibration,
) -> Result<BackboneMetadata, QuantizeError> {
    let own = image.metadata()?;
    let without_norm = |site: SiteMetadata| SiteMetadata {
        batch_norm: None,
        ..site
    };
    Ok(BackboneMetadata {
        tool: crate::TOOL.into(),
        sites: own.sites.into_iter().map(without_norm).collect(),
        quantized: Some(metadata::QuantizedFrom {
            from: image.id(),
            calibration,
            signal_to_noise: Vec::new(),
        }),
        ..own
    })
}

/// The values that a tensor's bytes reach.
fn ranges(scales: &[TensorScale]) -> Vec<(f32, f32)> {
    let outer = scales[1..].iter().map(|scale| scale.outer);
    outer.map(|s| (s.value(-128), s.value(127))).collect()
}

/// The scales of all tensors of a network, by what its layers compute.
pub(super) fn scales(
    image: &BackboneImage<'_>,
    input: &Input,
    statistics: &[Statistics],
    method: Method,
) -> Vec<TensorScale> {
    let mut scales = vec![input_scale(input).into()];
    for (index, statistics) in statistics.iter().enumerate() {
        let layer = image.layer(index);
        let keeps_scale = match layer.op {
            // The greatest of some bytes is one of them.
            Op::MaxPool => !layer.activation.is_curve(),
            Op::Conv
            | Op::Depthwise
            | Op::Pointwise
            | Op::Linear
            | Op::Add
            | Op::Multiply
            | Op::AveragePool
            | Op::GlobalAveragePool => false,
        };
        let scale = if keeps_scale {
            let TensorScale { outer, .. } = scales[layer.inputs[0]];
            outer.into()
        } else {
            let (low, high) = method.range(statistics);
            TensorScale::of_range(layer.activation, low, high)
        };
        scales.push(scale);
    }
    scales
}

/// Of all values that a normalised pixel can have.
fn input_scale(input: &Input) -> Scale {
    let channels = 0..input.shape.channels;
    let ends = channels.flat_map(|c| [0.0, 255.0].map(|x| (x - input.mean[c]) / input.std[c]));
    let (low, high) = ends.fold((0.0f32, 0.0f32), |(low, high), end| {
        (low.min(end), high.max(end))
    });
    Scale::of_range(low, high)
}

/// An f32 site's values, its weights in int8. With what its inputs are on average, rounding leaves the mean of what they
/// compute alone, and the bias takes back the rest.
fn site(image: &BackboneImage<'_>, index: usize, means: Option<&[f64]>) -> Int8Values {
    let site = image.site(index);
    let packed = image.weights(&site);
    let rows = unpack_weights(packed, site.outputs, site.depth, site.is_depthwise);
    let (scale, mut bias) = unpack_epilogue(image.epilogue(&site), site.outputs);
    let Some(means) = means else {
        let (weights, weight_scales) = weights::nearest(&rows, site.depth);
        return Int8Values {
            weights,
            weight_scales,
            scale,
            bias,
        };
    };
    let (mut weights, mut weight_scales) = (Vec::new(), Vec::new());
    for (channel, row) in rows.chunks_exact(site.depth).enumerate() {
        let means: Vec<f64> = match site.is_depthwise {
            true => vec![means[channel]; site.depth],
            false => means.iter().copied().cycle().take(site.depth).collect(),
        };
        let (bytes, weight_scale) = weights::balanced(row, &means);
        let lost = |((&weight, &byte), mean): ((&f32, &i8), &f64)| {
            f64::from(weight - weight_scale * f32::from(byte)) * mean
        };
        let lost: f64 = row.iter().zip(&bytes).zip(&means).map(lost).sum();
        bias[channel] += (f64::from(scale[channel]) * lost) as f32;
        weights.extend(bytes);
        weight_scales.push(weight_scale);
    }
    Int8Values {
        weights,
        weight_scales,
        scale,
        bias,
    }
}
