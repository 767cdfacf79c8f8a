//! `patchtool train`: a patch from a folder of labelled images.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use graft_patches::metadata::{Fit, Resize};
use graft_runtime::Backbone;
use serde_json::json;

use crate::TOOL;
use crate::cli::{Common, Output};
use crate::data::augment::Augment;
use crate::hint::Hint;
use crate::output;
use crate::report::Report;
use crate::task;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::curves;
use crate::train::fingerprint::Fingerprint;
use crate::train::learner::{Learner, Settings};
use crate::train::optimizer::Algorithm;
use crate::train::progress::Progress;
use crate::train::run::{Outcome, Plan, Run};
use crate::train::sets::Request;
use crate::trained::{BackboneRef, DataRef, Metrics, TrainKind, Trained};

/// Arguments of `train`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool train --backbone lite0.backbone --data signs --kind bn+head -o signs.safetensors
then
  patchtool export signs.safetensors --backbone lite0.backbone -o signs.patch")]
pub struct Arguments {
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// Images to train on: a folder or tar archive laid out class/image.(jpg|png).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Images to test with, laid out alike; without it a part of --data is held back.
    #[arg(long, value_name = "DIR", conflicts_with = "split")]
    test: Option<PathBuf>,
    /// Share of the images of each class that is held back.
    #[arg(long, default_value_t = 0.2)]
    split: f64,
    /// What is trained: head, bn+head, dw+head, bn+dw+head, or full (a baseline that no patch can carry).
    #[arg(long, default_value_t = TrainKind::BnHead)]
    kind: TrainKind,
    #[command(flatten)]
    output: Output,
    /// Times that every image is seen.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Learning rate after the warm-up; by default what suits the kind and the optimiser.
    #[arg(long, value_name = "RATE")]
    lr: Option<f32>,
    /// Images of one step.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..))]
    batch: u32,
    /// Side of the input in pixels; by default the backbone's. The patch carries it.
    #[arg(long, value_name = "PX")]
    resolution: Option<usize>,
    /// Of every random choice: the same seed gives the same result.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to train.
    #[arg(long, default_value = "cpu", value_parser = ["cpu"])]
    device: String,
    /// Go on from the checkpoint of a run that was stopped.
    #[arg(long)]
    resume: bool,
    /// Update rule.
    #[arg(long, value_enum, default_value = "adam")]
    optimizer: Algorithm,
    /// Epochs in which the learning rate rises from zero.
    #[arg(long, default_value_t = 1.0, value_name = "EPOCHS")]
    warmup: f32,
    /// Part of each label that is spread over all classes.
    #[arg(long, default_value_t = 0.1)]
    smoothing: f32,
    /// Pull of weights towards zero.
    #[arg(long, default_value_t = 1e-4)]
    weight_decay: f32,
    /// What is done to training images: default, none, or some of crop,flip,color. Mirrored digits and letters are
    /// others: use crop,color for them.
    #[arg(long, default_value_t = Augment::default())]
    augment: Augment,
    /// Train on so many images at most, the same share of each class.
    #[arg(long, value_name = "IMAGES")]
    limit: Option<usize>,
    /// Stop after so many epochs that were no better.
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// Draw the learning curves to this PNG file.
    #[arg(long, value_name = "PNG")]
    curves: Option<PathBuf>,
    /// Draw the confusion matrix of the best epoch to this PNG file.
    #[arg(long, value_name = "PNG")]
    confusion: Option<PathBuf>,
    /// Name of the task; by default that of the output file.
    #[arg(long)]
    name: Option<String>,
    /// Threads; by default one a core. The result does not depend on it.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

/// Trains and writes the trained values of the best epoch.
///
/// # Errors
/// Whatever cannot be read, trained on or written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    arguments.check_outputs()?;
    rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build_global()
        .context("cannot start the threads")?;
    let backbone = Backbone::open(&arguments.backbone)?;
    let run = prepare(arguments, &backbone, common)?;
    let checkpoint = run.checkpoint.clone();
    let resumed = match arguments.resume {
        true => Some(Checkpoint::load(&checkpoint, &run.fingerprint)?),
        false => None,
    };
    let images = run.examples.len();
    let before = resumed
        .as_ref()
        .map_or(0, |resumed| resumed.epoch * images + resumed.so_far.images);
    let progress = Progress::new(run.plan.epochs, images, before, common.quiet);
    let outcome = run.train(resumed, &progress)?;
    arguments.write(&outcome, &backbone)?;
    checkpoint::remove(&checkpoint).context("cannot remove the checkpoint")?;
    Ok(report(&outcome.trained, outcome.step))
}

impl Arguments {
    /// Before hours of work: whether the results can be written.
    fn check_outputs(&self) -> Result<()> {
        let Output { output, force } = &self.output;
        let others = [&self.curves, &self.confusion];
        for path in [output].into_iter().chain(others.into_iter().flatten()) {
            output::check(path, *force)?;
            output::check_apart(path, &self.backbone)?;
        }
        let checkpoint = checkpoint::path_for(output);
        if checkpoint.exists() && !self.resume && !force {
            bail!(Hint::new(
                format!(
                    "{} is the checkpoint of a run that was stopped",
                    checkpoint.display()
                ),
                "go on with --resume, or start again with --force",
            ));
        }
        Ok(())
    }

    fn name(&self) -> String {
        let stem = self.output.output.file_stem().unwrap_or_default();
        self.name
            .clone()
            .unwrap_or_else(|| stem.to_string_lossy().into_owned())
    }

    /// Found by trial on the data sets of RESULTS.md.
    fn rate(&self) -> f32 {
        let adam = match self.kind {
            TrainKind::Head | TrainKind::BnHead => 3e-3,
            TrainKind::DwHead | TrainKind::BnDwHead | TrainKind::RandomHead => 2e-3,
            TrainKind::Full => 1e-3,
        };
        self.lr.unwrap_or(match self.optimizer {
            Algorithm::Adam => adam,
            Algorithm::Sgd | Algorithm::Nesterov => 20.0 * adam,
        })
    }

    /// All that decides the result.
    fn fingerprint(&self, template: &Trained) -> Fingerprint {
        let shape = template.input.shape;
        Fingerprint::default()
            .with("tool", TOOL)
            .with("backbone", template.backbone.id)
            .with("data", template.data.digest)
            .with("kind", self.kind)
            .with("epochs", self.epochs)
            .with("learning rate", self.rate())
            .with("batch", self.batch)
            .with("resolution", format!("{}x{}", shape.height, shape.width))
            .with("seed", self.seed)
            .with("optimizer", format!("{:?}", self.optimizer).to_lowercase())
            .with("warm-up", self.warmup)
            .with("smoothing", self.smoothing)
            .with("weight decay", self.weight_decay)
            .with("augmentation", self.augment)
            .with(
                "patience",
                self.patience
                    .map_or("none".into(), |epochs| epochs.to_string()),
            )
    }

    fn write(&self, outcome: &Outcome, backbone: &Backbone) -> Result<()> {
        let force = self.output.force;
        let bytes = outcome.trained.to_bytes(&backbone.image())?;
        output::write_atomically(&self.output.output, force, |file| file.write_all(&bytes))?;
        if let Some(path) = &self.curves {
            curves::draw(&outcome.history)?.write(path, force)?;
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
fn prepare<'a>(arguments: &Arguments, backbone: &'a Backbone, common: &Common) -> Result<Run<'a>> {
    let metadata = backbone.image().metadata()?;
    let mut input = backbone.image().input();
    if let Some(side) = arguments.resolution {
        (input.shape.height, input.shape.width) = (side, side);
    }
    // A task's images are cut to what they show: nothing is cropped away.
    let resize = Resize {
        fit: Fit::Crop { share: 1000 },
        ..metadata.resize
    };
    let preprocess = task::preprocess(&input, resize)?;
    let request = Request {
        data: &arguments.data,
        test: arguments.test.as_deref(),
        split: arguments.split,
        limit: arguments.limit,
        seed: arguments.seed,
        batch: arguments.batch as usize,
        preprocess: &preprocess,
        is_quiet: common.quiet,
    };
    let kind = arguments.kind;
    let sets = match kind {
        TrainKind::Head => request.open_inputs()?,
        _ => request.open_images()?,
    };
    let settings = Settings {
        kind,
        algorithm: arguments.optimizer,
        weight_decay: arguments.weight_decay,
        smoothing: arguments.smoothing,
        seed: arguments.seed,
    };
    let classes = sets.test.classes().len();
    let mut learner = match kind {
        TrainKind::Head => Learner::head(backbone, classes, settings)?,
        _ => Learner::new(backbone, input.shape, classes, settings)?,
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
    let fingerprint = arguments.fingerprint(&template);
    let plan = Plan {
        epochs: arguments.epochs as usize,
        batch: arguments.batch as usize,
        rate: arguments.rate(),
        warmup: arguments.warmup,
        patience: arguments.patience,
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
    })
}

fn report(trained: &Trained, step: Duration) -> Report {
    let Metrics {
        epochs,
        best_epoch,
        test_accuracy,
        trainable_params,
        seconds,
    } = trained.metrics;
    let step = step.as_secs_f64() * 1e3;
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
        "kind": trained.kind.name(),
        "best": { "epoch": best_epoch, "test_accuracy": test_accuracy },
        "epochs": epochs,
        "trainable_params": trainable_params,
        "step_ms": { "median": step },
        "seconds": seconds,
        "images": trained.data.images,
        "test_images": trained.data.test_images,
    });
    Report::new(text, json)
}
