//! `patchtool verify`: whether a patch is whose it should be.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use graft_patches::signature::{PublicKey, Signed};
use graft_patches::{BackboneImage, ImageError, PatchImage};
use serde_json::json;

use crate::input::ImageFile;
use crate::keys;
use crate::report::Report;

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 where a trusted key has signed it, 1 where none has, 2 where the file is damaged or no patch.

Examples:
  patchtool verify flowers.patch --key fleet.pub
  patchtool verify flowers.patch --key fleet.pub --key next.pub"
)]
pub struct Arguments {
    /// Patch or backbone.
    file: PathBuf,
    /// Public key that is trusted; twice while keys are changed.
    #[arg(short, long, value_name = "PUB", required = true)]
    key: Vec<PathBuf>,
}

/// Checks the signature of a file, and with it every byte.
///
/// # Errors
/// Whatever cannot be read.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let trust = keys::trust(&arguments.key)?;
    let file = ImageFile::of_graft(&arguments.file)?;
    let (claimed, checked) = match file.patch()? {
        Some(patch) => {
            let checked = PatchImage::open_signed(file.bytes(), &trust);
            (patch.signed(), checked.map(|(_, key)| key))
        }
        None => {
            let checked = BackboneImage::open_signed(file.bytes(), &trust);
            (file.backbone()?.signed(), checked.map(|(_, key)| key))
        }
    };
    Ok(report(arguments, claimed, checked))
}

fn report(
    arguments: &Arguments,
    claimed: Option<Signed>,
    checked: Result<PublicKey, ImageError>,
) -> Report {
    let name = arguments.file.display();
    let text = match checked {
        Ok(key) => format!(
            "{name}: signed with key {}, counter {}\n",
            key.id(),
            claimed.map_or(0, |signed| signed.counter)
        ),
        Err(error) => format!("{name}: {error}\nhint: {}\n", error.hint()),
    };
    let json = json!({
        "file": name.to_string(),
        "is_trusted": checked.is_ok(),
        "signed_by": claimed.map(|signed| signed.key.to_string()),
        "counter": claimed.map(|signed| signed.counter),
        "error": checked.err().map(|error| error.to_string()),
    });
    Report::check(text, json, checked.is_ok())
}
