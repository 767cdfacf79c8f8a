//! `patchtool calibrate`: gives a patch the temperature at which its probabilities come true.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use graft_patches::writer;
use graft_runtime::Patch;
use serde_json::json;

use crate::commands::arguments::{Common, Output};
use crate::commands::eval::scores;
use crate::confidence::{Calibration, Scored};
use crate::hint::Hint;
use crate::input::{self, ImageFile};
use crate::report::{Report, Table};
use crate::task;
use graft_data::dataset::Dataset;
use graft_data::output;

/// Arguments of `calibrate`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool calibrate flowers.patch --backbone lite0.backbone --validation flowers/validation -o flowers-calibrated.patch

The scores of the patch are divided by the temperature before they become probabilities; which class is first stays the same.
Take images that neither trained nor test the patch. A signature is left out: sign afterwards.")]
pub struct Arguments {
    /// Patch to calibrate.
    patch: PathBuf,
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// Labelled images: a folder, tar or zip archive laid out class/image.(jpg|png).
    #[arg(long, value_name = "DIR")]
    validation: PathBuf,
    /// Images that are worked on at the same time; by default one a core.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    output: Output,
}

/// Calibrates a patch.
///
/// # Errors
/// Whatever cannot be read or written, and data whose classes are not the patch's.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let Output { output, force } = &arguments.output;
    let inputs = [&arguments.patch, &arguments.backbone, &arguments.validation];
    output::check_all(&[output], &inputs.map(PathBuf::as_path), *force)?;
    let backbone = input::backbone(&arguments.backbone)?;
    let base = backbone.image().metadata()?;
    let tasks = [task::open_task(&arguments.patch, &backbone, &base)?];
    let dataset = Dataset::open(&arguments.validation)?;
    let (mut scores_of_all, mut targets) = (Vec::new(), Vec::new());
    let effort = (arguments.threads, common);
    scores::for_each(&backbone, &tasks, &dataset, effort, |seen| {
        for one in seen {
            scores_of_all.extend(one.scores);
            targets.push(one.target);
        }
        Ok(())
    })?;
    let images = targets.len();
    let scored = Scored::new(scores_of_all, targets);
    let Some(temperature) = scored.temperature() else {
        bail!(Hint::new(
            "these scores have no temperature".into(),
            "give a patch of two classes or more, and images of them",
        ));
    };
    let file = ImageFile::of_graft(&arguments.patch)?;
    let image = writer::with_temperature(file.bytes(), temperature)
        .with_context(|| format!("cannot use {}", arguments.patch.display()))?;
    Patch::from_bytes(&image, &backbone)?;
    output::write_atomically(output, *force, |to| to.write_all(&image))?;
    let [before, after] = [1.0, temperature].map(|at| scored.calibration(at));
    let mut table = Table::new(&["temperature", "loss", "calibration error %"]);
    for (at, Calibration { loss, error }) in [(1.0, before), (temperature, after)] {
        table.row([
            format!("{at:.3}"),
            format!("{loss:.4}"),
            format!("{:.2}", 100.0 * error),
        ]);
    }
    let text = format!(
        "{table}{}: calibrated with {images} images\n",
        output.display()
    );
    let json = json!({
        "patch": output.display().to_string(),
        "temperature": temperature,
        "images": images,
        "before": { "loss": before.loss, "error": before.error },
        "after": { "loss": after.loss, "error": after.error },
    });
    Ok(Report::new(text, json))
}
