//! `patchtool device teach`, `forget` and `learn`: the device makes itself a head of frames that it sees.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use graft_client::{Client, DeviceError, Task, Taught, content};
use serde_json::{Value, json};

use crate::commands::arguments::Line;
use crate::commands::images::Images;
use crate::commands::taught::recipe;
use crate::hint::Hint;
use crate::report::{Report, bytes};
use crate::task::preprocess;
use crate::taught::on_device;
use graft_data::composed;

/// Arguments of `device teach`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool device teach cat photos/cat-1.jpg photos/cat-2.jpg --port /dev/ttyACM0
  patchtool device teach dog photos/dogs --port /dev/ttyACM0
  patchtool device learn --slot 0 --port /dev/ttyACM0")]
pub(super) struct TeachArguments {
    /// Class of the images: a new one if the device does not know it.
    label: String,
    /// JPEG or PNG images, or folders of them.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    line: Line,
}

/// Arguments of `device learn`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Number of the slot that the patch is written to.
    #[arg(long, value_name = "N")]
    slot: u8,
    /// Task name.
    #[arg(long, default_value = "taught")]
    name: String,
    /// JSON file with the steps and the confidence of scores, as of generate; by default the device's own, of GD++.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    line: Line,
}

/// Adds images to a class.
pub(super) fn teach(arguments: &TeachArguments) -> Result<Report> {
    let label = label(&arguments.label)?;
    let mut images = Images::find(&arguments.images)?;
    let mut client = arguments.line.connect()?;
    let device = client.device()?;
    let content = content(&mut client, Task::Own)?;
    let preprocess = preprocess(&content.input, content.resize.uncropped())?;
    let mut seconds = Vec::new();
    images.for_each(|_, image| {
        let (_, ticks) = client.teach(&label, &preprocess.pixels(image))?;
        seconds.push(device.seconds(ticks));
        Ok(())
    })?;
    let count = seconds.len();
    let mean = 1e3 * seconds.iter().sum::<f64>() / count.max(1) as f64;
    let text = format!("{count} images for {label}, {mean:.1} ms each\n");
    let (learned, mut json) = described(&mut client)?;
    json["images"] = json!(count);
    json["ms"] = json!(mean);
    images.report(text + &learned, json)
}

/// Takes a class away.
pub(super) fn forget(name: &str, line: &Line) -> Result<Report> {
    let label = label(name)?;
    let mut client = line.connect()?;
    client.forget(&label)?;
    let (text, json) = described(&mut client)?;
    Ok(Report::new(text, json))
}

/// The name of a class, as the host's own classes are spelled.
fn label(name: &str) -> Result<String> {
    if name.is_empty() {
        bail!(Hint::new("a class without a name".into(), "name it"));
    }
    Ok(composed(name))
}

/// Makes a head.
pub(super) fn run(arguments: &Arguments) -> Result<Report> {
    let recipe = arguments.recipe.as_deref().map(recipe).transpose()?;
    let recipe = recipe.as_ref().map(on_device).transpose()?;
    let mut client = arguments.line.connect()?;
    let device = client.device()?;
    let (length, ticks) = client.learn(arguments.slot, &arguments.name, recipe.as_ref())?;
    let milliseconds = 1e3 * device.seconds(ticks);
    let mut report = super::serving(&mut client)?;
    report.text = format!(
        "slot {}: {} patch of {}, made in {milliseconds:.1} ms\n{}",
        arguments.slot,
        arguments.name,
        bytes(length as usize),
        report.text
    );
    report.json["bytes"] = json!(length);
    report.json["ms"] = json!(milliseconds);
    Ok(report)
}

/// What a device was taught, for people and for scripts.
pub(super) fn described(client: &mut Client) -> Result<(String, Value), DeviceError> {
    let Some(Taught { learner, classes }) = client.learner()? else {
        return Ok((String::new(), Value::Null));
    };
    let known: Vec<String> = classes
        .iter()
        .map(|(label, examples)| format!("{label} {examples}"))
        .collect();
    let text = format!(
        "taught {}; room for {} classes in {} dimensions, {}\n",
        match known.is_empty() {
            true => "nothing yet".into(),
            false => known.join(", "),
        },
        learner.capacity,
        learner.dimensions,
        bytes(learner.bytes as usize),
    );
    let classes: Vec<Value> = classes
        .iter()
        .map(|(label, examples)| json!({ "label": label, "examples": examples }))
        .collect();
    let json = json!({
        "classes": classes,
        "capacity": learner.capacity,
        "dimensions": learner.dimensions,
        "bytes": learner.bytes,
    });
    Ok((text, json))
}
