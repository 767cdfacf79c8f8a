//! Simultaneous training: one backbone and a patch for each of several tasks.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Error};
use serde_json::json;

use super::report::report;
use super::tasks::Source;
use super::{Arguments, Validation, prepare};
use crate::commands::arguments::Common;
use crate::input;
use crate::report::Report;
use crate::threads;
use crate::train::backbone::{untrained, with_values};
use crate::train::checkpoint::{self, CheckpointError};
use crate::train::joint::{Joint, JointOutcome, load, rounds};
use crate::train::lock::RunLock;
use crate::train::progress::{Lines, Progress};
use graft_data::output::{self, OutputError};

/// Trains, and writes the backbone and a trained file for each task.
pub(super) fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let started = Instant::now();
    let sources = arguments.sources()?;
    let outputs = Outputs::new(&arguments.output.output, &sources)?;
    let _lock = outputs.check(arguments, &sources)?;
    threads::start(arguments.threads)?;
    let resumed = match arguments.resume {
        true => Some(load(&outputs.checkpoint)?),
        false => None,
    };
    let backbone = start(arguments)?;
    let shares: Vec<usize> = sources.iter().map(|source| source.share).collect();
    let (mut runs, mut learners) = (Vec::new(), Vec::new());
    for (index, source) in sources.iter().enumerate() {
        let (mut run, learner) = prepare(arguments, source, &backbone, common, started)?;
        run.checkpoint = None;
        // Tasks of the same images learn from them in another order each.
        run.plan.seed += index as u64;
        run.fingerprint = run
            .fingerprint
            .with("the number of tasks", sources.len())
            .with("the name of a task", &source.name)
            .with("--share", source.share);
        learners.push(learner.sharing(
            &backbone.image(),
            arguments.kind,
            arguments.tasks.task.is_empty(),
        ));
        runs.push(run);
    }
    if let Some(resumed) = &resumed {
        for (task, run) in resumed.iter().zip(&runs) {
            task.check(&outputs.checkpoint, &run.fingerprint)?;
        }
    }
    let rounds = rounds(&runs, &shares);
    let images = runs.iter().zip(&shares).map(|(run, share)| {
        // Of a whole epoch of the task's own, which is this one's where its share is as large as its images are many.
        let (count, steps) = (run.examples.count(), run.examples.steps(run.plan.batch));
        rounds * share * count / steps
    });
    let images = images.sum();
    let before = resumed.as_ref().map_or(0, |resumed| {
        let so_far = resumed.iter().map(|task| task.so_far.images);
        resumed[0].epoch * images + so_far.sum::<usize>()
    });
    let epochs = runs[0].plan.epochs;
    let progress = Progress::new(epochs, images, before, common.watch(), Lines::Epochs);
    let joint = Joint {
        runs,
        shares,
        kind: arguments.kind,
        name: arguments.name(),
        checkpoint: outputs.checkpoint.clone(),
    };
    let outcome = joint.train(learners, resumed, &progress)?;
    outputs.write(&outcome, arguments)?;
    checkpoint::remove(&outputs.checkpoint).context("cannot remove the checkpoint")?;
    Ok(joint_report(&outcome, &outputs))
}

/// The backbone to start from.
fn start(arguments: &Arguments) -> Result<Backbone> {
    let backbone = input::backbone(&arguments.backbone)?;
    if !arguments.tasks.from_scratch {
        return Ok(backbone);
    }
    let image = backbone.image();
    let found = image.dtype();
    if found != Dtype::F32 {
        bail!(Error::NotFloat { found });
    }
    let values = untrained(&image, arguments.seed)?;
    let fresh = with_values(&image, &values, |metadata| metadata.labels.clear())?;
    Ok(Backbone::from_bytes(&fresh)?)
}

/// What is written.
struct Outputs {
    backbone: PathBuf,
    /// A trained file for each task.
    tasks: Vec<PathBuf>,
    checkpoint: PathBuf,
    _made: Option<Made>,
}

/// A folder that was made, and goes again where nothing is written to it.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        // One with files stays.
        let _ = fs::remove_dir(&self.0);
    }
}

impl Outputs {
    fn new(folder: &Path, sources: &[Source<'_>]) -> Result<Self> {
        let made = match fs::create_dir(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => None,
            Err(source) => {
                let path = folder.to_owned();
                return Err(OutputError::Failed { path, source }.into());
            }
            Ok(()) => Some(Made(folder.to_owned())),
        };
        let backbone = folder.join("backbone.backbone");
        let Some(checkpoint) = checkpoint::path_for(&backbone) else {
            return Err(CheckpointError::Stdout.into());
        };
        let tasks = sources.iter();
        Ok(Self {
            tasks: tasks
                .map(|source| folder.join(format!("{}.safetensors", source.name)))
                .collect(),
            backbone,
            checkpoint,
            _made: made,
        })
    }

    /// Before hours of work, as that of one task: whether all can be written, and nobody else is about to.
    fn check(&self, arguments: &Arguments, sources: &[Source<'_>]) -> Result<Option<RunLock>> {
        let force = arguments.output.force;
        let mut outputs: Vec<&Path> = vec![&self.backbone];
        outputs.extend(self.tasks.iter().map(PathBuf::as_path));
        let mut inputs: Vec<&Path> = vec![&arguments.backbone];
        inputs.extend(sources.iter().map(|source| source.data));
        let tasks = &arguments.tasks;
        let held_out = tasks.task_test.iter().chain(&tasks.task_validation);
        inputs.extend(held_out.map(|(_, path)| path.as_path()));
        inputs.extend(arguments.test.as_deref());
        if let Validation::Path(path) = &arguments.validation {
            inputs.push(path);
        }
        let lock = RunLock::take_checked(&self.backbone, || {
            // A run that was killed while it wrote has its checkpoint, and some of the files.
            output::check_all(&outputs, &inputs, force || self.checkpoint.exists())?;
            anyhow::Ok(())
        })?;
        checkpoint::check_free(&self.backbone, arguments.resume, force)?;
        Ok(lock)
    }

    fn write(&self, outcome: &JointOutcome, arguments: &Arguments) -> Result<()> {
        let may_replace = arguments.output.force || arguments.resume;
        let backbone = Backbone::from_bytes(&outcome.backbone)?;
        for (path, task) in self.tasks.iter().zip(&outcome.tasks) {
            let bytes = task.trained.to_bytes(&backbone.image())?;
            output::write_atomically(path, may_replace, |file| file.write_all(&bytes))?;
        }
        output::write_atomically(&self.backbone, may_replace, |file| {
            file.write_all(&outcome.backbone)
        })?;
        Ok(())
    }
}

fn joint_report(outcome: &JointOutcome, outputs: &Outputs) -> Report {
    let reports: Vec<Report> = outcome.tasks.iter().map(report).collect();
    let mut text: String = reports.iter().map(|report| report.text.as_str()).collect();
    text += &format!(
        "{}: {} values that all {} tasks share\n",
        outputs.backbone.display(),
        outcome.shared,
        reports.len(),
    );
    let first = &outcome.tasks[0];
    let json = json!({
        "backbone": outputs.backbone,
        "backbone_bytes": outcome.backbone.len(),
        "shared_params": outcome.shared,
        "best_epoch": first.trained.metrics.best_epoch,
        "epochs": first.history.len(),
        "diverged": first.diverged,
        "seconds": first.trained.metrics.seconds,
        "tasks": reports.into_iter().map(|report| report.json).collect::<Vec<_>>(),
    });
    Report::new(text, json)
}
