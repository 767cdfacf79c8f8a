//! The command `patchtool meta-train`: a generator from many small tasks.

mod report;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burn_tensor::Device;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use graft_runtime::Backbone;

use graft_data::output;
use graft_data::preprocess::{Channels, Filter, Preprocess, Resize};
use patchtool::TOOL;
use patchtool::commands::arguments::{Common, Output, above_zero};
use patchtool::hint::Hint;
use patchtool::hyper::{Config, Generates, Precision, Provenance, Target};
use patchtool::report::Report;
use patchtool::train::checkpoint;
use patchtool::train::curves::{self, Point};
use patchtool::train::lock::RunLock;

use crate::classes::Classes;
use crate::continual::Scenario;
use crate::episodes::{Augmentation, Setting, Turns};
use crate::evaluate::Method;
use crate::run::{Data, Run, Settings};

/// Rows and columns of the target CNN's input.
const SIDE: usize = 28;

/// Arguments of `meta-train`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Images of many classes: folders, tar or zip archives, whose innermost folders are the classes. May be given several
    /// times.
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// Folder (of classes, or a class) that is not trained on but measured on. May be given several times.
    #[arg(long, value_name = "NAME")]
    holdout: Vec<String>,
    /// Data set, laid out as --data, that is not trained on but measured on, together with what --holdout names. May be given
    /// several times.
    #[arg(long, value_name = "DIR")]
    test: Vec<PathBuf>,
    /// Outputs of the generator beside the head, which is made of class means: none, or all convolutions.
    #[arg(long, value_enum, default_value_t = Generates::All)]
    generates: Generates,
    /// Channels of the target CNN.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    channels: u64,
    /// Outputs of the last convolution, which the head reads; by default as many as --channels.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1024))]
    features: Option<u64>,
    /// Number of tasks that are learned after one another (Continual HyperTransformer).
    #[arg(
        long,
        value_name = "TASKS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    continual: u16,
    /// Steps of continual learning: tasks, each of new classes, or mini-batches of images of the same classes.
    #[arg(long, value_enum, default_value_t = Scenario::Tasks)]
    scenario: Scenario,
    /// Ways x shots of episodes, which alternate. May be given several times.
    #[arg(long, value_name = "WxS", default_values = ["5x1", "5x5", "20x1"])]
    episodes: Vec<Setting>,
    /// Images of each class to classify in an episode.
    #[arg(long, default_value_t = 3, value_parser = one_or_more())]
    queries: usize,
    /// Images of each class in the support set whose labels are hidden.
    #[arg(long, default_value_t = 0)]
    unlabelled: usize,
    /// Changes of images in training; by default those for drawings, where images are dark strokes on white, and rotations
    /// otherwise.
    #[arg(long, value_enum)]
    augment: Option<Augment>,
    /// Take all classes of every other episode from one folder at the top, such as an alphabet: they are harder to tell apart.
    #[arg(long)]
    related: bool,
    /// Steps of --batch episodes each.
    #[arg(long, default_value_t = 20_000)]
    steps: usize,
    /// Episodes of a step.
    #[arg(long, default_value_t = 4, value_parser = one_or_more())]
    batch: usize,
    /// Largest learning rate.
    #[arg(long, default_value_t = 1e-3, value_parser = above_zero)]
    lr: f32,
    /// Of every random number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps between points of the learning curve.
    #[arg(long, default_value_t = 500)]
    every: usize,
    /// Ways x shots of episodes that are measured; by default those of --episodes. May be given several times.
    #[arg(long, value_name = "WxS")]
    test_settings: Vec<Setting>,
    /// Episodes of the evaluation at the end, for each kind.
    #[arg(long, default_value_t = 1024)]
    test_episodes: usize,
    /// Also measure the classes of each held-out folder at the top on their own, such as the characters of an alphabet; of a
    /// folder with fewer classes than ways, all.
    #[arg(long)]
    test_related: bool,
    /// Images of each class to classify in such an episode.
    #[arg(long, default_value_t = 5, value_parser = one_or_more())]
    test_queries: usize,
    /// Ways to learn from support sets at the end: by default generated. Continual generators are measured task
    /// after task.
    #[arg(long, value_enum)]
    methods: Vec<Method>,
    /// Also measure this number of tasks, and of mini-batches of one task, learned after one another, of the first kind of those
    /// episodes; by default as many as --continual.
    #[arg(long, value_name = "TASKS", default_value_t = 0)]
    test_tasks: usize,
    /// Draw loss and accuracy in the course of training as a picture.
    #[arg(long, value_name = "F.png")]
    curves: Option<PathBuf>,
    /// Store parameters in half precision: half of the file. They are rounded before anything is measured.
    #[arg(long)]
    f16: bool,
    /// Go on from the checkpoint of a run that was stopped.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    output: Output,
}

/// Values of `--augment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Augment {
    /// Images as they are.
    None,
    /// Classes rotated by quarters, as classes of their own.
    Rotations,
    /// The same, also mirrored, and each image rotated, shifted, scaled, sheared and drawn with another pen, all a little.
    Drawings,
}

fn one_or_more() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// Trains a generator and measures it on the classes that were held out.
///
/// # Errors
/// Whatever cannot be read, trained on or written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let _lock = arguments.check()?;
    let (train, mut test) = read(&arguments.data)?.split(&arguments.holdout)?;
    if !arguments.test.is_empty() {
        test = test.with(read(&arguments.test)?);
    }
    let test_episodes: Vec<Setting> = arguments.test_settings().collect();
    let data = Data {
        train: &train,
        test: (!test.is_empty()).then_some(&test),
        test_episodes: &test_episodes,
        test_tasks: arguments.test_tasks(),
    };
    let mut run = Run::new(arguments.settings(&train), data, Device::flex())?;
    let path = checkpoint::path_for(&arguments.output.output);
    if let Some(path) = path.as_deref().filter(|_| arguments.resume) {
        run.resume(path)?;
    }
    run.train(path.as_deref(), arguments.every, |point, seconds| {
        if !common.quiet {
            eprintln!("{}", line(point, seconds));
        }
    })?;
    run.round(arguments.precision());
    let report = report::of(arguments, &run, &test, common.quiet)?;
    arguments.write(&run, &report)?;
    if let Some(path) = &path {
        checkpoint::remove(path).context("cannot remove the checkpoint")?;
    }
    Ok(report)
}

/// All images, as the target CNN reads them.
fn read(paths: &[PathBuf]) -> Result<Classes> {
    let input = Config::input(SIDE);
    let preprocess = Preprocess {
        height: SIDE as u32,
        width: SIDE as u32,
        channels: Channels::Grey,
        resize: Resize::Stretch,
        filter: Filter::Bilinear,
        mean: [input.mean[0]; 3],
        std: [input.std[0]; 3],
    };
    Ok(Classes::open(paths, &preprocess)?)
}

impl Arguments {
    fn precision(&self) -> Precision {
        match self.f16 {
            true => Precision::F16,
            false => Precision::F32,
        }
    }

    /// Whether the arguments go together and the outputs can be written; no other run can start on the same output as
    /// long as the lock is held.
    fn check(&self) -> Result<Option<RunLock>> {
        if self.continual > 1 && self.generates != Generates::All {
            bail!(Hint::new(
                "what goes on from one task to the next are the convolutions, which are not generated here".into(),
                "leave --generates or --continual out",
            ));
        }
        if self.continual > 1 && self.unlabelled > 0 {
            bail!(Hint::new(
                "continual generators learn from labelled images".into(),
                "leave --unlabelled or --continual out",
            ));
        }
        if self.continual > 1 && !self.methods.is_empty() {
            bail!(Hint::new(
                "continual generators are measured task after task".into(),
                "leave --methods out",
            ));
        }
        if self.continual == 1 && self.scenario == Scenario::MiniBatch {
            bail!(Hint::new(
                "a mini-batch alone is an ordinary task".into(),
                "say with --continual how many come after one another",
            ));
        }
        let is_measured = self.test_tasks > 0 || !self.test_settings.is_empty();
        if is_measured && self.holdout.is_empty() && self.test.is_empty() {
            bail!(Hint::new(
                "there are no classes to measure on".into(),
                "name some with --holdout or --test",
            ));
        }
        let Output { output, force } = &self.output;
        if output::is_stdout(output) {
            bail!(Hint::new(
                "a generator and the backbone that is made with it are two files, stdout takes one"
                    .into(),
                "name a file with -o",
            ));
        }
        let beside = output.with_extension("backbone");
        let outputs = [output, &beside].into_iter().chain(&self.curves);
        let inputs = self.data.iter().chain(&self.test);
        let outputs: Vec<&Path> = outputs.map(PathBuf::as_path).collect();
        let inputs: Vec<&Path> = inputs.map(PathBuf::as_path).collect();
        let lock = RunLock::take_checked(output, || {
            output::check_all(&outputs, &inputs, *force).map_err(anyhow::Error::from)
        })?;
        checkpoint::check_free(output, self.resume, *force)?;
        Ok(lock)
    }

    /// Tasks that are measured after one another: by default as many as are learned in training.
    fn test_tasks(&self) -> usize {
        match self.continual {
            _ if self.test_episodes == 0 => 0,
            2.. if self.test_tasks == 0 => self.continual.into(),
            _ => self.test_tasks,
        }
    }

    fn methods(&self) -> &[Method] {
        match self.methods.is_empty() {
            true => &[Method::Generated],
            false => &self.methods,
        }
    }

    fn augmentation(&self, train: &Classes) -> Augmentation {
        let fitting = match train.are_drawings() {
            true => Augment::Drawings,
            false => Augment::Rotations,
        };
        let augment = self.augment.unwrap_or(fitting);
        Augmentation {
            turns: match augment {
                Augment::None => Turns::None,
                Augment::Rotations | Augment::Drawings => Turns::Each,
            },
            drawings: augment == Augment::Drawings,
        }
    }

    fn settings(&self, train: &Classes) -> Settings {
        let target = Target {
            channels: self.channels as usize,
            features: self.features.unwrap_or(self.channels) as usize,
            side: SIDE,
        };
        let episode = |setting: &Setting| Setting {
            queries: self.queries,
            unlabelled: self.unlabelled,
            ..*setting
        };
        Settings {
            config: Config::new(self.generates, target, self.continual > 1),
            episodes: self.episodes.iter().map(episode).collect(),
            tasks: self.continual.into(),
            augmentation: self.augmentation(train),
            related: self.related,
            batch: self.batch,
            scenario: self.scenario,
            steps: self.steps,
            rate: self.lr,
            seed: self.seed,
        }
    }

    /// Kinds of episodes that are measured: each without unlabelled images, then with as many as in training.
    fn test_settings(&self) -> impl Iterator<Item = Setting> {
        let settings = match self.test_settings.is_empty() {
            true => &self.episodes,
            false => &self.test_settings,
        };
        let with = (self.unlabelled > 0).then_some(self.unlabelled);
        settings.iter().flat_map(move |setting| {
            [0].into_iter().chain(with).map(|unlabelled| Setting {
                queries: self.test_queries,
                unlabelled,
                ..*setting
            })
        })
    }
}

impl Arguments {
    /// Writes the generator, and the target CNN beside it.
    fn write(&self, run: &Run<'_>, report: &Report) -> Result<()> {
        let Output { output, force } = &self.output;
        let name = output.file_stem().unwrap_or_default().to_string_lossy();
        let target = run.learner().backbone(&name)?;
        let provenance = Provenance {
            tool: TOOL.into(),
            steps: run.step() as u64,
            seed: self.seed,
            unlabelled: self.unlabelled as u64,
            data: Some(run.data_digest()),
            accuracy: report::accuracy(self, &report.json),
        };
        run.learner()
            .hyper(
                &Backbone::from_bytes(&target)?,
                self.precision(),
                provenance,
            )?
            .write(output, *force)?;
        let beside = output.with_extension("backbone");
        output::write_atomically(&beside, *force, |file| file.write_all(&target))?;
        if let Some(path) = &self.curves {
            curves::draw("step", "held out", run.history())?.write(path, *force)?;
        }
        Ok(())
    }
}

fn line(point: &Point, seconds: f64) -> String {
    let test = point.held_out.map_or_else(String::new, |test| {
        format!(", held out {:.1} %", 100.0 * test.accuracy)
    });
    format!(
        "step {}: loss {:.3}, right {:.1} %{test}, {seconds:.0} s",
        point.at,
        point.train.loss,
        100.0 * point.train.accuracy
    )
}
