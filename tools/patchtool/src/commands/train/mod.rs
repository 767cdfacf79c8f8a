//! `patchtool train`: a patch from a folder of labelled images.

mod arguments;
mod joint;
mod report;
mod start;
mod tasks;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use graft_patches::BackboneImage;
use graft_patches::records::{Site, What};
use graft_runtime::Backbone;

pub use arguments::{Arguments, BatchNormMode};
use report::report;
use start::Start;
use tasks::Source;
pub use tasks::{Tasks, Validation};

use crate::TOOL;
use crate::commands::arguments::{Common, Output};
use crate::hint::Hint;
use crate::input;
use crate::report::Report;
use crate::task;
use crate::threads;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::curves;
use crate::train::learner::{Learner, Settings};
use crate::train::lock::RunLock;
use crate::train::plan::Plan;
use crate::train::probe;
use crate::train::progress::{Lines, Progress};
use crate::train::run::{Outcome, Run};
use crate::train::sets::{HeldOut, Request, Sets};
use crate::trained::{BackboneRef, DataRef, Metrics, TrainKind, Trained};
use graft_data::cache::default_folder;
use graft_data::output;

/// Trains and writes the trained values of the best epoch.
///
/// # Errors
/// Whatever cannot be read, trained on or written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    if arguments.is_joint() {
        return joint::run(arguments, common);
    }
    let outcome = train(arguments, common, Lines::Epochs)?;
    Ok(report(&outcome))
}

/// The same for other commands: the outcome, not a report of it.
pub(crate) fn train(arguments: &Arguments, common: &Common, lines: Lines) -> Result<Outcome> {
    let started = Instant::now();
    let source = arguments.source()?;
    let _lock = arguments.check_outputs()?;
    threads::start(arguments.threads)?;
    let checkpoint = checkpoint::path_for(&arguments.output.output);
    let resumed = match &checkpoint {
        Some(path) if arguments.resume => Some(Checkpoint::load(path)?),
        _ => None,
    };
    let backbone = input::backbone(&arguments.backbone)?;
    let (run, learner) = prepare(arguments, &source, &backbone, common, started)?;
    if let (Some(resumed), Some(path)) = (&resumed, &checkpoint) {
        resumed.check(path, &run.fingerprint)?;
    }
    let images = run.examples.count();
    let before = resumed
        .as_ref()
        .map_or(0, |resumed| resumed.epoch * images + resumed.so_far.images);
    let progress = Progress::new(run.plan.epochs, images, before, common.watch(), lines);
    let outcome = run.train(learner, resumed, &progress)?;
    arguments.write(&outcome, &backbone)?;
    if let Some(path) = &checkpoint {
        checkpoint::remove(path).context("cannot remove the checkpoint")?;
    }
    Ok(outcome)
}

impl Arguments {
    /// Before hours of work: whether the results can be written, and nobody else is about to. No other run can start on
    /// the same output as long as the lock is held.
    fn check_outputs(&self) -> Result<Option<RunLock>> {
        let Output { output, force } = &self.output;
        let probe = self.probe_picture()?;
        let others = [&self.curves, &self.confusion, &probe]
            .into_iter()
            .flatten();
        let outputs: Vec<&Path> = [output]
            .into_iter()
            .chain(others)
            .map(PathBuf::as_path)
            .collect();
        let validation = match &self.validation {
            Validation::Share(_) => None,
            Validation::Path(path) => Some(path),
        };
        let held_out = self.test.iter().chain(validation).chain(&self.start);
        let inputs = [&self.backbone].into_iter().chain(&self.data);
        let inputs = inputs.chain(held_out);
        let inputs: Vec<&Path> = inputs.map(PathBuf::as_path).collect();
        // A trained file beside a checkpoint is of that run, of which `check_free` has the say.
        let is_of_a_run = || checkpoint::path_for(output).is_some_and(|path| path.exists());
        let lock = RunLock::take_checked(output, || {
            output::check_all(&outputs, &inputs, *force || is_of_a_run())?;
            let mut others = outputs[1..].iter();
            others.try_for_each(|path| output::check(path, *force).map_err(anyhow::Error::from))
        })?;
        checkpoint::check_free(output, self.resume, *force)?;
        Ok(lock)
    }

    /// The picture of the probe, if there is to be one, beside the output.
    fn probe_picture(&self) -> Result<Option<PathBuf>> {
        let output = &self.output.output;
        if self.probe && output::is_stdout(output) {
            bail!(Hint::new(
                "a run whose output goes to stdout has no place for the picture of --probe".into(),
                "name a file with -o, or leave --probe out",
            ));
        }
        let mut name = output.clone().into_os_string();
        name.push(".probe.png");
        Ok(self.probe.then(|| name.into()))
    }

    /// Whether there are the images that other arguments ask for.
    fn check_sets(&self, sets: &Sets) -> Result<()> {
        let is_validated = sets.validation_images() > 0;
        if self.patience.is_some() && !is_validated {
            let hint = match self.validation() {
                HeldOut::None => "give some with --validation, or leave --patience out",
                HeldOut::Share(_) => {
                    "give a larger share, or a folder, with --validation, or leave --patience out"
                }
                HeldOut::Path(_) => {
                    "give a folder that has some with --validation, or leave --patience out"
                }
            };
            bail!(Hint::new(
                "--patience has no validation images to see by whether an epoch is better".into(),
                hint,
            ));
        }
        if self.confusion.is_some() && !is_validated && sets.test_images() == 0 {
            bail!(Hint::new(
                "--confusion has neither test nor validation images to show".into(),
                "give some with --test or --validation, or leave --confusion out",
            ));
        }
        Ok(())
    }

    /// The task's name: given, or that of the output; stdout has none, so that of the data set.
    fn name(&self) -> String {
        let output = self.output.output.as_path();
        let named = if output::is_stdout(output) {
            self.data()
        } else {
            output
        };
        let stem = named.file_stem().unwrap_or_default();
        self.name
            .clone()
            .unwrap_or_else(|| stem.to_string_lossy().into_owned())
    }

    fn write(&self, outcome: &Outcome, backbone: &Backbone) -> Result<()> {
        let force = self.output.force;
        let bytes = outcome.trained.to_bytes(&backbone.image())?;
        // What the run itself, or the one that it resumes, may have written before.
        let may_replace = force || self.resume || self.average.is_some();
        output::write_atomically(&self.output.output, may_replace, |file| {
            file.write_all(&bytes)
        })?;
        if let Some(path) = &self.curves {
            let epochs = outcome.history.iter().enumerate();
            let points: Vec<_> = epochs.map(|(index, epoch)| epoch.point(index)).collect();
            curves::draw("epoch", "validation", &points)?.write(path, force)?;
        }
        if let (Some(path), Some(probe)) = (self.probe_picture()?, &outcome.probe) {
            probe::draw(probe)?.write(&path, force)?;
        }
        if let (Some(path), Some(evaluation)) = (&self.confusion, &outcome.evaluation) {
            let confusion = &evaluation.confusion;
            let Trained { name, data, .. } = &outcome.trained;
            let set = match data.test_images {
                0 => "validation",
                _ => "test",
            };
            let title = format!("{name}: {} {set} images", confusion.images());
            let label = |class: usize| outcome.trained.labels[class].clone();
            confusion.picture(&title, label)?.write(path, force)?;
        }
        Ok(())
    }
}

/// A run's parts, from the arguments and a task.
fn prepare<'a>(
    arguments: &Arguments,
    source: &Source<'_>,
    backbone: &'a Backbone,
    common: &Common,
    started: Instant,
) -> Result<(Run<'a>, Learner)> {
    let metadata = backbone.image().metadata()?;
    let kind = arguments.learned();
    let has_norms = metadata.sites.iter().any(|site| site.batch_norm.is_some());
    if arguments.batch_norm == BatchNormMode::Batch && !(has_norms && kind.trains_norms()) {
        bail!(Hint::new(
            format!("{kind} trains no batch norm of this backbone"),
            "leave out --batch-norm batch",
        ));
    }
    let from_layer = match &arguments.from_layer {
        Some(layer) => first_layer(layer, kind, &backbone.image(), &metadata.layers)?,
        None => 0,
    };
    let mut input = backbone.image().input();
    if let Some([height, width]) = source.resolution {
        (input.shape.height, input.shape.width) = (height, width);
    }
    let resize = metadata.resize.uncropped();
    let preprocess = task::preprocess(&input, resize)?;
    let request = Request {
        data: source.data,
        validation: source.validation,
        test: source.test,
        limit: arguments.limit.map(|limit| limit as usize),
        seed: arguments.seed,
        batch: arguments.batch as usize,
        class_weights: arguments.class_weights,
        preprocess: &preprocess,
        watch: common.watch(),
        cache: arguments.cache.clone().or_else(default_folder),
    };
    let sets = match kind {
        TrainKind::HEAD => request.open_inputs()?,
        TrainKind::Patch(_) | TrainKind::Full | TrainKind::RandomHead => request.open_images()?,
    };
    arguments.check_sets(&sets)?;
    let settings = Settings {
        kind,
        algorithm: arguments.optimizer,
        weight_decay: arguments.weight_decay,
        scale_lr_multiplier: arguments.scale_lr_multiplier,
        batch_norm: arguments.batch_norm.into(),
        smoothing: arguments.smoothing,
        from_layer,
        seed: arguments.seed,
    };
    let classes = sets.classes().len();
    let learner = match kind {
        TrainKind::HEAD => Learner::head(backbone, classes, settings)?,
        TrainKind::Patch(_) | TrainKind::Full | TrainKind::RandomHead => {
            Learner::new(backbone, input.shape, classes, settings)?
        }
    };
    let mut learner = learner.with_class_weights(sets.class_weights());
    let mut template = Trained {
        kind,
        name: source.name.clone(),
        tool: TOOL.into(),
        backbone: BackboneRef {
            name: metadata.name,
            id: backbone.image().id(),
        },
        from_layer,
        input,
        resize,
        labels: sets.classes().to_vec(),
        seed: arguments.seed,
        class_weights: arguments.class_weights,
        data: DataRef {
            path: source.data.display().to_string(),
            digest: sets.digest(),
            images: sets.len() as u32,
            validation_images: sets.validation_images() as u32,
            test_images: sets.test_images() as u32,
        },
        metrics: Metrics {
            trainable_params: learner.trainable() as u64,
            ..Metrics::default()
        },
        sites: learner.trained(),
    };
    let start = arguments.start.as_deref().map(Start::read).transpose()?;
    if let Some(start) = &start {
        let image = backbone.image();
        start.give(&mut learner, &template, arguments.batch_norm, &image)?;
        template.sites = learner.trained();
    }
    let shape = input.shape;
    let fingerprint = arguments
        .fingerprint(
            &template.backbone.id.to_string(),
            from_layer,
            sets.digests(),
            [shape.height, shape.width],
        )
        .with(
            "--start",
            start.map_or("none".into(), |start| start.digest.to_string()),
        );
    let plan = Plan {
        epochs: arguments.epochs as usize,
        batch: arguments.batch as usize,
        rate: arguments.rate(),
        warmup: arguments.warmup,
        last_rate: arguments.schedule.last_rate(),
        average: arguments.average,
        is_probed: arguments.probe,
        sparse: arguments.sparse.zip(arguments.sparse_every),
        checkpoint_every: Duration::from_secs(arguments.checkpoint_every.into()),
        patience: arguments.patience.map(|patience| patience as usize),
        seed: arguments.seed,
    };
    let output = &arguments.output.output;
    let checkpoint = checkpoint::path_for(output);
    let anytime =
        (arguments.average.is_some() && !output::is_stdout(output)).then(|| output.clone());
    let examples = sets.examples(backbone, &template, arguments.augment, preprocess)?;
    let run = Run {
        backbone,
        examples,
        template,
        plan,
        checkpoint,
        anytime,
        fingerprint,
        started,
    };
    Ok((run, learner))
}

/// The layer of this index or name, if the kind trains anything from it on besides the head, or the head alone.
fn first_layer(
    layer: &str,
    kind: TrainKind,
    image: &BackboneImage<'_>,
    names: &[String],
) -> Result<usize> {
    if kind.is_baseline() {
        bail!(Hint::new(
            format!("{kind} is a baseline, which trains all layers"),
            "leave out --from-layer, or give the --kind of a patch",
        ));
    }
    let layers = image.layer_count();
    let by_index = layer.parse().ok().filter(|&index| index < layers);
    let by_name = || names.iter().position(|name| name == layer);
    let Some(index) = by_index.or_else(by_name) else {
        bail!(Hint::new(
            format!("the backbone has no layer {layer} among its {layers}, which count from 0"),
            "give an index or a name, as `patchtool inspect` shows them",
        ));
    };
    let sites = (0..image.site_count()).map(|site| image.site(site));
    let mut later = sites.filter(|site| site.layer >= index && !site.is_head);
    let is_trained = |site: Site| What::ALL.into_iter().any(|what| kind.replaces(&site, what));
    if kind != TrainKind::HEAD && !later.any(is_trained) {
        bail!(Hint::new(
            format!("{kind} has nothing but the head to train from layer {index} on"),
            "give an earlier layer, or --kind head",
        ));
    }
    Ok(index)
}
