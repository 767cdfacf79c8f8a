//! `patchtool extract`: the backbone's own values as a patch.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::{Dtype, Kinds};
use graft_patches::writer::{Int8PatchWriter, PatchWriter};
use graft_runtime::Patch;
use serde_json::json;

use crate::commands::arguments::Output;
use crate::input;
use crate::report::{Report, bytes};
use graft_data::output;

/// Arguments of `extract`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool extract --backbone lite0.backbone --kind bn+head -o identity.patch")]
pub struct Arguments {
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// Kinds of values to take: head, bn, dw, generated, or several joined by +.
    #[arg(long, default_value = "bn+head")]
    kind: Kinds,
    /// Task name; by default the backbone's.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Writes a patch that changes nothing.
///
/// # Errors
/// Whatever cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let Output { output, force } = &arguments.output;
    output::check(output, *force)?;
    output::check_apart(output, &arguments.backbone)?;
    let backbone = input::backbone(&arguments.backbone)?;
    let base = backbone.image().metadata()?;
    let metadata = PatchMetadata {
        name: arguments.name.clone().unwrap_or_else(|| base.name.clone()),
        source: format!("extracted from {}", base.name),
        tool: base.tool,
        resize: base.resize,
        labels: if arguments.kind.contains(Kinds::HEAD) {
            base.labels
        } else {
            Vec::new()
        },
        ..PatchMetadata::default()
    };
    let image = match backbone.image().dtype() {
        Dtype::I8 | Dtype::I8Half => {
            Int8PatchWriter::identity(backbone.image(), arguments.kind).finish(&metadata)
        }
        Dtype::F32 | Dtype::F16 => {
            PatchWriter::identity(backbone.image(), arguments.kind).finish(&metadata)
        }
    }?;
    // A kind that has no site in this backbone makes an empty patch, which is refused here.
    let receipt = Patch::from_bytes(&image, &backbone)?.receipt();
    output::write_atomically(output, *force, |file| file.write_all(&image))?;
    let text = format!(
        "{}: {} patch, {} sites, {}\n",
        output.display(),
        receipt.kinds,
        receipt.sites,
        bytes(image.len())
    );
    let json = json!({
        "patch": output.display().to_string(),
        "kinds": receipt.kinds.to_string(),
        "sites": receipt.sites,
        "bytes": image.len(),
    });
    Ok(Report::new(text, json))
}
