//! Arguments of `patchtool train`.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use graft_patches::records::Kinds;
use graft_runtime::gradient;

use super::tasks::{Tasks, Validation};
use crate::TOOL;
use crate::commands::arguments::{Output, above_zero, number, resolution};
use crate::sparse;
use crate::train::average;
use crate::train::fingerprint::Fingerprint;
use crate::train::optimizer::Algorithm;
use crate::train::sets::HeldOut;
use crate::trained::{ClassWeights, TrainKind};
use graft_data::augment::Augment;

/// Arguments of `train`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool train --backbone lite0.backbone --data flowers/train --test flowers/test -o flowers.safetensors
  patchtool train --backbone lite0.backbone --data photos.tar --kind head --resolution 128 -o photos.safetensors
  patchtool train --backbone lite0.backbone --task clothes=clothes.tar --task signs=signs.tar -o both
Stopped halfway? The same command with --resume goes on where it was, to the same result.")]
pub struct Arguments {
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    pub backbone: PathBuf,
    /// Images to learn from: a folder, tar or zip archive laid out class/image.(jpg|png).
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "task",
        conflicts_with = "task"
    )]
    pub data: Option<PathBuf>,
    /// Several tasks.
    #[command(flatten)]
    pub tasks: Tasks,
    /// Images to choose the best epoch by, which are not learned from: a share of every class of --data, or a folder or
    /// archive laid out the same. With 0 the last epoch is kept.
    #[arg(long, value_name = "SHARE or DIR", default_value_t = Validation::Share(0.1))]
    pub validation: Validation,
    /// Images to test the chosen epoch on, once, at the end; laid out the same.
    #[arg(long, value_name = "DIR", conflicts_with = "split")]
    pub test: Option<PathBuf>,
    /// Share of every class of --data that is put aside to test on, in place of --test.
    #[arg(long, value_name = "SHARE", value_parser = split)]
    pub split: Option<f32>,
    /// Kind of the training: head, bn+head, dw+head, bn+dw+head, or full (everything: a baseline that no patch can carry).
    #[arg(long, default_value_t)]
    pub kind: TrainKind,
    /// First layer to train, by its index or name in `inspect`. Those before it stay the backbone's, to the bit: a step takes
    /// less time, as no gradient goes back to them, and patches from the same layer on share them on one image (`run`).
    #[arg(long, value_name = "LAYER")]
    pub from_layer: Option<String>,
    /// Begin at the values of this trained file, of the same kind and classes, in place of the backbone's and a head of zeros.
    #[arg(long, value_name = "T")]
    pub start: Option<PathBuf>,
    /// The trained parameters, as safetensors; of several tasks, a folder.
    #[command(flatten)]
    pub output: Output,
    /// Times that every image is learned from.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count(100_000))]
    pub epochs: u32,
    /// Mode of the batch norms that are trained: frozen (the backbone's own mean and variance) or batch (those of every
    /// batch). A patch starts better from what the backbone knows (RESULTS.md); an untrained network knows nothing.
    #[arg(long, value_enum, default_value_t = BatchNormMode::Frozen, default_value_if("from_scratch", "true", "batch"))]
    pub batch_norm: BatchNormMode,
    /// Learning rate of weights after the warm-up. By default one that suits the kind and the optimizer.
    #[arg(long, value_name = "RATE", value_parser = above_zero)]
    pub lr: Option<f32>,
    /// Learning-rate multiplier of scales and biases: how much faster than weights they learn.
    #[arg(long, value_name = "TIMES", default_value_t = 3.0, value_parser = above_zero)]
    pub scale_lr_multiplier: f32,
    /// Images in a step.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = count(4096))]
    pub batch: u32,
    /// Side of the input in pixels, or HEIGHTxWIDTH: at most the backbone's, which is the default.
    /// Several, as 96,128,160, are trained together, as several --task are.
    #[arg(long, value_name = "PX", value_parser = resolution, value_delimiter = ',')]
    pub resolution: Vec<[usize; 2]>,
    /// The same seed, data and settings give the same patch, on any number of threads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Device to train on.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub device: Device,
    /// Go on from the checkpoint beside the output; beside stdout there is none.
    #[arg(long)]
    pub resume: bool,
    /// Update rule by which gradients change the parameters.
    #[arg(long, value_enum, default_value_t = Algorithm::Adam)]
    pub optimizer: Algorithm,
    /// Epochs over which the learning rate rises from zero; then it goes as --schedule says.
    #[arg(long, value_name = "EPOCHS", default_value_t = 1.0, value_parser = not_negative)]
    pub warmup: f32,
    /// The learning rate after the warm-up: cosine (it falls to zero at the last epoch) or constant (it stays, for runs whose
    /// end is not known; then --average gives back what the falling rate would have).
    #[arg(long, value_enum, default_value_t = ScheduleShape::Cosine)]
    pub schedule: ScheduleShape,
    /// Keep an average of the trained values, in place of the last ones: two-point:STEPS (of now and of STEPS to twice as many
    /// steps before, in two more copies of what is trained), ema:DECAY (exponential: DECAY, 0 to 1, is what is left of it after
    /// a step; one copy) or swa (all of the last half to three quarters of the steps; two copies). It is what is validated,
    /// chosen and written, at every checkpoint, so that a run may be stopped at any moment.
    #[arg(long, value_name = "HOW")]
    pub average: Option<average::Rule>,
    /// Make updates sparse: after every --sparse-every steps, of what they changed in each tensor, keep-top:SHARE keeps only this
    /// share of the values, 0 to 1, that changed most, and drop-top:SHARE all but that share. The others are again what they were
    /// before those steps. It takes one more copy of what is trained, and some of what few images teach (RESULTS.md).
    #[arg(
        long,
        value_name = "HOW",
        requires = "sparse_every",
        conflicts_with = "average"
    )]
    pub sparse: Option<sparse::Rule>,
    /// Steps of an update that --sparse makes sparse.
    #[arg(long, value_name = "STEPS", requires = "sparse", value_parser = count(u32::MAX))]
    pub sparse_every: Option<u32>,
    /// Label smoothing: this share of the target is spread over all classes.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = smoothing)]
    pub smoothing: f32,
    /// Weights of the classes in the loss: none, or balanced, by which every class counts alike, however few images it has
    /// (the validation images are then weighted, too).
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub class_weights: ClassWeights,
    /// Weight decay, on weights only.
    #[arg(long, value_name = "DECAY", default_value_t = 1e-4, value_parser = not_negative)]
    pub weight_decay: f32,
    /// Augmentation of training images: default, none, or some of crop,flip,color. Leave out flip where mirror images mean
    /// something else, as with letters and digits. The kind head sees images as they are.
    #[arg(long, value_name = "HOW", default_value_t = Augment::default())]
    pub augment: Augment,
    /// Learn from and validate with at most this many images of --data, evenly from all classes.
    #[arg(long, value_name = "N", value_parser = count(u32::MAX))]
    pub limit: Option<u32>,
    /// Stop after this many epochs without a higher validation accuracy.
    #[arg(long, value_name = "EPOCHS", value_parser = count(100_000))]
    pub patience: Option<u32>,
    /// Seconds between two checkpoints within an epoch; there is one after every epoch too.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub checkpoint_every: u32,
    /// Folder where decoded images are kept for the next run. By default `graft/images` in the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
    /// Draw loss and accuracy of every epoch as a picture.
    #[arg(long, value_name = "F.png")]
    pub curves: Option<PathBuf>,
    /// Measure the losses of four fixed mini-batches along the way, and along the direction of a step after each epoch: how close
    /// to a quadratic they are (R2), and what share of the loss one long step leaves. The figures are in the output (all in that
    /// of --json), the picture is OUTPUT.probe.png. The patch stays the same; an epoch takes about 200 forward passes more.
    #[arg(long)]
    pub probe: bool,
    /// Draw the confusion matrix of the best epoch as a picture: on the test images, or without any on those of --validation.
    #[arg(long, value_name = "F.png")]
    pub confusion: Option<PathBuf>,
    /// Name of the task, or of the backbone that several share. By default the output's.
    #[arg(long)]
    pub name: Option<String>,
    /// Threads; by default one a core.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub threads: usize,
}

/// Devices to train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// All cores.
    Cpu,
}

/// Shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleShape {
    /// Half a cosine, down to zero.
    Cosine,
    /// It stays.
    Constant,
}

impl ScheduleShape {
    /// Share of the learning rate that is left at the end.
    pub fn last_rate(self) -> f32 {
        match self {
            Self::Cosine => 0.0,
            Self::Constant => 1.0,
        }
    }
}

/// Mode of the batch norms that are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BatchNormMode {
    /// The backbone's own mean and variance of every channel.
    Frozen,
    /// Mean and variance of the batch; their running means go into the patch.
    Batch,
}

impl From<BatchNormMode> for gradient::BatchNormMode {
    fn from(mode: BatchNormMode) -> Self {
        match mode {
            BatchNormMode::Frozen => Self::Frozen,
            BatchNormMode::Batch => Self::Batch,
        }
    }
}

impl Arguments {
    /// The learning rate after the warm-up: the one given, or one that suits the kind and the optimiser.
    pub fn rate(&self) -> f32 {
        let from_scratch = if self.tasks.from_scratch { 10.0 } else { 1.0 };
        let rate = || from_scratch * rate(self.learned(), self.optimizer);
        self.lr.unwrap_or_else(rate)
    }

    /// What is learned: of several tasks everything, as only its own part is in the patch of each.
    pub fn learned(&self) -> TrainKind {
        match self.is_joint() {
            true => TrainKind::Full,
            false => self.kind,
        }
    }

    /// The images to learn from, of one task.
    pub fn data(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new(""))
    }

    /// The images that choose the best epoch.
    pub fn validation(&self) -> HeldOut<'_> {
        match &self.validation {
            Validation::Share(0.0) => HeldOut::None,
            Validation::Share(share) => HeldOut::Share(f64::from(*share)),
            Validation::Path(path) => HeldOut::Path(path),
        }
    }

    /// The images to test with.
    pub fn test(&self) -> HeldOut<'_> {
        match (&self.test, self.split) {
            (Some(path), _) => HeldOut::Path(path),
            (None, Some(share)) => HeldOut::Share(f64::from(share)),
            (None, None) => HeldOut::None,
        }
    }

    /// Everything that decides the outcome of the run on the data with these digests, for its checkpoint. The threads, the
    /// name and the pictures do not; `resolution` is the input's height and width.
    pub fn fingerprint(
        &self,
        backbone: &str,
        from_layer: usize,
        [data, validation, test]: [&str; 3],
        resolution: [usize; 2],
    ) -> Fingerprint {
        Fingerprint::default()
            .with("the version of patchtool", TOOL)
            .with("the backbone", backbone)
            .with("the digest of --data", data)
            .with("the digest of the validation images", validation)
            .with("the digest of the test images", test)
            .with("--kind", self.kind)
            .with("--from-layer", from_layer)
            .with("--epochs", self.epochs)
            .with("--lr", self.rate())
            .with("--scale-lr-multiplier", self.scale_lr_multiplier)
            .with("--batch", self.batch)
            .with(
                "--batch-norm",
                format!("{:?}", self.batch_norm).to_lowercase(),
            )
            .with(
                "--resolution",
                format!("{}x{}", resolution[0], resolution[1]),
            )
            .with("--seed", self.seed)
            .with(
                "--optimizer",
                format!("{:?}", self.optimizer).to_lowercase(),
            )
            .with("--warmup", self.warmup)
            .with("--schedule", format!("{:?}", self.schedule).to_lowercase())
            .with("--average", or_none(self.average))
            .with("--sparse", or_none(self.sparse))
            .with("--sparse-every", or_none(self.sparse_every))
            .with("--smoothing", self.smoothing)
            .with("--class-weights", self.class_weights)
            .with("--weight-decay", self.weight_decay)
            .with("--augment", self.augment)
            .with("--limit", or_none(self.limit))
            .with("--patience", or_none(self.patience))
    }
}

/// Learning rates that suit most tasks, found by trial: those of `RESULTS.md`, or somewhat more where few images, and so
/// few steps, want more.
fn rate(kind: TrainKind, algorithm: Algorithm) -> f32 {
    let adam = match kind {
        TrainKind::HEAD => 3e-3,
        // Filters are many values each, and want smaller steps than scales and biases.
        TrainKind::Patch(kinds) if kinds.contains(Kinds::DW) => 1e-3,
        TrainKind::Patch(_) | TrainKind::RandomHead => 2e-3,
        TrainKind::Full => 3e-4,
    };
    match algorithm {
        Algorithm::Adam => adam,
        // Momentum 0.9 multiplies steps by ten, but gradients are far below Adam's unit steps.
        Algorithm::Sgd | Algorithm::Nesterov => 20.0 * adam,
    }
}

fn or_none(value: Option<impl fmt::Display>) -> String {
    value.map_or("none".into(), |value| value.to_string())
}

fn count(most: u32) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(most))
}

fn split(text: &str) -> Result<f32, String> {
    number(
        text,
        |value| value > 0.0 && value < 1.0,
        "a share between 0 and 1",
    )
}

fn smoothing(text: &str) -> Result<f32, String> {
    number(
        text,
        |value| (0.0..1.0).contains(&value),
        "a share from 0 to below 1",
    )
}

fn not_negative(text: &str) -> Result<f32, String> {
    number(
        text,
        |value| value.is_finite() && value >= 0.0,
        "zero or a number above",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(flags: &str) -> Result<Arguments, String> {
        let line = format!("train --backbone b --data d -o t {flags}");
        match Line::try_parse_from(line.split_whitespace()) {
            Ok(line) => Ok(line.arguments),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let a = parse("").unwrap();
        assert_eq!(
            (a.kind, a.epochs, a.batch, a.seed),
            (TrainKind::BN_HEAD, 20, 32, 1)
        );
        assert_eq!((a.smoothing, a.warmup), (0.1, 1.0));
        assert_eq!(a.validation, Validation::Share(0.1));
        assert!(a.split.is_none() && a.class_weights == ClassWeights::None);
        assert!(a.patience.is_none() && a.test.is_none() && !a.resume);
        assert_eq!(a.rate(), rate(TrainKind::BN_HEAD, Algorithm::Adam));
        assert_eq!(parse("--lr 0.5").unwrap().rate(), 0.5);
        Line::command().debug_assert();
    }

    #[test]
    fn the_control_is_accepted_but_not_advertised() {
        assert_eq!(
            parse("--kind random+head").unwrap().kind,
            TrainKind::RandomHead
        );
        let help = Line::command().render_long_help().to_string();
        assert!(
            help.contains("bn+dw+head") && !help.contains("random"),
            "{help}"
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let flags = [
            "--epochs 0",
            "--batch 0",
            "--split 0",
            "--split 1",
            "--split NaN",
            "--lr 0",
            "--lr inf",
            "--smoothing 1",
            "--warmup -1",
            "--kind bn",
            "--device tpu",
            "--resolution 0",
            "--test e --split 0.5",
            "--limit 0",
            "--validation 1",
            "--validation -0.1",
            "--validation NaN",
            "--class-weights some",
            "--schedule linear",
            "--average two-point",
            "--average two-point:0",
            "--average ema:1",
            "--sparse keep-top:0.5",
            "--sparse-every 5",
            "--sparse keep-top:1 --sparse-every 5",
            "--sparse drop-top:0.5 --sparse-every 5 --average swa",
        ];
        for flag in flags {
            assert!(parse(flag).is_err(), "{flag}");
        }
        assert!(parse("--test e").is_ok());
        let number = parse("--validation 2024").unwrap_err();
        assert!(number.contains("is ./2024"), "{number}");
        let validation = |flag| parse(flag).unwrap().validation;
        assert_eq!(validation("--validation 0"), Validation::Share(0.0));
        assert_eq!(
            validation("--validation v.tar"),
            Validation::Path("v.tar".into())
        );
        assert_eq!(
            validation("--validation ./2024"),
            Validation::Path("./2024".into())
        );
    }

    #[test]
    fn what_decides_the_outcome_is_in_the_fingerprint_and_nothing_else() {
        let of = |flags| {
            parse(flags)
                .unwrap()
                .fingerprint("b", 0, ["d", "v", "t"], [96, 96])
        };
        let from = parse("")
            .unwrap()
            .fingerprint("b", 3, ["d", "v", "t"], [96, 96]);
        let differences = of("").differences(&from);
        assert_eq!(differences[0].to_string(), "--from-layer was 0, now 3");
        let same = "--threads 7 --name n --curves c.png --confusion m.png --probe --resume --force";
        assert_eq!(of(same), of(""));
        let flags = [
            "--kind head",
            "--epochs 3",
            "--lr 0.3",
            "--batch 3",
            "--seed 3",
            "--optimizer sgd",
            "--batch-norm batch",
            "--scale-lr-multiplier 1",
            "--warmup 3",
            "--smoothing 0.3",
            "--weight-decay 0.3",
            "--class-weights balanced",
            "--augment off",
            "--limit 3",
            "--patience 3",
            "--schedule constant",
            "--average swa",
            "--sparse keep-top:0.3 --sparse-every 3",
        ];
        for flag in flags {
            let differences = of("").differences(&of(flag));
            let name = flag.split_whitespace().next();
            assert!(
                differences.iter().any(|d| Some(d.name.as_str()) == name),
                "{flag}: {differences:?}"
            );
        }
    }
}
