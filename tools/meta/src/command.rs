//! The command `patchtool meta-train`: a generator from many small tasks.

mod report;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use burn_tensor::Device;
use clap::Args;
use clap::builder::{ArgPredicate, RangedU64ValueParser};
use graft_runtime::Backbone;

use graft_data::output;
use graft_data::preprocess::{Channels, Filter, Preprocess, Resize};
use patchtool::TOOL;
use patchtool::bar;
use patchtool::commands::arguments::{Common, Output, above_zero};
use patchtool::hint::Hint;
use patchtool::hyper::{Config, GeneratedError, Generates, Precision, Provenance, Target};
use patchtool::input;
use patchtool::report::Report;
use patchtool::task;
use patchtool::train::checkpoint;
use patchtool::train::curves::{self, Point};
use patchtool::train::lock::RunLock;

use crate::classes::Classes;
use crate::continual::Scenario;
use crate::episodes::Setting;
use crate::evaluate::Method;
use crate::run::{Data, Run, Settings};

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
    /// Frozen backbone: generates heads for its embedding, in place of a target CNN that is trained.
    #[arg(short, long, value_name = "B")]
    backbone: Option<PathBuf>,
    /// Outputs of the generator: the head from class means, the head, or all weights. With --backbone, the head.
    #[arg(long, value_enum, default_value_t = Generates::All, default_value_if("backbone", ArgPredicate::IsPresent, "head"))]
    generates: Generates,
    /// Channels of the target CNN.
    #[arg(long, default_value_t = 8, conflicts_with = "backbone", value_parser = clap::value_parser!(u64).range(1..=64))]
    channels: u64,
    /// Number of tasks that are learned after one another (Continual HyperTransformer).
    #[arg(
        long,
        value_name = "TASKS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..),
        conflicts_with = "backbone"
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
    /// Steps of one episode each.
    #[arg(long, default_value_t = 20_000)]
    steps: usize,
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
    /// Images of each class to classify in such an episode.
    #[arg(long, default_value_t = 5, value_parser = one_or_more())]
    test_queries: usize,
    /// Ways to learn from support sets at the end: by default generated and prototypes. Continual generators are measured task
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

fn one_or_more() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// Trains a generator and measures it on the classes that were held out.
///
/// # Errors
/// Whatever cannot be read, trained on or written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let _lock = arguments.check()?;
    let frozen = arguments
        .backbone
        .as_ref()
        .map(|path| input::backbone(path))
        .transpose()?;
    let read = |paths: &[PathBuf]| read(paths, frozen.as_ref(), common);
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
    let mut run = Run::new(arguments.settings(frozen.as_ref())?, data, Device::flex())?;
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
    arguments.write(&run, frozen, &report)?;
    if let Some(path) = &path {
        checkpoint::remove(path).context("cannot remove the checkpoint")?;
    }
    Ok(report)
}

/// All images, as the target CNN reads them or as embeddings of a frozen backbone.
fn read(paths: &[PathBuf], frozen: Option<&Backbone>, common: &Common) -> Result<Classes> {
    let Some(backbone) = frozen else {
        let input = Config::input(28);
        let preprocess = Preprocess {
            height: 28,
            width: 28,
            channels: Channels::Grey,
            resize: Resize::Stretch,
            filter: Filter::Bilinear,
            mean: [input.mean[0]; 3],
            std: [input.std[0]; 3],
        };
        return Ok(Classes::open(paths, &preprocess)?);
    };
    let resize = backbone.image().metadata()?.resize.uncropped();
    let preprocess = task::preprocess(&backbone.image().input(), resize)?;
    let bar = bar::images(0, common.quiet);
    Ok(Classes::embed(paths, &preprocess, backbone, &bar)?)
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
        if self.backbone.is_some() && self.generates == Generates::All {
            bail!(Hint::new(
                "the convolutions of a frozen backbone stay as they are: all that is generated for it is a head".into(),
                "give --generates head or prototypes, or leave --backbone out to train a target CNN",
            ));
        }
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
        let beside = match self.backbone {
            Some(_) => None,
            None if output::is_stdout(output) => bail!(Hint::new(
                "a generator and the backbone that is made with it are two files, stdout takes one"
                    .into(),
                "name a file with -o, or give a backbone that exists with --backbone",
            )),
            None => Some(output.with_extension("backbone")),
        };
        let outputs = std::iter::once(output).chain(&beside).chain(&self.curves);
        let inputs = self.data.iter().chain(&self.test).chain(&self.backbone);
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
            true => &[Method::Generated, Method::Prototypes],
            false => &self.methods,
        }
    }

    fn settings(&self, frozen: Option<&Backbone>) -> Result<Settings> {
        let target = match frozen {
            Some(backbone) => Target::Frozen {
                features: features(backbone)?,
            },
            None => Target::Cnn {
                channels: self.channels as usize,
                side: 28,
            },
        };
        let episode = |setting: &Setting| Setting {
            queries: self.queries,
            unlabelled: self.unlabelled,
            ..*setting
        };
        Ok(Settings {
            config: Config::new(self.generates, target, self.continual > 1),
            backbone: frozen.map(|backbone| backbone.image().id()),
            episodes: self.episodes.iter().map(episode).collect(),
            tasks: self.continual.into(),
            rotations: frozen.is_none(),
            scenario: self.scenario,
            steps: self.steps,
            rate: self.lr,
            seed: self.seed,
        })
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

/// Values that the head of a backbone reads.
fn features(backbone: &Backbone) -> Result<usize> {
    let image = backbone.image();
    let head = image.head().ok_or(GeneratedError::NoHead)?;
    Ok(image.site(head).depth)
}

impl Arguments {
    /// Writes the generator, and the target CNN beside it unless it is for a frozen backbone.
    fn write(&self, run: &Run<'_>, frozen: Option<Backbone>, report: &Report) -> Result<()> {
        let Output { output, force } = &self.output;
        let name = output.file_stem().unwrap_or_default().to_string_lossy();
        let trained = run.learner().backbone(&name)?;
        let provenance = Provenance {
            tool: TOOL.into(),
            steps: run.step() as u64,
            seed: self.seed,
            unlabelled: self.unlabelled as u64,
            data: Some(run.data_digest()),
            accuracy: report::accuracy(self, &report.json),
        };
        let own = trained.as_ref().map(|bytes| Backbone::from_bytes(bytes));
        let backbone = own.transpose()?.or(frozen).context("no backbone")?;
        run.learner()
            .hyper(&backbone, self.precision(), provenance)?
            .write(output, *force)?;
        if let Some(bytes) = trained {
            let beside = output.with_extension("backbone");
            output::write_atomically(&beside, *force, |file| file.write_all(&bytes))?;
        }
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
