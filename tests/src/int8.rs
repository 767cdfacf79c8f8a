//! Int8 twins of the test networks.

use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::metadata::{BackboneMetadata, PatchMetadata, QuantizedFrom};
use graft_patches::records::{Dtype, Kinds, What};
use graft_patches::scale::{Scale, TensorScale, quantize_weights};
use graft_patches::writer::{Int8PatchWriter, Int8Values, WriteError, int8_backbone};
use graft_patches::{BackboneImage, PatchImage};
use graft_runtime::{Backbone, Image, LayerOutput, Patch, Session};

use crate::{image, random_patch};

/// The scales of all tensors that some images need when an f32 backbone runs with this patch.
pub fn scales(backbone: &Backbone, patch: &Patch) -> Vec<TensorScale> {
    let layers = backbone.image().layer_count();
    let mut ranges = vec![(0.0f32, 0.0f32); layers + 1];
    let session = Session::new(backbone).expect("kernels are there");
    let mut session = session.unfused().expect("memory is there");
    // The scales are to be the same on every target.
    session.use_kernels("reference").expect("always there");
    for seed in 0..4 {
        let values = image(patch, seed);
        widen(&mut ranges[0], &values);
        let run = session.run_observed(patch, Image::Values(&values), |layer, output| {
            if let LayerOutput::F32(values) = output {
                widen(&mut ranges[layer + 1], values);
            }
        });
        run.expect("the image fits");
    }
    let mut scales = vec![Scale::of_range(ranges[0].0, ranges[0].1).into()];
    for (layer, &(low, high)) in ranges[1..].iter().enumerate() {
        let activation = backbone.image().layer(layer).activation;
        scales.push(TensorScale::of_range(activation, low, high));
    }
    scales
}

fn widen(range: &mut (f32, f32), values: &[f32]) {
    for &value in values {
        *range = (range.0.min(value), range.1.max(value));
    }
}

/// An f32 backbone in int8.
pub fn backbone(float: &Backbone) -> Vec<u8> {
    backbone_with(float, |_| {})
}

/// [`backbone`] with other metadata.
pub fn backbone_with(float: &Backbone, change: impl FnOnce(&mut BackboneMetadata)) -> Vec<u8> {
    let image = float.image();
    let sites: Vec<Int8Values> = (0..image.site_count())
        .map(|index| {
            let site = image.site(index);
            let packed = image.weights(&site);
            let rows = unpack_weights(packed, site.outputs, site.depth, site.is_depthwise);
            let (scale, bias) = unpack_epilogue(image.epilogue(&site), site.outputs);
            values(&rows, site.depth, scale, bias)
        })
        .collect();
    let own = image.metadata().expect("it has some");
    let mut metadata = BackboneMetadata {
        quantized: Some(QuantizedFrom {
            from: float.id(),
            ..QuantizedFrom::default()
        }),
        ..own
    };
    change(&mut metadata);
    int8_backbone(&image, &scales(float, &float.identity()), &sites, &metadata)
        .expect("it fits the format")
}

fn values(rows: &[f32], depth: usize, scale: Vec<f32>, bias: Vec<f32>) -> Int8Values {
    let mut weights = vec![0; rows.len()];
    let rows = rows
        .chunks_exact(depth)
        .zip(weights.chunks_exact_mut(depth));
    Int8Values {
        weight_scales: rows
            .map(|(row, bytes)| quantize_weights(row, bytes))
            .collect(),
        weights,
        scale,
        bias,
    }
}

/// [`random_patch`] of an f32 backbone, and the same values as a patch of its int8 twin.
pub fn random_patches(
    float: &Backbone,
    int8: &Backbone,
    classes: usize,
    seed: u64,
) -> [Vec<u8>; 2] {
    let bytes = random_patch(float, classes, seed);
    let patch = Patch::from_bytes(&bytes, float).expect("the patch fits");
    let twin = twin(float, int8, &patch);
    [bytes, twin]
}

/// The int8 one of [`random_patches`], stored in this way.
pub fn random_patch_as(
    dtype: Dtype,
    float: &Backbone,
    int8: &Backbone,
    classes: usize,
    seed: u64,
) -> Vec<u8> {
    try_random_patch_as(dtype, float, int8, classes, seed).expect("it fits the format")
}

/// [`random_patch_as`], where half precision may lack a number: a tensor that happens to be nearly 0 everywhere has a
/// scale whose multiplier is beyond it.
///
/// # Errors
/// [`WriteError::Half`].
pub fn try_random_patch_as(
    dtype: Dtype,
    float: &Backbone,
    int8: &Backbone,
    classes: usize,
    seed: u64,
) -> Result<Vec<u8>, WriteError> {
    twin_as(dtype, float, int8, &crate::patch(float, classes, seed))
}

/// The values of an f32 patch as a patch of the int8 twin.
pub fn twin(float: &Backbone, int8: &Backbone, patch: &Patch) -> Vec<u8> {
    twin_as(Dtype::I8, float, int8, patch).expect("it fits the format")
}

/// [`twin`], stored in this way.
///
/// # Errors
/// [`WriteError::Half`].
pub fn twin_as(
    dtype: Dtype,
    float: &Backbone,
    int8: &Backbone,
    patch: &Patch,
) -> Result<Vec<u8>, WriteError> {
    let image = patch.image().expect("it has a file");
    let mut writer = Int8PatchWriter::new(int8.image(), image.kinds());
    writer.dtype(dtype).input(image.input());
    writer
        .scales(scales(float, patch))
        .expect("one for each tensor");
    let base = int8.image();
    for index in 0..base.site_count() {
        replace(&mut writer, &image, &base, index);
    }
    writer.finish(&PatchMetadata::default())
}

fn replace(
    writer: &mut Int8PatchWriter<'_>,
    patch: &PatchImage<'_>,
    base: &BackboneImage<'_>,
    index: usize,
) {
    let site = base.site(index);
    if let Some(epilogue) = patch.find(index, What::Epilogue) {
        let (scale, bias) = unpack_epilogue(&epilogue.values.to_vec(), epilogue.outputs);
        writer.epilogue(index, &scale, &bias).expect("it is a site");
    }
    if let Some(weights) = patch.find(index, What::Weights) {
        let packed = weights.values.to_vec();
        let rows = unpack_weights(&packed, weights.outputs, site.depth, site.is_depthwise);
        let own = values(&rows, site.depth, Vec::new(), Vec::new());
        writer
            .weights(index, own.weights, own.weight_scales)
            .expect("it is a site");
    }
}

/// A patch of these kinds with an int8 backbone's own values.
pub fn identity_patch(backbone: &Backbone, kinds: Kinds) -> Vec<u8> {
    Int8PatchWriter::identity(backbone.image(), kinds)
        .finish(&PatchMetadata::default())
        .expect("metadata can be encoded")
}
