//! A patch for an int8 backbone.

use graft_patches::BackboneImage;
use graft_patches::metadata::{Calibration, PatchMetadata};
use graft_patches::records::{Dtype, Layer};
use graft_patches::scale::{ScaleRecord, TensorScale};
use graft_patches::writer::{BackboneWriter, Int8PatchWriter, Int8Values, SiteValues};
use graft_runtime::{Backbone, Patch};

use super::backbone::scales;
use super::{Images, Method, QuantizeError, Statistics, signal_to_noise, weights};
use crate::bar::Bar;
use crate::replacements::{Replacements, with_temperature};

/// A quantised patch.
#[derive(Debug)]
pub struct QuantizedPatch {
    /// The image.
    pub bytes: Vec<u8>,
    /// Signal-to-noise ratio of each layer's output against the values in f32, in decibels.
    pub signal_to_noise: Vec<f32>,
}

/// Compiles values in f32 for the int8 backbone that was made of the one that they are for. The images are prepared for
/// the input of the patch; by what the task's network computes from them, its activations get scales of their own from the
/// first layer on that the task changes.
///
/// # Errors
/// A backbone that is not int8; values that do not fit its sites; in half precision what that cannot hold.
///
/// # Panics
/// If `dtype` is not one of patches for int8 backbones.
pub fn patch(
    replacements: &Replacements,
    int8: &Backbone,
    images: &Images,
    method: Method,
    dtype: Dtype,
    bar: &Bar,
) -> Result<QuantizedPatch, QuantizeError> {
    let base = int8.image();
    let found = base.dtype();
    if found != Dtype::I8 {
        let expected = Dtype::I8;
        return Err(QuantizeError::Dtype { found, expected });
    }
    let twin = float_twin(&base)?;
    let bytes = replacements.compile(&twin.image(), Dtype::F32)?;
    let float_patch = Patch::from_bytes(&bytes, &twin)?;
    let statistics = Statistics::of_layers(&twin, &float_patch, images, bar)?;
    let own = scales(&base, &replacements.input, &statistics, method);
    let mut writer = Int8PatchWriter::new(base, replacements.kinds);
    writer
        .dtype(dtype)
        .input(replacements.input)
        .own_before(replacements.from_layer)
        .scales(from_first_change(&base, replacements, own))?;
    for (&index, values) in &replacements.sites {
        if let Some(rows) = &values.weights {
            let (bytes, scales) = weights::nearest(rows, base.site(index).depth);
            writer.weights(index, bytes, scales)?;
        }
        if let Some((scale, bias)) = &values.epilogue {
            writer.epilogue(index, scale, bias)?;
        }
    }
    if let Some(state) = &replacements.continual_state {
        writer.continual_state(state.clone());
    }
    let calibration = Calibration {
        method: method.to_string(),
        data: images.digest,
        images: images.pixels.len() as u32,
    };
    let bytes = writer.finish(&PatchMetadata {
        calibration: Some(calibration),
        ..replacements.metadata.clone()
    })?;
    let bytes = with_temperature(bytes, replacements.temperature)?;
    let bound = Patch::from_bytes(&bytes, int8)?;
    Ok(QuantizedPatch {
        signal_to_noise: signal_to_noise([&twin, int8], [&float_patch, &bound], images)?,
        bytes,
    })
}

/// The backbone's own scales up to what the task changes first: the same activations need no tables of their own.
fn from_first_change(
    base: &BackboneImage<'_>,
    replacements: &Replacements,
    own: Vec<TensorScale>,
) -> Vec<TensorScale> {
    let input = base.input();
    let is_same_input =
        (input.mean, input.std) == (replacements.input.mean, replacements.input.std);
    let first = match replacements.sites.keys().next() {
        Some(&site) if is_same_input => base.site(site).layer + 1,
        _ => 0,
    };
    let base = base.scales()[..first].iter().map(ScaleRecord::get);
    base.chain(own.into_iter().skip(first)).collect()
}

/// An int8 backbone in f32: the network that its bytes stand for, without the rounding of activations.
fn float_twin(base: &BackboneImage<'_>) -> Result<Backbone, QuantizeError> {
    let mut writer = BackboneWriter::new(base.input());
    for index in 0..base.layer_count() {
        let layer: Layer = base.layer(index);
        let Some(site) = layer.site else {
            writer.push(layer, None)?;
            continue;
        };
        let depth = base.site(site).depth;
        let own = Int8Values::of(base, site);
        let rows = own.weights.chunks_exact(depth).zip(&own.weight_scales);
        let rows: Vec<f32> = rows
            .flat_map(|(row, &scale)| row.iter().map(move |&byte| scale * f32::from(byte)))
            .collect();
        let values = SiteValues {
            weights: &rows,
            scale: &own.scale,
            bias: &own.bias,
        };
        writer.push(layer, Some(values))?;
    }
    let bytes = writer.finish(base.max_classes(), &base.metadata()?)?;
    Ok(Backbone::from_bytes(&bytes)?)
}
