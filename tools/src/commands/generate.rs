//! `patchtool generate`: a patch of a few labelled images.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch};
use serde_json::json;

use crate::cli::Output;
use crate::hyper::{Support, prototype};
use crate::output;
use crate::report::{Report, bytes};
use crate::task;
use crate::threads;

/// Arguments of `generate`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool generate --method prototype --backbone lite0.backbone --support drawings -o drawings.patch")]
pub struct Arguments {
    /// How the patch is made.
    #[arg(long)]
    method: Method,
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// Folder or tar archive with a few images of each class, laid out class/image.(jpg|png).
    #[arg(long, value_name = "DIR")]
    support: PathBuf,
    /// Task name; by default that of the folder or archive.
    #[arg(long)]
    name: Option<String>,
    /// Store values in half precision; for an int8 backbone, its tables.
    #[arg(long)]
    f16: bool,
    #[command(flatten)]
    output: Output,
}

/// How a patch is made of a support set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// A head of class means: of any backbone, in closed form.
    Prototype,
}

/// Makes a patch of a support set.
///
/// # Errors
/// Whatever cannot be read, does not fit the backbone, or cannot be written.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let Output { output, force } = &arguments.output;
    output::check(output, *force)?;
    for input in [&arguments.backbone, &arguments.support] {
        output::check_apart(output, input)?;
    }
    threads::start(0)?;
    let backbone = Backbone::open(&arguments.backbone)?;
    let image = backbone.image();
    let resize = task::uncropped(image.metadata()?.resize);
    let preprocess = task::preprocess(&image.input(), resize)?;
    let support = Support::read(&arguments.support, &preprocess)
        .with_context(|| format!("cannot learn from {}", arguments.support.display()))?;
    let start = Instant::now();
    let generated = match arguments.method {
        Method::Prototype => prototype::generate(&name(arguments), &backbone, &support)?,
    };
    let patch = match (image.dtype(), arguments.f16) {
        (Dtype::I8, false) => {
            generated
                .quantize(&backbone, &support.images, Dtype::I8)?
                .bytes
        }
        (Dtype::I8, true) => {
            generated
                .quantize(&backbone, &support.images, Dtype::I8Half)?
                .bytes
        }
        (_, false) => generated.compile(&image, Dtype::F32)?,
        (_, true) => generated.compile(&image, Dtype::F16)?,
    };
    // What a device would refuse is not written.
    let receipt = Patch::from_bytes(&patch, &backbone)?.receipt();
    let milliseconds = 1e3 * start.elapsed().as_secs_f64();
    output::write_atomically(output, *force, |file| file.write_all(&patch))?;
    let (images, classes) = (support.classes.len(), support.labels.len());
    let text = format!(
        "{}: {} patch, {}, {}, in {milliseconds:.0} ms\n",
        output.display(),
        receipt.kinds,
        generated.source,
        bytes(patch.len()),
    );
    let json = json!({
        "patch": output.display().to_string(),
        "kinds": receipt.kinds.to_string(),
        "images": images,
        "classes": classes,
        "labels": support.labels,
        "bytes": patch.len(),
        "generate_ms": milliseconds,
    });
    Ok(Report::new(text, json))
}

fn name(arguments: &Arguments) -> String {
    let own = arguments.support.file_stem().unwrap_or_default();
    let own = own.to_string_lossy().into_owned();
    arguments.name.clone().unwrap_or(own)
}
