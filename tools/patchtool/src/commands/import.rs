//! `patchtool import`: a network from elsewhere to a backbone.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use graft_patches::metadata::{BackboneMetadata, Filter, Fit, Resize};
use graft_patches::records::Input;
use graft_runtime::{Backbone, Session};
use serde_json::{Value, json};

use self::verify::{Source, Verification};
use super::arguments::{Common, Output, above_zero, resolution};
use crate::export::properties::Properties;
use crate::hint::Hint;
use crate::import::compile::{Settings, compile};
use crate::import::onnx::Imported;
use crate::import::torch::Arch;
use crate::import::{int8, onnx, torch};
use crate::report::{Report, bytes};
use graft_data::labels::read_labels;
use graft_data::output;

mod lowest;
mod verify;

/// Mean and standard deviation of ImageNet's pixels, which torchvision's models are trained with.
const IMAGENET: [[f32; 3]; 2] = [[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]];
/// Room for this many classes at least, unless `--max-classes` says otherwise.
const DEFAULT_CLASSES: usize = 1000;

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool import mobilenet.onnx -o mobilenet.backbone --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375
  patchtool import --torch efficientnet-lite0.pth --arch efficientnet-lite0 --labels imagenet-classes.tsv -o lite0.backbone")]
pub struct Arguments {
    /// ONNX model.
    #[arg(required_unless_present = "torch", conflicts_with = "torch")]
    model: Option<PathBuf>,
    /// PyTorch state dict, checkpoint or .safetensors, instead of an ONNX model.
    #[arg(long, value_name = "FILE.pth", requires = "arch")]
    torch: Option<PathBuf>,
    /// Architecture of the state dict: efficientnet-lite0, -lite1, -lite2 or mobilenet-v2.
    #[arg(long, requires = "torch")]
    arch: Option<Arch>,
    /// Key of the state dict in a checkpoint that has several, such as model_ema.
    #[arg(long, requires = "torch")]
    key: Option<String>,
    #[command(flatten)]
    output: Output,
    /// Side of the input in pixels, or HEIGHTxWIDTH: the largest that patches may use.
    #[arg(long, value_parser = resolution)]
    resolution: Option<[usize; 2]>,
    /// Subtracted from pixels (0 to 255): one value, or one a channel with commas.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true, value_parser = finite)]
    mean: Vec<f32>,
    /// Divides the difference: one value above zero, or one a channel with commas.
    #[arg(long, value_delimiter = ',', value_parser = above_zero)]
    std: Vec<f32>,
    /// Class names: one a line, or index TAB name.
    #[arg(long, value_name = "FILE.tsv")]
    labels: Option<PathBuf>,
    /// Name of the backbone; by default the file's.
    #[arg(long)]
    name: Option<String>,
    /// Resizing of photographs: `stretch`, or `crop:SHARE` (scaled to cover input / SHARE, then the centre), each
    /// with `:bicubic` or `:bilinear` behind it. By default as the architecture was trained, else crop:0.875:bilinear.
    #[arg(long)]
    resize: Option<Resize>,
    /// Most classes that patches may have; by default 1,000 or the network's own if more.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_classes: Option<u32>,
    #[command(flatten)]
    verification: Verification,
}

fn finite(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value: &f32| value.is_finite());
    value.ok_or_else(|| "expected a finite number".into())
}

/// Preprocessing where the user gives no `--mean`, `--std` or `--resize`.
struct Recipe {
    mean: Vec<f32>,
    std: Vec<f32>,
    resize: Resize,
}

impl Recipe {
    /// The preprocessing that the published weights of an architecture were trained with.
    fn of(arch: Arch) -> Self {
        let crop = |share, filter| Resize {
            fit: Fit::Crop { share },
            filter,
        };
        if arch == Arch::MobileNetV2 {
            return Self {
                mean: IMAGENET[0].into(),
                std: IMAGENET[1].into(),
                resize: crop(875, Filter::Bilinear),
            };
        }
        // EfficientNets keep side / (side + 32), the margin of their training crops.
        let side = arch.resolution() as u32;
        Self {
            mean: vec![127.0],
            std: vec![128.0],
            resize: crop(1000 * side / (side + 32), Filter::Bicubic),
        }
    }

    /// For a model of unknown origin: pixels as they are, resized as torchvision does.
    fn unknown() -> Self {
        Self {
            mean: vec![0.0],
            std: vec![1.0],
            resize: Resize {
                fit: Fit::Crop { share: 875 },
                filter: Filter::Bilinear,
            },
        }
    }
}

/// Imports a network.
///
/// # Errors
/// Whatever cannot be read, served or written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    arguments.verification.check()?;
    let Output { output, force } = &arguments.output;
    output::check(output, *force)?;
    for input in arguments
        .model
        .iter()
        .chain(&arguments.torch)
        .chain(&arguments.labels)
    {
        output::check_apart(output, input)?;
    }
    let recipe = arguments.arch.map_or_else(Recipe::unknown, Recipe::of);
    let (imported, path) = load(arguments)?;
    let properties = properties(&imported)?;
    let source = Source {
        path,
        normalisation: normalisation(arguments, &recipe, &imported, &properties)?,
        ending: imported.ending,
        ending_step: imported.ending_step,
    };
    let settings = settings(arguments, &recipe, &imported, properties, &source)?;
    let mut image = compile(&imported.graph, settings.clone())?;
    // A backbone that a device would refuse is not written.
    let mut backbone = Backbone::from_bytes(&image)?;
    if let Some(quantization) = &imported.quantized {
        if quantization.lowest > 0 {
            let note = lowest::note(&backbone, &imported.graph, quantization, settings)?;
            tracing::warn!("{note}");
        }
        image = int8::compile(&backbone.image(), quantization)?;
        backbone = Backbone::from_bytes(&image)?;
    }
    let verdict = arguments.verification.run(&source, &backbone, common)?;
    if let Some(verdict) = &verdict
        && !verdict.is_ok
    {
        return Ok(refused(verdict, output));
    }
    output::write_atomically(output, *force, |file| file.write_all(&image))?;
    Ok(report(&backbone, output, verdict))
}

/// What a model that `patchtool export` wrote says about its input and labels.
fn properties(imported: &Imported) -> Result<Properties> {
    let input = Input {
        shape: imported.graph.tensors.first().copied().unwrap_or_default(),
        mean: [0.0; 4],
        std: [1.0; 4],
    };
    Ok(Properties::read(&imported.properties, &input)?)
}

/// All that the network itself does not say.
fn settings(
    arguments: &Arguments,
    recipe: &Recipe,
    imported: &Imported,
    properties: Properties,
    source: &Source<'_>,
) -> Result<Settings> {
    let labels = arguments.labels.as_deref().map(read_labels).transpose()?;
    let labels = labels.or(properties.labels).unwrap_or_default();
    let scores = imported.graph.tensors.last();
    let classes = scores.map_or(0, |scores| scores.channels);
    if !labels.is_empty() && labels.len() != classes {
        bail!(Hint::new(
            format!("{} labels for {classes} classes", labels.len()),
            "give a file with one label for each class of the network",
        ));
    }
    // The network starts behind what the model itself does to its input.
    let [mut mean, mut std] = source.normalisation;
    if let Some(affine) = &imported.input_affine {
        affine.compose(&mut mean, &mut std);
    }
    let word = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let name = arguments.name.clone();
    let max_classes = arguments.max_classes.map(|max| max as usize);
    Ok(Settings {
        mean,
        std,
        max_classes: max_classes.unwrap_or(DEFAULT_CLASSES),
        metadata: BackboneMetadata {
            name: name.unwrap_or_else(|| word(source.path.file_stem())),
            source: word(source.path.file_name()),
            tool: crate::TOOL.into(),
            resize: arguments
                .resize
                .or(properties.resize)
                .unwrap_or(recipe.resize),
            labels,
            ..BackboneMetadata::default()
        },
    })
}

fn load(arguments: &Arguments) -> Result<(Imported, &Path)> {
    if let (Some(file), Some(arch)) = (&arguments.torch, arguments.arch) {
        let side = match arguments.resolution {
            Some([height, width]) if height != width => {
                bail!(Hint::new(
                    format!("--resolution {height}x{width} for an architecture with square inputs"),
                    "give one side",
                ))
            }
            other => other.map(|[side, _]| side),
        };
        return Ok((
            torch::load(file, arch, side, arguments.key.as_deref())?,
            file,
        ));
    }
    let Some(file) = &arguments.model else {
        bail!(Hint::new(
            "no model".into(),
            "give an ONNX model, or --torch with --arch"
        ));
    };
    Ok((onnx::load(file, arguments.resolution)?, file))
}

/// Mean and standard deviation of pixels: those given, those that the model says, or those that the architecture was
/// trained with.
fn normalisation(
    arguments: &Arguments,
    recipe: &Recipe,
    imported: &Imported,
    properties: &Properties,
) -> Result<[[f32; 4]; 2]> {
    let affine = &imported.input_affine;
    let channels = imported
        .graph
        .tensors
        .first()
        .map_or(0, |input| input.channels);
    let given = [&arguments.mean, &arguments.std];
    check_units(given)?;
    if imported.reads_bytes && given.iter().any(|values| !values.is_empty()) {
        bail!(Hint::new(
            "--mean and --std for a model that reads pixels as bytes, 0 to 255".into(),
            "leave them out: the model normalises its input itself, if at all",
        ));
    }
    let own = [properties.mean, properties.std];
    let is_unknown = |at: usize| given[at].is_empty() && own[at].is_none();
    let is_open = arguments.arch.is_none() && !imported.reads_bytes;
    if is_open && (is_unknown(0) || is_unknown(1)) {
        tracing::warn!(
            "without {} pixels are taken from 0 to 255{}; accuracy suffers if the network was trained otherwise",
            if is_unknown(0) { "--mean" } else { "--std" },
            if affine.is_some() {
                ", which the model then normalises itself"
            } else {
                ""
            },
        );
    }
    let or = |at: usize, trained: &[f32], unused| match (given[at].is_empty(), own[at]) {
        (false, _) => per_channel(given[at], channels, unused),
        (true, Some(own)) => Ok(own),
        (true, None) => per_channel(trained, channels, unused),
    };
    Ok([or(0, &recipe.mean, 0.0)?, or(1, &recipe.std, 1.0)?])
}

/// Refuses numbers for pixels from 0 to 1, which PyTorch's recipes give: those here run from 0 to 255.
fn check_units([mean, std]: [&Vec<f32>; 2]) -> Result<()> {
    let is_mean = mean.iter().any(|&value| value != 0.0) && mean.iter().all(|v| v.abs() <= 1.0);
    let is_std = !std.is_empty() && std.iter().all(|&value| value > 0.0 && value < 1.0);
    for (flag, values, is_fraction) in [("--mean", mean, is_mean), ("--std", std, is_std)] {
        if is_fraction {
            let in_pixels = |value: &f32| ((value * 255_000.0).round() / 1000.0).to_string();
            let pixels: Vec<String> = values.iter().map(in_pixels).collect();
            bail!(Hint::new(
                format!(
                    "{flag} is given for pixels from 0 to 1; for those from 0 to 255 it is {}",
                    pixels.join(",")
                ),
                "give --mean and --std in pixel units: 255 times those numbers",
            ));
        }
    }
    Ok(())
}

fn per_channel(values: &[f32], channels: usize, unused: f32) -> Result<[f32; 4]> {
    let mut all = [unused; 4];
    match values {
        [value] => all[..channels.min(4)].fill(*value),
        _ if values.len() == channels => all[..channels].copy_from_slice(values),
        _ => bail!(Hint::new(
            format!(
                "{} values of --mean or --std for {channels} channels",
                values.len()
            ),
            "give one value, or one for each channel with commas",
        )),
    }
    Ok(all)
}

/// The end of an import that is not what the model computes.
fn refused(verdict: &Report, path: &Path) -> Report {
    let text = format!("{}{} was not written\n", verdict.text, path.display());
    Report::check(text, json!({ "verify": verdict.json }), false)
}

fn report(backbone: &Backbone, path: &Path, verdict: Option<Report>) -> Report {
    let image = backbone.image();
    let size = image.bytes().len();
    let text = format!(
        "{}: {} layers, {} sites, input {}, {}, arena {}\nid {}\n",
        path.display(),
        image.layer_count(),
        image.site_count(),
        image.input().shape,
        bytes(size),
        bytes(Session::arena_len(backbone)),
        image.id(),
    );
    let mut json = json!({
        "backbone": path.display().to_string(),
        "id": image.id().to_string(),
        "layers": image.layer_count(),
        "sites": image.site_count(),
        "bytes": size,
        "arena_bytes": Session::arena_len(backbone),
    });
    let mut all = verdict.unwrap_or_else(|| Report::new(String::new(), Value::Null));
    if !all.json.is_null() {
        json["verify"] = all.json;
    }
    all.text += &text;
    Report::new(all.text, json)
}
