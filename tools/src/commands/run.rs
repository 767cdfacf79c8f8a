//! `patchtool run`: top labels of images.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use graft_runtime::Session;
use serde_json::{Value, json};

use super::inputs::InputsFolder;
use crate::cli::Model;
use crate::data::image_file;
use crate::report::{Report, Table};
use crate::task::{self, Task};

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool run --backbone lite0.backbone --patch flowers.patch --patch birds.patch photo.jpg")]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// JPEG or PNG images.
    #[arg(required = true)]
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
/// Whatever cannot be opened or read.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let (backbone, tasks) = task::open(&arguments.model.backbone, &arguments.model.patch)?;
    let mut session = Session::with_threads(&backbone, arguments.threads)?;
    let images = arguments
        .images
        .iter()
        .map(|path| image_file::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut inputs = arguments
        .dump_inputs
        .as_deref()
        .map(InputsFolder::create)
        .transpose()?;
    let mut table = Table::new(&["image", "patch", "top"]);
    let mut results = Vec::new();
    for (path, image) in arguments.images.iter().zip(&images) {
        for task in &tasks {
            if let Some(inputs) = &mut inputs {
                inputs.push(&task.preprocess.tensor(image))?;
            }
            let scores = session.run(&task.patch, &task.preprocess.pixels(image))?;
            let top = top(scores, arguments.top);
            let name = path.display().to_string();
            table.row([name.clone(), task.name.clone(), line(task, &top)]);
            results.push(result(
                task,
                &name,
                &top,
                arguments.scores.then_some(scores),
            ));
        }
    }
    Ok(Report::new(
        table.to_string(),
        json!({ "results": results }),
    ))
}

/// The best scores, best first; of equal ones the first.
fn top(scores: &[f32], count: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.truncate(count);
    ranked
}

fn line(task: &Task, top: &[(usize, f32)]) -> String {
    let labels: Vec<String> = top
        .iter()
        .map(|&(index, score)| format!("{} {score:.2}", task.label(index)))
        .collect();
    labels.join(", ")
}

fn result(task: &Task, image: &str, top: &[(usize, f32)], scores: Option<&[f32]>) -> Value {
    let top: Vec<Value> = top
        .iter()
        .map(
            |&(index, score)| json!({ "label": task.label(index), "index": index, "score": score }),
        )
        .collect();
    let mut result = json!({ "image": image, "patch": task.name, "top": top });
    if let Some(scores) = scores {
        result["scores"] = json!(scores);
    }
    result
}
