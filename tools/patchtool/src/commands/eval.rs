//! `patchtool eval`: accuracy on labelled images.

mod cascade;
pub(super) mod scores;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use self::scores::Seen;
use super::inputs::InputsFolder;
use crate::commands::arguments::{Common, Model};
use crate::confusion::{Confusion, predicted};
use crate::hint::Hint;
use crate::report::{Report, Table};
use crate::task::{self, Task};
use graft_data::dataset::Dataset;
use graft_data::left_out::{Kind, LeftOut};
use graft_data::output;

/// Arguments of `eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool eval --backbone lite0.backbone --data imagenet-sample.tar
  patchtool eval --backbone lite0.backbone --patch flowers.patch --data flowers/test --confusion flowers.png
  patchtool eval --backbone lite0.backbone --data flowers/test --cascade f96.patch,f160.patch,f224.patch --confidence 0.9 --curve f.png

A cascade divides scores by the temperature that `patchtool calibrate` has put into each patch. Choose its confidence by
validation images, not by those that it is tested with.")]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Folder, tar or zip archive laid out class/image.(jpg|png).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Images that are worked on at the same time; by default one a core.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Draw the confusion matrix as a picture.
    #[arg(long, value_name = "F.png")]
    confusion: Option<PathBuf>,
    /// Overwrite pictures that exist.
    #[arg(long)]
    force: bool,
    /// Patches of growing resolution: each image is run with one after the other until one is sure.
    #[arg(
        long,
        value_name = "P,P,...",
        value_delimiter = ',',
        conflicts_with_all = ["patch", "confusion", "dump_inputs"]
    )]
    cascade: Vec<PathBuf>,
    #[command(flatten)]
    stop: Stop,
    /// Write the preprocessed inputs and `labels.txt` to this folder.
    #[arg(long, value_name = "DIR")]
    dump_inputs: Option<PathBuf>,
}

/// When a cascade stops.
#[derive(Debug, Args)]
struct Stop {
    /// Probability of a class that is sure enough.
    #[arg(long, value_name = "X", default_value_t = 0.9, value_parser = cascade::confidence, requires = "cascade")]
    confidence: f64,
    /// Draw accuracy against cost as a picture, over all confidences.
    #[arg(long, value_name = "F.png", requires = "cascade")]
    curve: Option<PathBuf>,
}

/// Counts of one class.
#[derive(Clone, Debug, Default)]
struct Count {
    images: usize,
    top1: usize,
    top5: usize,
}

/// Measures a patch, or the backbone's own head.
///
/// # Errors
/// Whatever cannot be opened, or data whose classes are not the task's.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    if !arguments.cascade.is_empty() {
        return cascade::run(arguments, common);
    }
    let (backbone, tasks) = task::open(&arguments.model.backbone, &arguments.model.patch)?;
    let [task] = tasks.as_slice() else {
        bail!(Hint::new(
            format!("{} patches", tasks.len()),
            "eval takes one --patch: run it once for each",
        ));
    };
    if let Some(path) = &arguments.confusion {
        output::check(path, arguments.force)?;
        for input in arguments
            .model
            .patch
            .iter()
            .chain([&arguments.model.backbone, &arguments.data])
        {
            output::check_apart(path, input)?;
        }
    }
    let dataset = Dataset::open(&arguments.data)?;
    let mut dump = Dump::new(arguments, task)?;
    let mut counts = vec![Count::default(); task.patch.classes()];
    let mut confusion = Confusion::default();
    let effort = (arguments.threads, common);
    let left_out = scores::for_each(&backbone, &tasks, &dataset, effort, |seen| {
        for Seen {
            target,
            pixels,
            scores,
        } in seen
        {
            let rank = rank(&scores, target);
            let count = &mut counts[target];
            count.images += 1;
            count.top1 += usize::from(rank < 1);
            count.top5 += usize::from(rank < 5);
            if let Some(predicted) = predicted(&scores) {
                confusion.add(target, predicted);
            }
            dump.push(&pixels, target)?;
        }
        Ok(())
    })?;
    dump.finish()?;
    let report = report(task, &counts, &confusion, &left_out);
    if let Some(path) = &arguments.confusion {
        let title = format!("{}: {} images", task.name, confusion.images());
        let picture = confusion.picture(&title, |index| task.label(index))?;
        picture.write(path, arguments.force)?;
    }
    Ok(report)
}

/// Number of classes that score higher than the target; of equal scores the first wins.
fn rank(scores: &[f32], target: usize) -> usize {
    let of = scores[target];
    scores
        .iter()
        .enumerate()
        .filter(|&(index, &score)| score > of || (score == of && index < target) || score.is_nan())
        .count()
}

/// `--dump-inputs`.
struct Dump<'a> {
    task: &'a Task,
    to: Option<(InputsFolder, PathBuf)>,
    targets: String,
}

impl<'a> Dump<'a> {
    fn new(arguments: &Arguments, task: &'a Task) -> Result<Self> {
        let to = match &arguments.dump_inputs {
            Some(folder) => Some((InputsFolder::create(folder)?, folder.join("labels.txt"))),
            None => None,
        };
        Ok(Self {
            task,
            to,
            targets: String::new(),
        })
    }

    fn push(&mut self, pixels: &[u8], target: usize) -> Result<()> {
        let Some((inputs, _)) = &mut self.to else {
            return Ok(());
        };
        let mut values = vec![0.0; pixels.len()];
        self.task.preprocess.normalise(pixels, &mut values);
        self.targets += &format!("{target}\n");
        inputs.push(&values)
    }

    fn finish(self) -> Result<()> {
        let Some((_, path)) = self.to else {
            return Ok(());
        };
        output::write_atomically(&path, true, |file| file.write_all(self.targets.as_bytes()))?;
        Ok(())
    }
}

fn report(task: &Task, counts: &[Count], confusion: &Confusion, left_out: &LeftOut) -> Report {
    let sum = |of: fn(&Count) -> usize| counts.iter().map(of).sum::<usize>();
    let (images, top1, top5) = (sum(|c| c.images), sum(|c| c.top1), sum(|c| c.top5));
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    // Of five classes the right one is always among the first five.
    let has_top5 = counts.len() > 5;
    let heads = ["class", "images", "top-1 %", "top-5 %"];
    let mut table = Table::new(if has_top5 { &heads } else { &heads[..3] });
    let mut per_class = Vec::new();
    let seen = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| count.images > 0);
    for (index, count) in seen {
        let accuracy = share(count.top1, count.images);
        let top5 = share(count.top5, count.images);
        let percent = |share: f64| format!("{:.1}", 100.0 * share);
        let mut row = vec![
            task.label(index),
            count.images.to_string(),
            percent(accuracy),
        ];
        row.extend(has_top5.then(|| percent(top5)));
        table.row(row);
        per_class.push(json!({
            "label": task.label(index), "index": index, "count": count.images, "accuracy": accuracy, "top5": top5,
        }));
    }
    let accuracy = share(top1, images);
    let top5_words = match has_top5 {
        true => format!(", top-5 {:.2} %", 100.0 * share(top5, images)),
        false => String::new(),
    };
    let summary = format!(
        "{}: top-1 {:.2} %{top5_words} of {images} images in {} classes\n",
        task.name,
        100.0 * accuracy,
        per_class.len(),
    );
    let hidden = confusion.hidden(|index| task.label(index));
    let note = match left_out.total() {
        0 => String::new(),
        _ => format!("left out: {left_out}\n"),
    };
    let json = json!({
        "patch": task.name,
        "accuracy": accuracy,
        "balanced_accuracy": confusion.balanced_accuracy(),
        "top5": share(top5, images),
        "count": images,
        "unreadable": left_out.count(Kind::Unreadable),
        "left_out": left_out,
        "per_class": per_class,
        "confusion": confusion.json(|index| task.label(index)),
    });
    let confusion = confusion.table(|index| task.label(index));
    let confusion = confusion.map_or(String::new(), |table| format!("\n{table}\n"));
    Report::new(format!("{table}{confusion}{note}{hidden}{summary}"), json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_go_to_the_first_class_and_nan_never_counts_as_right() {
        assert_eq!(rank(&[1.0, 3.0, 3.0], 1), 0);
        assert_eq!(rank(&[1.0, 3.0, 3.0], 2), 1);
        assert!(rank(&[f32::NAN, 0.0], 0) > 0);
    }
}
