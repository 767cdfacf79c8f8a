//! `patchtool import`: a network from elsewhere to a backbone.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use graft_patches::metadata::{BackboneMetadata, Resize};
use graft_runtime::Backbone;
use serde_json::json;

use crate::cli::Output;
use crate::data::labels::read_labels;
use crate::hint::Hint;
use crate::import::compile::{Settings, compile};
use crate::import::graph::Graph;
use crate::import::onnx::InputAffine;
use crate::import::torch::Arch;
use crate::import::{onnx, torch};
use crate::output;
use crate::report::{Report, bytes};

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
    /// PyTorch state dict, instead of an ONNX model.
    #[arg(long, value_name = "FILE.pth", requires = "arch")]
    torch: Option<PathBuf>,
    /// Architecture of the state dict: efficientnet-lite0, -lite1, -lite2 or mobilenet-v2.
    #[arg(long, requires = "torch")]
    arch: Option<Arch>,
    #[command(flatten)]
    output: Output,
    /// Side of the input in pixels, or HEIGHTxWIDTH: the largest that patches may use.
    #[arg(long, value_parser = resolution)]
    resolution: Option<[usize; 2]>,
    /// Subtracted from pixels (0 to 255): one value, or one a channel with commas.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    mean: Vec<f32>,
    /// Divides the difference: one value, or one a channel with commas.
    #[arg(long, value_delimiter = ',')]
    std: Vec<f32>,
    /// Class names: one a line, or index TAB name.
    #[arg(long, value_name = "FILE.tsv")]
    labels: Option<PathBuf>,
    /// Name of the backbone; by default the file's.
    #[arg(long)]
    name: Option<String>,
    /// How photographs are resized: `stretch`, or `crop:SHARE` (shorter side to input / SHARE, then centre crop).
    #[arg(long, default_value = "crop:0.875", value_parser = resize)]
    resize: Resize,
    /// Most classes that patches may have; by default 1,000 or the network's own if more.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_classes: Option<u32>,
}

fn resolution(text: &str) -> Result<[usize; 2], String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height @ 1..=8192), Ok(width @ 1..=8192)) => Ok([height, width]),
        _ => Err("expected a side from 1 to 8192, or HEIGHTxWIDTH".into()),
    }
}

fn resize(text: &str) -> Result<Resize, String> {
    let share = text
        .strip_prefix("crop:")
        .and_then(|share| share.parse::<f32>().ok());
    match share {
        Some(share) if (0.1..=1.0).contains(&share) => Ok(Resize::Crop {
            share: (share * 1000.0).round() as u32,
        }),
        _ if text == "stretch" => Ok(Resize::Stretch),
        _ => Err("expected stretch, or crop:SHARE with a share from 0.1 to 1".into()),
    }
}

/// Imports a network.
///
/// # Errors
/// Whatever cannot be read, served or written.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let Output { output, force } = &arguments.output;
    output::check(output, *force)?;
    let (graph, affine, source) = load(arguments)?;
    let [mean, std] = normalisation(arguments, &graph, affine)?;
    let labels = arguments.labels.as_deref().map(read_labels).transpose()?;
    let labels = labels.unwrap_or_default();
    let classes = graph.tensors.last().map_or(0, |scores| scores.channels);
    if !labels.is_empty() && labels.len() != classes {
        bail!(Hint::new(
            format!("{} labels for {classes} classes", labels.len()),
            "give a file with one label for each class of the network",
        ));
    }
    let source = source.file_name().unwrap_or_default().to_string_lossy();
    let stem = source.split('.').next().unwrap_or_default();
    let settings = Settings {
        mean,
        std,
        max_classes: arguments
            .max_classes
            .map_or(DEFAULT_CLASSES, |max| max as usize),
        metadata: BackboneMetadata {
            name: arguments.name.clone().unwrap_or_else(|| stem.to_owned()),
            source: source.to_string(),
            tool: concat!("patchtool ", env!("CARGO_PKG_VERSION")).into(),
            resize: arguments.resize,
            labels,
            ..BackboneMetadata::default()
        },
    };
    let image = compile(&graph, settings)?;
    // What a device would refuse is not written.
    let backbone = Backbone::from_bytes(&image)?;
    output::write_atomically(output, *force, |file| file.write_all(&image))?;
    Ok(report(&backbone, output))
}

fn load(arguments: &Arguments) -> Result<(Graph, Option<InputAffine>, &Path)> {
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
        return Ok((torch::load(file, arch, side)?, None, file));
    }
    let Some(file) = &arguments.model else {
        bail!(Hint::new(
            "no model".into(),
            "give an ONNX model, or --torch with --arch"
        ));
    };
    let imported = onnx::load(file, arguments.resolution)?;
    Ok((imported.graph, imported.input_affine, file))
}

/// Mean and standard deviation: those given, those in the model, or those that the architecture was trained with.
fn normalisation(
    arguments: &Arguments,
    graph: &Graph,
    affine: Option<InputAffine>,
) -> Result<[[f32; 4]; 2]> {
    let channels = graph.tensors.first().map_or(0, |input| input.channels);
    let is_given = !arguments.mean.is_empty() || !arguments.std.is_empty();
    if let Some(InputAffine { scale, offset }) = affine {
        if is_given {
            bail!(Hint::new(
                "the model normalises its own input".into(),
                "leave out --mean and --std: the import takes them from the model",
            ));
        }
        let mean: Vec<f32> = offset
            .iter()
            .zip(&scale)
            .map(|(offset, scale)| -offset / scale)
            .collect();
        let std: Vec<f32> = scale.iter().map(|scale| 1.0 / scale).collect();
        return Ok([
            per_channel(&mean, channels, 0.0)?,
            per_channel(&std, channels, 1.0)?,
        ]);
    }
    let [default_mean, default_std]: [&[f32]; 2] = match arguments.arch {
        _ if is_given => [&[0.0], &[1.0]],
        Some(Arch::EfficientNetLite0 | Arch::EfficientNetLite1 | Arch::EfficientNetLite2) => {
            [&[127.0], &[128.0]]
        }
        Some(Arch::MobileNetV2) => [&IMAGENET[0], &IMAGENET[1]],
        None => {
            tracing::warn!(
                "no --mean and --std: pixels are taken from 0 to 255 with mean 0 and std 1; \
                 accuracy suffers if the network was trained otherwise"
            );
            [&[0.0], &[1.0]]
        }
    };
    let or = |given: &'_ [f32], default: &[f32]| -> Vec<f32> {
        if given.is_empty() {
            default.into()
        } else {
            given.into()
        }
    };
    Ok([
        per_channel(&or(&arguments.mean, default_mean), channels, 0.0)?,
        per_channel(&or(&arguments.std, default_std), channels, 1.0)?,
    ])
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

fn report(backbone: &Backbone, path: &Path) -> Report {
    let image = backbone.image();
    let size = image.bytes().len();
    let text = format!(
        "{}: {} layers, {} sites, input {}, {}, arena {}\nid {}\n",
        path.display(),
        image.layer_count(),
        image.site_count(),
        image.input().shape,
        bytes(size),
        bytes(image.arena_bytes()),
        image.id(),
    );
    let json = json!({
        "backbone": path.display().to_string(),
        "id": image.id().to_string(),
        "layers": image.layer_count(),
        "sites": image.site_count(),
        "bytes": size,
        "arena_bytes": image.arena_bytes(),
    });
    Report::new(text, json)
}
