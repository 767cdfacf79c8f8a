//! `patchtool quantize`: an int8 backbone of an f32 one.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use graft_patches::BackboneImage;
use graft_runtime::{Backbone, Session};
use serde_json::{Value, json};

use crate::bar;
use crate::commands::arguments::{Common, Output};
use crate::input;
use crate::quantize::{self, Images, Method, QuantizedBackbone};
use crate::report::{Report, Table, bytes};
use crate::threads;
use graft_data::output;

/// Arguments of `quantize`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool quantize lite0.backbone --calibrate photos.tar -o lite0-int8.backbone

Keep the result: another machine may round a scale differently, and patches belong to one id.")]
pub struct Arguments {
    /// Backbone file, f32.
    #[arg(value_name = "B")]
    backbone: PathBuf,
    #[command(flatten)]
    calibration: CalibrationArguments,
    /// Round every weight to the nearest byte, in place of keeping the mean of what each output channel computes.
    #[arg(long)]
    plain_rounding: bool,
    #[command(flatten)]
    output: Output,
}

/// Choice of the scales of activations.
#[derive(Debug, Args)]
pub(super) struct CalibrationArguments {
    /// Folder, tar or zip archive with images like those that the device will see, laid out class/image.(jpg|png).
    #[arg(long, value_name = "DIR")]
    pub(super) calibrate: PathBuf,
    #[command(flatten)]
    pub(super) settings: CalibrationSettings,
}

/// As [`CalibrationArguments`], where the images are optional.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct CalibrationSettings {
    /// Number of the images to calibrate with, evenly spread.
    #[arg(long, value_name = "N", default_value_t = 200, requires = "calibrate", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) calibration_images: u32,
    /// Range of each activation: minmax, percentile:P (all but the outermost 100 - P in a hundred at each end), or mse
    /// (least squared error).
    #[arg(long, default_value_t, requires = "calibrate")]
    pub(super) method: Method,
}

/// Quantises a backbone.
///
/// # Errors
/// Whatever cannot be read, quantised or written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let Output { output, force } = &arguments.output;
    let CalibrationArguments {
        calibrate,
        settings,
    } = &arguments.calibration;
    output::check(output, *force)?;
    for input in [&arguments.backbone, calibrate] {
        output::check_apart(output, input)?;
    }
    threads::start(0)?;
    let backbone = input::backbone(&arguments.backbone)?;
    let (input, resize) = (
        backbone.image().input(),
        backbone.image().metadata()?.resize,
    );
    let count = settings.calibration_images as usize;
    let images = Images::read(calibrate, count, &input, resize, &common.watch())?;
    let bar = bar::images(2 * images.pixels.len(), &common.watch());
    let settings = quantize::Settings {
        method: settings.method,
        keep_means: !arguments.plain_rounding,
    };
    let quantized = quantize::backbone(&backbone, &images, settings, &bar)
        .with_context(|| format!("cannot quantise {}", arguments.backbone.display()))?;
    bar.finish_and_clear();
    output::write_atomically(output, *force, |file| file.write_all(&quantized.bytes))?;
    report(arguments, &backbone, &quantized, &images)
}

fn report(
    arguments: &Arguments,
    backbone: &Backbone,
    quantized: &QuantizedBackbone,
    images: &Images,
) -> Result<Report> {
    let float = backbone.image();
    let layers = layers(&float, quantized)?;
    let mut table = Table::new(&["layer", "name", "op", "from", "to", "SNR dB", "change dB"]);
    for (index, layer) in layers.iter().enumerate() {
        let text = |key: &str| layer[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| {
            layer[key]
                .as_f64()
                .map_or(String::new(), |x| format!("{x:.1}"))
        };
        table.row([
            index.to_string(),
            text("name"),
            text("op"),
            format!("{:.3}", layer["range"][0].as_f64().unwrap_or_default()),
            format!("{:.3}", layer["range"][1].as_f64().unwrap_or_default()),
            number("snr_db"),
            number("change_db"),
        ]);
    }
    let int8 = Backbone::from_bytes(&quantized.bytes)?;
    let output = &arguments.output.output;
    let arenas = [backbone, &int8].map(Session::arena_len);
    let scores = quantized.signal_to_noise.last().copied();
    let scores = scores.unwrap_or_default();
    let text = format!(
        "{table}\
         SNR: signal to noise against f32. Change: what the layer itself adds; look first where that is below -3 dB.\n\
         scores: {scores:.1} dB, {}\n\
         {}: int8, {}, f32 {}; arena {}, f32 {}; {} images, {}\n",
        quantize::grade(scores),
        output.display(),
        bytes(quantized.bytes.len()),
        bytes(float.bytes().len()),
        bytes(arenas[1]),
        bytes(arenas[0]),
        images.pixels.len(),
        arguments.calibration.settings.method,
    );
    let json = json!({
        "backbone": output.display().to_string(),
        "id": int8.id().to_string(),
        "from": backbone.id().to_string(),
        "bytes": quantized.bytes.len(),
        "arena_bytes": arenas[1],
        "method": arguments.calibration.settings.method.to_string(),
        "images": images.pixels.len(),
        "left_out": images.left_out,
        "layers": layers,
    });
    Ok(Report::new(text, json))
}

/// Of each layer: what its bytes reach, its signal-to-noise ratio, and how much that is above that of its worst operand: the
/// noise that the layer itself adds.
fn layers(image: &BackboneImage<'_>, quantized: &QuantizedBackbone) -> Result<Vec<Value>> {
    let names = image.metadata()?.layers;
    let ratios = &quantized.signal_to_noise;
    let layers = (0..image.layer_count()).map(|index| {
        let layer = image.layer(index);
        let operands = &layer.inputs[..layer.op.arity()];
        let before = operands
            .iter()
            .filter_map(|input| ratios.get(input.checked_sub(1)?));
        let before = before.copied().reduce(f32::min);
        let finite = |ratio: f32| ratio.is_finite().then_some(ratio);
        json!({
            "name": names.get(index),
            "op": layer.op.name(),
            "range": [quantized.ranges[index].0, quantized.ranges[index].1],
            "snr_db": finite(ratios[index]),
            "change_db": before.and_then(|before| finite(ratios[index] - before)),
        })
    });
    Ok(layers.collect())
}
