//! `patchtool inspect`: what is in a file.

mod generator;
mod trained_file;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use graft_patches::container::FORMAT_VERSION;
use graft_patches::geometry::{Activation, Window};
use graft_patches::head_sums::HeadSums;
use graft_patches::metadata::{Calibration, QuantizedFrom, Resize, Training};
use graft_patches::records::{Block, Dtype, Input, Layer, Op};
use graft_patches::signature::Signed;
use graft_patches::{BackboneImage, ContinualState, PatchImage};
use graft_runtime::{Backbone, Patch, Session};
use serde_json::{Value, json};

use crate::file_kind::{Expected, is_safetensors};
use crate::input::{self, ImageFile};
use crate::report::{Report, Table, bytes};

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool inspect lite0.backbone
  patchtool inspect flowers.patch --backbone lite0.backbone")]
pub struct Arguments {
    /// File of a backbone, patch or generator, or one that train wrote.
    file: PathBuf,
    /// Backbone of a patch: checks that they fit, and names the first layer that the patch changes.
    #[arg(short, long, value_name = "B")]
    backbone: Option<PathBuf>,
}

/// Shows what is in a backbone, patch, generator or trained file, after checking all of it.
///
/// # Errors
/// Whatever is wrong with the file.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let file = ImageFile::read(&arguments.file)?;
    let unusable = || format!("cannot use {}", arguments.file.display());
    // First: one in 256 starts with the same byte as a generator.
    if is_safetensors(file.bytes()) {
        if let Some(trained) = trained_file::open(file.bytes()).with_context(unusable)? {
            return Ok(trained_file::report(&trained, file.bytes()));
        }
    } else if let Some(hyper) = generator::open(file.bytes()).with_context(unusable)? {
        return Ok(generator::report(&hyper, file.bytes()));
    }
    file.check_kind(Expected::Graft)?;
    match (file.patch()?, &arguments.backbone) {
        (Some(patch), None) => patch_report(&patch, None),
        (Some(patch), Some(backbone)) => {
            let backbone = input::backbone(backbone)?;
            let bound = Patch::from_bytes(patch.bytes(), &backbone).with_context(unusable)?;
            let layer = bound.receipt().first_patched_layer;
            let names = backbone.image().metadata()?.layers;
            let name = layer.and_then(|layer| names.get(layer).cloned());
            patch_report(&patch, name)
        }
        (None, _) => backbone_report(&input::backbone(&arguments.file)?),
    }
}

fn backbone_report(backbone: &Backbone) -> Result<Report> {
    let image = &backbone.image();
    let metadata = image.metadata()?;
    let input = image.input();
    let mut text = format!(
        "backbone {} (from {}, by {}), format {FORMAT_VERSION}, {}\nid {}\n{}\n{}",
        metadata.name,
        metadata.source,
        metadata.tool,
        image.dtype(),
        image.id(),
        input_line(&input, metadata.resize),
        metadata.quantized.as_ref().map_or(String::new(), quantized),
    );
    let is_int8 = image.dtype() == Dtype::I8;
    let mut heads = vec![
        "layer", "name", "op", "output", "window", "after", "weights", "at", "until", "block",
    ];
    if is_int8 {
        heads.extend(["from", "to", "SNR dB"]);
    }
    let mut table = Table::new(&heads);
    for index in 0..image.layer_count() {
        let layer = image.layer(index);
        let tensor = image.tensor(index + 1);
        let name = metadata.layers.get(index).cloned().unwrap_or_default();
        let weights = layer.site.map(|site| image.site(site));
        let mut row = vec![
            index.to_string(),
            name,
            layer.op.name().into(),
            tensor.shape.to_string(),
            window(&layer),
            activation(&layer),
            weights.map_or(String::new(), |site| {
                (site.outputs * site.depth).to_string()
            }),
            place(image, index),
            tensor.last.to_string(),
            block(image, index),
        ];
        if is_int8 {
            let scale = image.scales()[index + 1].get().outer;
            row.extend([-128, 127].map(|byte| format!("{:.3}", scale.value(byte))));
            let noise = metadata.quantized.as_ref();
            let noise = noise.and_then(|quantized| quantized.signal_to_noise.get(index));
            row.push(noise.map_or(String::new(), |noise| format!("{noise:.1}")));
        }
        table.row(row);
    }
    let arena = Session::arena_len(backbone);
    let cortex_m_arena = Session::cortex_m_arena_len(backbone);
    writeln!(text, "{table}")?;
    writeln!(
        text,
        "{} layers, {} sites, {} labels, room for {} classes, {}; file {}\narena {}, of them activations {}; on a Cortex-M {}",
        image.layer_count(),
        image.site_count(),
        metadata.labels.len(),
        image.max_classes(),
        signed(image.signed()),
        bytes(image.bytes().len()),
        bytes(arena),
        bytes(image.arena_bytes()),
        bytes(cortex_m_arena),
    )?;
    let json = json!({
        "kind": "backbone",
        "format_version": FORMAT_VERSION,
        "id": image.id().to_string(),
        "name": metadata.name,
        "dtype": image.dtype().to_string(),
        "quantized": metadata.quantized.as_ref().map(|quantized| json!({
            "from": quantized.from.to_string(),
            "calibration": calibration_json(&quantized.calibration),
            "snr_db": quantized.signal_to_noise,
        })),
        "layers": image.layer_count(),
        "sites": image.site_count(),
        "labels": metadata.labels.len(),
        "bytes": image.bytes().len(),
        "arena_bytes": arena,
        "activation_bytes": image.arena_bytes(),
        "cortex_m_arena_bytes": cortex_m_arena,
        "blocks": blocks(image),
        "first_patched_layer": null,
        "signed_by": image.signed().map(|signed| signed.key.to_string()),
        "counter": image.signed().map(|signed| signed.counter),
    });
    Ok(Report::new(text, json))
}

/// The signature, which only `verify` checks.
fn signed(signed: Option<Signed>) -> String {
    signed.map_or("not signed".into(), |signed| {
        let Signed { key, counter, .. } = signed;
        format!("signed with key {key}, counter {counter}")
    })
}

/// Where a layer's output is in the arena; what is inside of a block has no place there.
fn place(image: &BackboneImage<'_>, layer: usize) -> String {
    match image
        .blocks()
        .any(|block| block.inner().contains(&(layer + 1)))
    {
        true => String::new(),
        false => image.tensor(layer + 1).offset.to_string(),
    }
}

/// The fused block that a layer is in.
fn block(image: &BackboneImage<'_>, layer: usize) -> String {
    let block = image.blocks().find(|block| block.layers().contains(&layer));
    block.map_or(String::new(), |block| {
        let height = image.tensor(block.last + 1).shape.height;
        format!(
            "{}-{}, {} of {height} rows",
            block.first, block.last, block.rows
        )
    })
}

fn blocks(image: &BackboneImage<'_>) -> Vec<Value> {
    let json =
        |block: Block| json!({ "first": block.first, "last": block.last, "rows": block.rows });
    image.blocks().map(json).collect()
}

fn input_line(input: &Input, resize: Resize) -> String {
    let channels = input.shape.channels;
    format!(
        "input {}, mean {:?}, std {:?}, {resize}",
        input.shape,
        &input.mean[..channels],
        &input.std[..channels],
    )
}

fn quantized(quantized: &QuantizedFrom) -> String {
    format!(
        "quantised from {}, {}",
        quantized.from,
        calibration(&quantized.calibration)
    )
}

fn calibration(calibration: &Calibration) -> String {
    format!(
        "scales by {} of {} images of data set {:.12}\n",
        calibration.method, calibration.images, calibration.data,
    )
}

fn calibration_json(calibration: &Calibration) -> Value {
    json!({
        "method": calibration.method,
        "images": calibration.images,
        "data": calibration.data.to_string(),
    })
}

fn trained(training: &Training) -> String {
    let accuracy = match training.test_images {
        0 => String::from("not tested"),
        images => format!(
            "{:.2} % of {images} test images right",
            100.0 * training.test_accuracy
        ),
    };
    format!(
        "trained: {} by {}, seed {}, {accuracy} after epoch {}, on {} images of data set {:.12}\n",
        training.kind,
        training.tool,
        training.seed,
        training.best_epoch,
        training.images,
        training.data,
    )
}

fn continual_state(state: &ContinualState) -> String {
    let examples: u64 = state
        .classes
        .iter()
        .map(|class| u64::from(class.examples))
        .sum();
    format!(
        "learned: {} classes of {} tasks, {examples} examples, counter {}\n",
        state.classes.len(),
        state.tasks(),
        state.counter,
    )
}

fn head_sums(sums: HeadSums<'_>) -> String {
    let examples = (0..sums.classes()).map(|class| i64::from(sums.class(class)[0].get()));
    format!(
        "sums to learn on from: {} examples of {} classes in {} of {} dimensions, {}\n",
        examples.sum::<i64>(),
        sums.classes(),
        sums.dimensions(),
        sums.inputs(),
        bytes(sums.bytes()),
    )
}

fn window(layer: &Layer) -> String {
    if layer.window == Window::POINT || layer.op == Op::GlobalAveragePool {
        return String::new();
    }
    let Window { kernel, stride, .. } = layer.window;
    format!("{}x{}/{}", kernel[0], kernel[1], stride[0])
}

fn activation(layer: &Layer) -> String {
    match layer.activation {
        Activation::NONE => String::new(),
        Activation::RELU => "relu".into(),
        Activation::RELU6 => "relu6".into(),
        Activation::Clamp { min, max } => format!("clamp {min}..{max}"),
        Activation::HardSwish => "hard-swish".into(),
        Activation::HardSigmoid { .. } => "hard-sigmoid".into(),
    }
}

fn first_patched_layer(layer: Option<u16>, name: Option<&str>) -> String {
    match (layer, name) {
        (Some(layer), Some(name)) => format!("first patched layer {layer} ({name})"),
        (Some(layer), None) => format!("first patched layer {layer}"),
        (None, _) => "all values the backbone's own".into(),
    }
}

/// `first` is the name of the first layer that the patch changes, where its backbone is known.
fn patch_report(image: &PatchImage<'_>, first: Option<String>) -> Result<Report> {
    let metadata = image.metadata()?;
    let mut table = Table::new(&["site", "what", "channels", "bytes"]);
    let mut sites = Vec::new();
    for replacement in image.replacements() {
        sites.push(replacement.site);
        table.row([
            replacement.site.to_string(),
            replacement.what.to_string(),
            replacement.outputs.to_string(),
            replacement.values.bytes().len().to_string(),
        ]);
    }
    sites.dedup();
    let input = image.input();
    let dtype = image.dtype();
    let state = image.continual_state()?;
    let temperature = image.temperature().map_or(String::new(), |temperature| {
        format!("temperature {temperature:.3}\n")
    });
    let text = format!(
        "patch {} ({}, by {}), kind {}, format {}, {dtype}\n{}{}{}{}{temperature}for backbone {}\n{}\n{table}\
         {} sites, {}, {} labels, {}, file {}\n",
        metadata.name,
        metadata.source,
        metadata.tool,
        image.kinds(),
        FORMAT_VERSION,
        metadata.training.as_ref().map_or(String::new(), trained),
        metadata
            .calibration
            .as_ref()
            .map_or(String::new(), calibration),
        state.as_ref().map_or(String::new(), continual_state),
        image.head_sums().map_or(String::new(), head_sums),
        image.backbone_id(),
        input_line(&input, metadata.resize),
        sites.len(),
        first_patched_layer(metadata.first_patched_layer, first.as_deref()),
        metadata.labels.len(),
        signed(image.signed()),
        bytes(image.bytes().len()),
    );
    let json = json!({
        "kind": "patch",
        "kinds": image.kinds().to_string(),
        "format_version": FORMAT_VERSION,
        "id": image.digest().to_string(),
        "backbone": image.backbone_id().to_string(),
        "name": metadata.name,
        "dtype": dtype.to_string(),
        "input": {
            "shape": [input.shape.height, input.shape.width, input.shape.channels],
            "mean": &input.mean[..input.shape.channels],
            "std": &input.std[..input.shape.channels],
            "resize": metadata.resize.to_string(),
        },
        "training": metadata.training.as_ref().map(|training| json!({
            "kind": training.kind,
            "tool": training.tool,
            "seed": training.seed,
            "data": training.data.to_string(),
            "images": training.images,
            "test_images": training.test_images,
            "best_epoch": training.best_epoch,
            "test_accuracy": training.test_accuracy,
        })),
        "temperature": image.temperature(),
        "calibration": metadata.calibration.as_ref().map(calibration_json),
        "learned": state.as_ref().map(|state| json!({
            "counter": state.counter,
            "tasks": state.tasks(),
            "classes": state.classes.iter().map(|class| json!({
                "task": class.task,
                "examples": class.examples,
            })).collect::<Vec<_>>(),
        })),
        "layers": null,
        "sites": sites.len(),
        "labels": metadata.labels.len(),
        "bytes": image.bytes().len(),
        "arena_bytes": null,
        "sums_bytes": image.head_sums().map(|sums| sums.bytes()),
        "first_patched_layer": metadata.first_patched_layer,
        "first_patched_layer_name": first,
        "signed_by": image.signed().map(|signed| signed.key.to_string()),
        "counter": image.signed().map(|signed| signed.counter),
    });
    Ok(Report::new(text, json))
}
