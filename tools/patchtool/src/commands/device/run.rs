//! `patchtool device run`: as `patchtool run`, on the device.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use graft_client::content;
use serde_json::json;

use super::TaskArguments;
use crate::commands::arguments::Line;
use crate::commands::images::Images;
use crate::commands::ranking::Ranking;
use crate::report::{Report, Table};
use crate::task::preprocess;

/// Arguments of `device run`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool device run photo.jpg --port /dev/ttyACM0 --slot 1")]
pub(super) struct Arguments {
    /// JPEG or PNG images, or folders of them.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    line: Line,
    #[command(flatten)]
    task: TaskArguments,
    /// Labels to print for each image.
    #[arg(long, default_value_t = 5)]
    top: usize,
}

/// Runs images on a device.
pub(super) fn run(arguments: &Arguments) -> Result<Report> {
    let mut images = Images::find(&arguments.images)?;
    let mut client = arguments.line.connect()?;
    let device = client.device()?;
    let task = arguments.task.task(&mut client)?;
    let content = content(&mut client, task)?;
    let preprocess = preprocess(&content.input, content.resize)?;
    let mut table = Table::new(&["image", "patch", "ms", "top"]);
    let mut results = Vec::new();
    images.for_each(|name, image| {
        let run = client.run(&preprocess.pixels(image), Some(task))?;
        let ranking = Ranking::new(&run.scores, arguments.top, 1.0, |index| {
            content.label(index)
        });
        let milliseconds = device.seconds(run.ticks) * 1e3;
        let mut result = ranking.json(&name, &content.name);
        result["scores"] = json!(run.scores);
        result["ms"] = json!(milliseconds);
        results.push(result);
        table.row([
            name,
            content.name.clone(),
            format!("{milliseconds:.1}"),
            ranking.line(),
        ]);
        Ok(())
    })?;
    let json = json!({ "task": super::task_name(task), "results": results });
    images.report(table.to_string(), json)
}
