//! From a task's ONNX model to a patch: the model becomes a backbone of its own, and what differs is the patch.

use std::path::Path;

use graft_patches::BackboneImage;
use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::metadata::{BackboneMetadata, PatchMetadata};
use graft_patches::records::{Dtype, Input, Kinds, Layer};
use graft_patches::writer::PatchWriter;
use graft_runtime::Backbone;

use super::ExportError;
use super::properties::Properties;
use super::unfold::unfold;
use crate::import::compile::{Settings, compile};
use crate::import::error::ImportError;
use crate::import::onnx::{self, Imported};

/// A patch from a model.
#[derive(Debug)]
pub struct Read {
    /// The image.
    pub patch: Vec<u8>,
    /// The kinds of sites that differ.
    pub kinds: Kinds,
}

/// Makes a patch of what a model changes of a backbone; `name` is the task's, in place of the model's own.
///
/// Convolutions may have their batch norms folded in, as exporters in inference mode leave them: a filter that is the
/// backbone's times one factor a channel counts as frozen, and the factor goes to the epilogue.
///
/// # Errors
/// A model that cannot be read, of another structure, with other frozen weights, or with no change at all.
pub fn read(
    path: &Path,
    backbone: &BackboneImage<'_>,
    name: Option<&str>,
    dtype: Dtype,
) -> Result<Read, ExportError> {
    let own = backbone.input();
    let imported = match onnx::load(path, None) {
        Err(ImportError::DynamicResolution { .. }) => {
            onnx::load(path, Some([own.shape.height, own.shape.width]))?
        }
        other => other?,
    };
    if imported.quantized.is_some() {
        return Err(ExportError::Quantised);
    }
    let properties = Properties::read(&imported.properties, &own)?;
    let input = input(&imported, &properties, &own);
    let model = as_backbone(&imported, input, backbone)?;
    let metadata = backbone.metadata()?;
    same_structure(&model.image(), backbone, &metadata)?;
    let changes = changes(&model.image(), backbone, &metadata)?;
    let kinds = changes
        .iter()
        .fold(Kinds::default(), |kinds, change| kinds.with(change.kind));
    if changes.is_empty() {
        return Err(ExportError::Same);
    }
    // What a kind demands and the model left as it was is the backbone's own.
    let mut writer = PatchWriter::identity(*backbone, kinds);
    writer.input(Input {
        shape: model.image().input().shape,
        ..input
    });
    writer.dtype(dtype);
    for change in &changes {
        if let Some(weights) = &change.weights {
            writer.weights(change.site, weights)?;
        }
        if let Some((scale, bias)) = &change.epilogue {
            writer.epilogue(change.site, scale, bias)?;
        }
    }
    let patch_metadata = PatchMetadata {
        name: name
            .map_or(properties.task, |name| Some(name.into()))
            .unwrap_or_else(|| stem(path)),
        source: file_name(path),
        tool: crate::TOOL.into(),
        resize: properties.resize.unwrap_or(metadata.resize),
        labels: labels(properties.labels, kinds, &model.image(), &metadata),
        ..PatchMetadata::default()
    };
    Ok(Read {
        patch: writer.finish(&patch_metadata)?,
        kinds,
    })
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The normalisation that the model names, else the backbone's; then what the model does to its input itself.
fn input(imported: &Imported, properties: &Properties, own: &Input) -> Input {
    let mut input = Input {
        mean: properties.mean.unwrap_or(own.mean),
        std: properties.std.unwrap_or(own.std),
        ..*own
    };
    if let Some(affine) = &imported.input_affine {
        affine.compose(&mut input.mean, &mut input.std);
    }
    input
}

fn as_backbone(
    imported: &Imported,
    input: Input,
    backbone: &BackboneImage<'_>,
) -> Result<Backbone, ExportError> {
    let settings = Settings {
        mean: input.mean,
        std: input.std,
        max_classes: backbone.max_classes(),
        metadata: BackboneMetadata::default(),
    };
    Ok(Backbone::from_bytes(&compile(&imported.graph, settings)?)?)
}

/// Labels belong to the head: those of the model, or the backbone's where their number is right.
fn labels(
    named: Option<Vec<String>>,
    kinds: Kinds,
    model: &BackboneImage<'_>,
    own: &BackboneMetadata,
) -> Vec<String> {
    if !kinds.contains(Kinds::HEAD) {
        return Vec::new();
    }
    let classes = model.tensor(model.layer_count()).shape.channels;
    [named.unwrap_or_default(), own.labels.clone()]
        .into_iter()
        .find(|labels| labels.len() == classes)
        .unwrap_or_default()
}

fn same_structure(
    model: &BackboneImage<'_>,
    backbone: &BackboneImage<'_>,
    metadata: &BackboneMetadata,
) -> Result<(), ExportError> {
    let different = |layer: usize, found: String, expected: String| ExportError::Layer {
        layer,
        name: metadata.layers.get(layer).cloned().unwrap_or_default(),
        found,
        expected,
    };
    let count = backbone.layer_count();
    for index in 0..count.max(model.layer_count()) {
        let [found, expected] = [model, backbone].map(|image| {
            (index < image.layer_count()).then(|| (image.layer(index), site(image, index)))
        });
        let is_head = index + 1 == count;
        let is_same = match (&found, &expected) {
            (Some((found, sizes)), Some((expected, own))) => {
                is_same_layer(found, expected) && (sizes == own || is_head && sizes[1] == own[1])
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => false,
        };
        if !is_same {
            return Err(different(index, describe(found), describe(expected)));
        }
    }
    Ok(())
}

/// Output channels and weights of each.
fn site(image: &BackboneImage<'_>, layer: usize) -> [usize; 2] {
    let site = image.layer(layer).site.map(|site| image.site(site));
    site.map_or([0; 2], |site| [site.outputs, site.depth])
}

fn is_same_layer(found: &Layer, expected: &Layer) -> bool {
    let arity = found.op.arity();
    found.op == expected.op
        && found.inputs[..arity] == expected.inputs[..arity]
        && found.window == expected.window
        && found.activation == expected.activation
        && found.count_padding == expected.count_padding
}

fn describe(layer: Option<(Layer, [usize; 2])>) -> String {
    let Some((layer, [outputs, depth])) = layer else {
        return "no such layer".into();
    };
    let mut text = layer.op.name().to_owned();
    if layer.site.is_some() {
        text += &format!(" of {outputs} x {depth} weights");
    }
    let inputs = &layer.inputs[..layer.op.arity()];
    text + &format!(
        " reading {inputs:?}, kernel {:?}, stride {:?}, padding {:?}, then {:?}",
        layer.window.kernel, layer.window.stride, layer.window.padding, layer.activation
    )
}

/// The change that a model makes to one site.
struct Change {
    site: usize,
    kind: Kinds,
    weights: Option<Vec<f32>>,
    epilogue: Option<(Vec<f32>, Vec<f32>)>,
}

fn changes(
    model: &BackboneImage<'_>,
    backbone: &BackboneImage<'_>,
    metadata: &BackboneMetadata,
) -> Result<Vec<Change>, ExportError> {
    let mut changes = Vec::new();
    for index in 0..backbone.site_count() {
        let site = backbone.site(index);
        let (found, own) = (Values::of(model, index), Values::of(backbone, index));
        if found == own {
            continue;
        }
        let mut change = Change {
            site: index,
            kind: Kinds::default(),
            weights: None,
            epilogue: None,
        };
        if site.is_head {
            change.kind = Kinds::HEAD;
            change.weights = Some(found.weights);
            change.epilogue = Some(found.epilogue);
            changes.push(change);
            continue;
        }
        let mut epilogue = found.epilogue;
        if found.weights != own.weights {
            if let Some(unfolded) = unfold(&found.weights, &own.weights, &epilogue, &own.epilogue) {
                epilogue = unfolded;
            } else if site.is_depthwise {
                change.kind = Kinds::DW;
                change.weights = Some(found.weights);
            } else {
                let own = metadata.sites.get(index);
                return Err(ExportError::Frozen {
                    site: index,
                    name: own.map_or(String::new(), |site| site.weight.clone()),
                });
            }
        }
        if epilogue != own.epilogue {
            change.kind = change.kind.with(Kinds::BN);
            change.epilogue = Some(epilogue);
        }
        if change.kind != Kinds::default() {
            changes.push(change);
        }
    }
    Ok(changes)
}

/// The values of a site, row-major.
#[derive(PartialEq)]
struct Values {
    weights: Vec<f32>,
    epilogue: (Vec<f32>, Vec<f32>),
}

impl Values {
    fn of(image: &BackboneImage<'_>, index: usize) -> Self {
        let site = image.site(index);
        let weights = image.weights(&site);
        Self {
            weights: unpack_weights(weights, site.outputs, site.depth, site.is_depthwise),
            epilogue: unpack_epilogue(image.epilogue(&site), site.outputs),
        }
    }
}
