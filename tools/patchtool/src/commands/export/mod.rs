//! `patchtool export`: trained values to a device patch, to a standard ONNX model, and from one.

mod int8;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use graft_patches::geometry::Shape;
use graft_patches::records::Dtype;
use graft_patches::writer;
use graft_patches::{PatchImage, Verify};
use graft_runtime::{Backbone, ImageBytes, Patch};
use serde_json::{Value, json};

use super::arguments::resolution;
use super::quantize::CalibrationSettings;
use crate::commands::arguments::Common;
use crate::export::{self, ExportError, WeightsFile};
use crate::file_kind::Expected;
use crate::hint::Hint;
use crate::input::{self, ImageFile};
use crate::keys;
use crate::report::{Report, bytes};
use crate::trained::Trained;
use graft_data::output;

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool export flowers.safetensors --backbone lite0.backbone -o flowers.patch
  patchtool export flowers.safetensors --backbone lite0.backbone --onnx flowers.onnx
  patchtool export --from-onnx flowers.onnx --backbone lite0.backbone -o flowers.patch
  patchtool export flowers.safetensors --backbone lite0-int8.backbone --calibrate flowers.tar -o flowers-int8.patch
  patchtool export learned.patch --backbone small-int8.backbone --calibrate drawings -o learned-int8.patch
  patchtool export --backbone lite0-int8.backbone --onnx lite0-int8.onnx")]
pub struct Arguments {
    /// File that `train` wrote; for an int8 backbone also a patch in f32. With --onnx alone, an int8 backbone's own task is
    /// exported.
    #[arg(
        value_name = "T",
        required_unless_present_any = ["from_onnx", "onnx"],
        conflicts_with = "from_onnx"
    )]
    trained: Option<PathBuf>,
    /// Make the patch of what this ONNX model changes of the backbone.
    #[arg(long, value_name = "T.onnx", conflicts_with = "onnx")]
    from_onnx: Option<PathBuf>,
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// Patch to write.
    #[arg(short, long, value_name = "P", required_unless_present = "onnx")]
    output: Option<PathBuf>,
    /// Also write the task as an ONNX model, with the frozen weights in a file beside it that all tasks share.
    #[arg(long, value_name = "T.onnx")]
    onnx: Option<PathBuf>,
    /// Folder, tar or zip archive with images of the task that give its activations their scales: for an int8 backbone.
    #[arg(long, value_name = "DIR")]
    calibrate: Option<PathBuf>,
    #[command(flatten)]
    calibration: CalibrationSettings,
    /// Store the patch's values in half precision, half of the bytes; for an int8 backbone its tables, whose weights have 8
    /// bits either way.
    #[arg(long)]
    f16: bool,
    /// Side of the input in pixels, or HEIGHTxWIDTH, in place of the one that was trained at. The patch then does not say
    /// how accurate it is: see eval.
    #[arg(long, value_name = "PX", value_parser = resolution, conflicts_with = "from_onnx")]
    resolution: Option<[usize; 2]>,
    /// Task name, in place of the file's own.
    #[arg(long)]
    name: Option<String>,
    /// Sign the patch with this secret key, of `patchtool keygen`.
    #[arg(long, value_name = "KEY", requires = "output")]
    sign: Option<PathBuf>,
    /// With --sign: a number that grows with each patch of the task; by default the time, in seconds since 1970.
    #[arg(long, value_name = "N", value_parser = keys::counter, requires = "sign")]
    counter: Option<u64>,
    /// Overwrite what exists.
    #[arg(long)]
    force: bool,
}

/// Exports a task.
///
/// # Errors
/// Whatever cannot be read, does not fit the backbone, or cannot be written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let input = arguments.trained.iter().chain(&arguments.from_onnx);
    let outputs = arguments.output.iter().chain(&arguments.onnx);
    let outputs: Vec<&Path> = outputs.map(PathBuf::as_path).collect();
    let others = [&arguments.backbone]
        .into_iter()
        .chain(&arguments.calibrate)
        .chain(&arguments.sign);
    let inputs: Vec<&Path> = input.chain(others).map(PathBuf::as_path).collect();
    output::check_all(&outputs, &inputs, arguments.force)?;
    let backbone = input::backbone(&arguments.backbone)?;
    match backbone.image().dtype() {
        Dtype::I8 | Dtype::I8Half => int8::run(arguments, &backbone, common),
        Dtype::F32 | Dtype::F16 => float(arguments, &backbone),
    }
}

/// A task for an f32 backbone.
fn float(arguments: &Arguments, backbone: &Backbone) -> Result<Report> {
    if arguments.calibrate.is_some() {
        bail!(Hint::new(
            "--calibrate is for an int8 backbone, this one is f32".into(),
            "leave it out, or give the backbone that `patchtool quantize` made",
        ));
    }
    if arguments.trained.is_none() && arguments.from_onnx.is_none() {
        bail!(Hint::new(
            "nothing to export: the backbone is f32, expected int8".into(),
            "give the file that `train` wrote: without one, only an int8 backbone's own task is exported",
        ));
    }
    let dtype = if arguments.f16 {
        Dtype::F16
    } else {
        Dtype::F32
    };
    let mut parts = Vec::new();
    if let Some(path) = &arguments.from_onnx {
        let read = export::read(path, &backbone.image(), arguments.name.as_deref(), dtype)
            .with_context(|| format!("cannot make a patch of {}", path.display()))?;
        parts.extend(patch(arguments, backbone, || Ok(read.patch))?);
    }
    if let Some(path) = &arguments.trained {
        let trained = trained(path, arguments)?;
        let unusable = || format!("cannot export {}", path.display());
        trained.check(&backbone.image()).with_context(unusable)?;
        parts.extend(patch(arguments, backbone, || {
            check_kind(&trained)?;
            let image = trained.compile(&backbone.image(), dtype);
            image.with_context(unusable)
        })?);
        if let Some(output) = &arguments.onnx {
            parts.push(model(&trained, backbone, output, arguments.force)?);
        }
    }
    Ok(report(parts))
}

/// A baseline is no patch.
fn check_kind(trained: &Trained) -> Result<(), ExportError> {
    let kind = trained.kind;
    match kind.is_baseline() {
        true => Err(ExportError::Baseline { kind }),
        false => Ok(()),
    }
}

/// A written file: a line for people, keys for scripts.
struct Written {
    text: String,
    json: Value,
}

fn report(parts: Vec<Written>) -> Report {
    let mut text = String::new();
    let mut json = serde_json::Map::new();
    for part in parts {
        text += &part.text;
        if let Value::Object(keys) = part.json {
            json.extend(keys);
        }
    }
    Report::new(text, json.into())
}

/// A trained file, but for what the arguments replace.
fn trained(path: &Path, arguments: &Arguments) -> Result<Trained> {
    let file = ImageFile::read(path)?;
    if PatchImage::open(file.bytes(), Verify::Full).is_ok() {
        bail!(Hint::new(
            format!(
                "{} is a patch, not a file that `train` wrote",
                path.display()
            ),
            "a patch is exported for an int8 backbone only: for an f32 one it is what export makes",
        ));
    }
    file.check_kind(Expected::Trained)?;
    let mut trained = Trained::from_bytes(file.bytes())
        .with_context(|| format!("cannot use {}", path.display()))?;
    if let Some(name) = &arguments.name {
        trained.name.clone_from(name);
    }
    if arguments.resize(&mut trained.input.shape) {
        trained.data.test_images = 0;
        trained.metrics.test_accuracy = 0.0;
    }
    Ok(trained)
}

impl Arguments {
    /// Gives the input the size that was asked for; says whether it had another, which is that of its measured accuracy.
    fn resize(&self, shape: &mut Shape) -> bool {
        let Some(size) = self.resolution else {
            return false;
        };
        let is_other = size != [shape.height, shape.width];
        [shape.height, shape.width] = size;
        is_other
    }
}

/// Writes the patch, if one was asked for.
fn patch(
    arguments: &Arguments,
    backbone: &Backbone,
    make: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Option<Written>> {
    let Some(output) = &arguments.output else {
        return Ok(None);
    };
    let mut image = make()?;
    if let Some(key) = &arguments.sign {
        let aligned = ImageBytes::copied(&image);
        let key = keys::signing(key)?;
        let counter = arguments.counter.unwrap_or_else(keys::counter_of_now);
        image = writer::sign(aligned.as_slice(), &key, counter)?;
    }
    // What a device would refuse is not written.
    let patch = Patch::from_bytes(&image, backbone)?;
    output::write_atomically(output, arguments.force, |file| file.write_all(&image))?;
    let (receipt, view) = (patch.receipt(), patch.image());
    let payload = view.map_or(0, |view| {
        let replacements = view.replacements();
        replacements
            .map(|replacement| replacement.values.bytes().len())
            .sum()
    });
    let dtype = view.map_or(Dtype::F32, |view| view.dtype());
    Ok(Some(Written {
        text: format!(
            "{}: {} patch, {} sites, {}, of them {} values in {dtype}{}\n",
            output.display(),
            receipt.kinds,
            receipt.sites,
            bytes(image.len()),
            bytes(payload),
            patch.signed().map_or(String::new(), |signed| {
                format!(", signed with key {}", signed.key)
            }),
        ),
        json: json!({
            "patch": output.display().to_string(),
            "kinds": receipt.kinds.to_string(),
            "sites": receipt.sites,
            "bytes": image.len(),
            "payload_bytes": payload,
            "dtype": dtype.to_string(),
            "signed_by": patch.signed().map(|signed| signed.key.to_string()),
        }),
    }))
}

/// The reason where the weights take more room than the backbone that they are of.
fn excess(weights: &WeightsFile, backbone: &Backbone) -> String {
    let own = backbone.image().bytes().len();
    if weights.size() <= own {
        return String::new();
    }
    format!(
        " (the backbone has {}: here batch norms are whole, and tensors start on pages of 4 KiB, so that engines can map \
         them, with {} between them)",
        bytes(own),
        bytes(weights.padding()),
    )
}

fn model(trained: &Trained, backbone: &Backbone, output: &Path, force: bool) -> Result<Written> {
    let weights = WeightsFile::new(&backbone.image())?;
    let model = export::write(&backbone.image(), trained, &weights)?;
    let mut text = String::new();
    // A baseline has nothing frozen to share: its model is whole.
    let mut shared = Value::Null;
    if !trained.kind.is_baseline() {
        // Beside stdout there is no place: the weights lie in the current folder then.
        let beside = output.parent().filter(|_| !output::is_stdout(output));
        let folder = beside.filter(|folder| *folder != Path::new(""));
        let path = weights.write(folder.unwrap_or(Path::new(".")), force)?;
        text = format!(
            "{}: frozen weights of all tasks, {}{}\n",
            path.display(),
            bytes(weights.size()),
            excess(&weights, backbone),
        );
        shared = path.display().to_string().into();
    }
    output::write_atomically(output, force, |file| file.write_all(&model))?;
    text += &format!("{}: ONNX model, {}\n", output.display(), bytes(model.len()));
    Ok(Written {
        text,
        json: json!({
            "onnx": output.display().to_string(),
            "onnx_bytes": model.len(),
            "weights": shared,
        }),
    })
}
