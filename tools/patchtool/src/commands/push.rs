//! `patchtool push`: a patch goes to a slot of a device.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use graft_client::Push;
use serde_json::json;

use super::device::activate;
use crate::bar;
use crate::commands::arguments::{Common, Line};
use crate::hint::Hint;
use crate::input::{self, ImageFile};
use crate::report::{Report, bytes};

/// Arguments of `push`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool push flowers.patch --port tcp:localhost:4000 --slot 1 --backbone lite0.backbone --activate")]
pub struct Arguments {
    /// Patch file.
    patch: PathBuf,
    #[command(flatten)]
    line: Line,
    /// Slot that it goes to. Without it: the first that is empty, else the first that nothing needs.
    #[arg(long, value_name = "N")]
    slot: Option<u8>,
    /// The int8 backbone: the device then checks, when the patch is activated, that it gives the scores that it must give.
    #[arg(short, long, value_name = "B")]
    backbone: Option<PathBuf>,
    /// Serve it at once, on trial.
    #[arg(long)]
    activate: bool,
    /// Send also the pages that are there already.
    #[arg(long)]
    all: bool,
}

/// Sends a patch to a device.
///
/// # Errors
/// A file that is no patch, or not one for the device's backbone; whatever the device refuses.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let file = ImageFile::of_graft(&arguments.patch)?;
    let Some(patch) = file.patch()? else {
        bail!(Hint::new(
            format!("{} is a backbone", arguments.patch.display()),
            "give a patch: the backbone of a device is part of its firmware",
        ));
    };
    let answer = arguments.backbone.as_deref();
    let answer = answer.map(|backbone| known_answer(backbone, &arguments.patch));
    let options = Push {
        slot: arguments.slot,
        answer: answer.transpose()?,
        all: arguments.all,
    };
    let mut client = arguments.line.connect()?;
    let start = Instant::now();
    let bar = bar::bytes(patch.bytes().len(), common.quiet);
    let pushed = graft_client::push(&mut client, &patch, options, |step| {
        bar.set_position(step.done.into());
    })?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let mut text = format!(
        "slot {}: {}, {} pages sent, {} were there, {seconds:.1} s\n",
        pushed.slot,
        bytes(pushed.bytes as usize),
        pushed.sent,
        pushed.kept,
    );
    let mut json = json!({
        "slot": pushed.slot,
        "bytes": pushed.bytes,
        "pages_sent": pushed.sent,
        "pages_kept": pushed.kept,
        "seconds": seconds,
    });
    let mut is_ok = true;
    if arguments.activate {
        let trial = activate(&mut client, pushed.slot)?;
        text += &trial.text;
        json["activated"] = json!(trial.is_ok);
        is_ok = trial.is_ok;
    }
    Ok(Report::check(text, json, is_ok))
}

fn known_answer(backbone: &Path, patch: &Path) -> Result<[u8; 8]> {
    let opened = input::backbone(backbone)?;
    let bound =
        input::patch(patch, &opened).with_context(|| format!("cannot use {}", patch.display()))?;
    graft_client::answer(&opened, &bound)?.ok_or_else(|| {
        let message = format!("{} is no int8 backbone", backbone.display());
        let hint =
            "leave --backbone out: scores in f32 are not the same to the last bit everywhere";
        Hint::new(message, hint).into()
    })
}
