//! `patchtool run`: top labels of images.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use graft_runtime::{Patch, Session};
use serde_json::json;

use super::images::Images;
use super::inputs::InputsFolder;
use super::ranking::Ranking;
use crate::commands::arguments::Model;
use crate::report::{Report, Table};
use crate::task;

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool run --backbone lite0.backbone --patch flowers.patch --patch birds.patch photo.jpg
  patchtool run --backbone lite0.backbone photos

Several patches share the layers in which they are the same, such as those before `train --from-layer`.

Each label comes with its probability, the softmax of all scores (of a single one its sigmoid), and its score. The probability
says what the network believes, which may be surer than it is right: `patchtool calibrate` gives a patch the temperature
by which the scores are divided for it. Images that cannot be read are named, the others have their rows all the
same; the exit status is 2 then.")]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// JPEG or PNG images, or folders of them.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Labels to print for each image.
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// With --json: all scores as well.
    #[arg(long, requires = "json")]
    scores: bool,
    /// Write the preprocessed inputs to this folder: one raw little-endian f32 NHWC file for each image and patch.
    #[arg(long, value_name = "DIR")]
    dump_inputs: Option<PathBuf>,
    /// Threads that share each layer.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Runs images through patches.
///
/// # Errors
/// A model that cannot be opened, not one image that can be read.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let (backbone, tasks) = task::open(&arguments.model.backbone, &arguments.model.patch)?;
    let mut session = Session::with_threads(&backbone, arguments.threads)?;
    let mut images = Images::find(&arguments.images)?;
    let mut inputs = arguments
        .dump_inputs
        .as_deref()
        .map(InputsFolder::create)
        .transpose()?;
    // What sees the same pixels can share layers.
    let groups = task::alike(&tasks, |one, other| one.preprocess == other.preprocess);
    let mut table = Table::new(&["image", "patch", "top"]);
    let mut results = Vec::new();
    images.for_each(|name, image| {
        let mut scores = vec![Vec::new(); tasks.len()];
        for group in &groups {
            let patches: Vec<&Patch> = group.iter().map(|&at| &tasks[at].patch).collect();
            let pixels = tasks[group[0]].preprocess.pixels(image);
            session.run_many(&patches, &pixels, |index, of| {
                scores[group[index]] = of.to_vec();
            })?;
        }
        for (task, scores) in tasks.iter().zip(scores) {
            if let Some(inputs) = &mut inputs {
                inputs.push(&task.preprocess.tensor(image))?;
            }
            let temperature = task.patch.temperature();
            let ranking = Ranking::new(&scores, arguments.top, temperature, |index| {
                task.label(index)
            });
            let mut result = ranking.json(&name, &task.name);
            if arguments.scores {
                result["scores"] = json!(scores);
            }
            results.push(result);
            table.row([name.clone(), task.name.clone(), ranking.line()]);
        }
        Ok(())
    })?;
    images.report(table.to_string(), json!({ "results": results }))
}
