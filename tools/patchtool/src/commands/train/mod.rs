//! `patchtool train`: a patch from a folder of labelled images.

mod arguments;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use graft_runtime::Backbone;
use serde_json::json;

pub use arguments::{Arguments, BatchNormMode};

use crate::TOOL;
use crate::commands::arguments::{Common, Output};
use crate::hint::Hint;
use crate::report::Report;
use crate::task;
use crate::threads;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::curves;
use crate::train::learner::{Learner, Settings};
use crate::train::progress::{Lines, Progress};
use crate::train::run::{Outcome, Plan, Run};
use crate::train::sets::Request;
use crate::trained::{BackboneRef, DataRef, Metrics, TrainKind, Trained};
use graft_data::cache::default_folder;
use graft_data::output;

/// Trains and writes the trained values of the best epoch.
///
/// # Errors
/// Whatever cannot be read, trained on or written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let outcome = train(arguments, common, Lines::Epochs)?;
    Ok(report(&outcome))
}

/// The same for other commands: the outcome, not a report of it.
pub(crate) fn train(arguments: &Arguments, common: &Common, lines: Lines) -> Result<Outcome> {
    let started = Instant::now();
    arguments.check_outputs()?;
    threads::start(arguments.threads)?;
    let checkpoint = checkpoint::path_for(&arguments.output.output);
    let resumed = match arguments.resume {
        true => Some(Checkpoint::load(&checkpoint)?),
        false => None,
    };
    let backbone = Backbone::open(&arguments.backbone)?;
    let run = prepare(arguments, &backbone, common, started)?;
    if let Some(resumed) = &resumed {
        resumed.check(&checkpoint, &run.fingerprint)?;
    }
    let images = run.examples.count();
    let before = resumed
        .as_ref()
        .map_or(0, |resumed| resumed.epoch * images + resumed.so_far.images);
    let progress = Progress::new(run.plan.epochs, images, before, common.quiet, lines);
    let outcome = run.train(resumed, &progress)?;
    arguments.write(&outcome, &backbone)?;
    checkpoint::remove(&checkpoint).context("cannot remove the checkpoint")?;
    Ok(outcome)
}

impl Arguments {
    /// Before hours of work: whether the results can be written.
    fn check_outputs(&self) -> Result<()> {
        let Output { output, force } = &self.output;
        let others = [&self.curves, &self.confusion].into_iter().flatten();
        let outputs: Vec<&Path> = [output]
            .into_iter()
            .chain(others)
            .map(PathBuf::as_path)
            .collect();
        let inputs = [&self.backbone, &self.data].into_iter().chain(&self.test);
        let inputs: Vec<&Path> = inputs.map(PathBuf::as_path).collect();
        output::check_all(&outputs, &inputs, *force)?;
        checkpoint::check_free(output, self.resume, *force)?;
        Ok(())
    }

    fn name(&self) -> String {
        let stem = self.output.output.file_stem().unwrap_or_default();
        self.name
            .clone()
            .unwrap_or_else(|| stem.to_string_lossy().into_owned())
    }

    fn write(&self, outcome: &Outcome, backbone: &Backbone) -> Result<()> {
        let force = self.output.force;
        let bytes = outcome.trained.to_bytes(&backbone.image())?;
        output::write_atomically(&self.output.output, force, |file| file.write_all(&bytes))?;
        if let Some(path) = &self.curves {
            let epochs = outcome.history.iter().enumerate();
            let points: Vec<_> = epochs.map(|(index, epoch)| epoch.point(index)).collect();
            curves::draw("epoch", &points)?.write(path, force)?;
        }
        if let Some(path) = &self.confusion {
            let confusion = &outcome.evaluation.confusion;
            let title = format!("{}: {} images", outcome.trained.name, confusion.images());
            let label = |class: usize| outcome.trained.labels[class].clone();
            confusion.picture(&title, label)?.write(path, force)?;
        }
        Ok(())
    }
}

/// A run's parts, from the arguments.
fn prepare<'a>(
    arguments: &Arguments,
    backbone: &'a Backbone,
    common: &Common,
    started: Instant,
) -> Result<Run<'a>> {
    let metadata = backbone.image().metadata()?;
    let kind = arguments.kind;
    let has_norms = metadata.sites.iter().any(|site| site.batch_norm.is_some());
    if arguments.batch_norm == BatchNormMode::Batch && !(has_norms && kind.trains_norms()) {
        bail!(Hint::new(
            format!("{kind} trains no batch norm of this backbone"),
            "leave out --batch-norm batch",
        ));
    }
    let mut input = backbone.image().input();
    if let Some([height, width]) = arguments.resolution {
        (input.shape.height, input.shape.width) = (height, width);
    }
    let resize = task::uncropped(metadata.resize);
    let preprocess = task::preprocess(&input, resize)?;
    let request = Request {
        data: &arguments.data,
        test: arguments.test.as_deref(),
        split: f64::from(arguments.split),
        limit: arguments.limit.map(|limit| limit as usize),
        seed: arguments.seed,
        batch: arguments.batch as usize,
        preprocess: &preprocess,
        is_quiet: common.quiet,
        cache: arguments.cache.clone().or_else(default_folder),
    };
    let sets = match kind {
        TrainKind::HEAD => request.open_inputs()?,
        TrainKind::Patch(_) | TrainKind::Full | TrainKind::RandomHead => request.open_images()?,
    };
    let settings = Settings {
        kind,
        algorithm: arguments.optimizer,
        weight_decay: arguments.weight_decay,
        scale_lr_multiplier: arguments.scale_lr_multiplier,
        batch_norm: arguments.batch_norm.into(),
        smoothing: arguments.smoothing,
        seed: arguments.seed,
    };
    let classes = sets.test.classes().len();
    let mut learner = match kind {
        TrainKind::HEAD => Learner::head(backbone, classes, settings)?,
        TrainKind::Patch(_) | TrainKind::Full | TrainKind::RandomHead => {
            Learner::new(backbone, input.shape, classes, settings)?
        }
    };
    let template = Trained {
        kind,
        name: arguments.name(),
        tool: TOOL.into(),
        backbone: BackboneRef {
            name: metadata.name,
            id: backbone.image().id(),
        },
        input,
        resize,
        labels: sets.test.classes().to_vec(),
        seed: arguments.seed,
        data: DataRef {
            path: arguments.data.display().to_string(),
            digest: sets.digest(),
            images: sets.len() as u32,
            test_images: sets.test.len() as u32,
        },
        metrics: Metrics {
            trainable_params: learner.trainable() as u64,
            ..Metrics::default()
        },
        sites: learner.trained(),
    };
    let [train, test] = sets.digests();
    let shape = input.shape;
    let fingerprint = arguments.fingerprint(
        &template.backbone.id.to_string(),
        train,
        test,
        [shape.height, shape.width],
    );
    let plan = Plan {
        epochs: arguments.epochs as usize,
        batch: arguments.batch as usize,
        rate: arguments.rate(),
        warmup: arguments.warmup,
        checkpoint_every: Duration::from_secs(arguments.checkpoint_every.into()),
        patience: arguments.patience.map(|patience| patience as usize),
        seed: arguments.seed,
    };
    let checkpoint = checkpoint::path_for(&arguments.output.output);
    let examples = sets.examples(backbone, &template, arguments.augment, preprocess)?;
    Ok(Run {
        backbone,
        learner,
        examples,
        template,
        plan,
        checkpoint,
        fingerprint,
        started,
    })
}

fn report(outcome: &Outcome) -> Report {
    let trained = &outcome.trained;
    let Metrics {
        epochs,
        best_epoch,
        test_accuracy,
        trainable_params,
        seconds,
    } = trained.metrics;
    let step = outcome.step_ms;
    let text = format!(
        "{}: {} of {} trained values on {} images\n\
         best of {epochs} epochs: epoch {best_epoch}, {:.2} % of {} test images right\n\
         {seconds:.0} s, {step:.1} ms a step\n",
        trained.name,
        trained.kind,
        trainable_params,
        trained.data.images,
        100.0 * test_accuracy,
        trained.data.test_images,
    );
    let json = json!({
        "name": trained.name,
        "kind": trained.kind.to_string(),
        "best": { "epoch": best_epoch, "test_accuracy": test_accuracy },
        "last": { "test_accuracy": outcome.history.last().map(|epoch| epoch.test.accuracy) },
        "epochs": epochs,
        "diverged": outcome.diverged,
        "trainable_params": trainable_params,
        "step_ms": { "median": step },
        "seconds": seconds,
        "images": trained.data.images,
        "test_images": trained.data.test_images,
        "unreadable": outcome.unreadable,
    });
    Report::new(text, json)
}
