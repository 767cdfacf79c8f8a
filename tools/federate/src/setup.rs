//! What clients are made of: a backbone, images, and settings that all clients of a federation share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use graft_data::augment::Augment;
use graft_data::cache::{CacheError, default_folder};
use graft_data::dataset::Dataset;
use graft_data::evaluation_set::EvaluationSet;
use graft_data::labels::read_labels;
use graft_data::preprocess::Preprocess;
use graft_data::split::match_classes;
use graft_data::training_set::TrainingSet;
use graft_patches::Digest;
use graft_runtime::Backbone;
use graft_runtime::gradient::BatchNormMode;
use patchtool::commands::arguments::{Common, above_zero, resolution};
use patchtool::hint::Hint;
use patchtool::train::fingerprint::Fingerprint;
use patchtool::train::learner::Settings;
use patchtool::train::optimizer::Algorithm;
use patchtool::trained::{BackboneRef, ClassWeights, DataRef, Metrics, TrainKind, Trained};
use patchtool::{TOOL, bar, input, task};

use crate::choice::{Belief, Trust};
use crate::client::{Client, Images, Plan};
use crate::message::Federation;

/// Pulls weights towards zero, and lets scales and biases learn faster: as `patchtool train` does by default.
const WEIGHT_DECAY: f32 = 1e-4;
const SCALE_LR_MULTIPLIER: f32 = 3.0;

/// Options of learning that `federate` and `agent` share.
#[derive(Clone, Debug, Args)]
pub struct Learning {
    /// Kind of the patches: bn+head, dw+head, bn+dw+head or head.
    #[arg(long, default_value_t)]
    pub kind: TrainKind,
    /// Heads that learn from others: head 1 from the main heads of neighbours, head 2 from their heads 1, and so on. Knowledge
    /// travels one client a head: a ring of five needs two. The backbone must have room for the classes of all heads together.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub heads: u8,
    /// Rounds. In each, a client says what it thinks of every public image, and then sees each of them once and as many of its own.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: u32,
    /// Private images of a step, and as many public ones.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=4096))]
    pub batch: u32,
    /// Largest learning rate.
    #[arg(long, value_name = "RATE", default_value_t = 2e-3, value_parser = above_zero)]
    pub lr: f32,
    /// Weight of what is learned from others.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = above_zero)]
    pub weight: f32,
    /// Measure of a teacher's confidence, by which the one to believe is chosen: rank bounds what one client can do to the
    /// others, probability is for clients that trust each other.
    #[arg(long, value_enum, default_value_t)]
    pub trust: Trust,
    /// Neighbours that are asked about a public image in a round, drawn at random; by default all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub asked: Option<u8>,
    /// Rounds for which what a neighbour said is good.
    #[arg(long, value_name = "ROUNDS", default_value_t = 3)]
    pub fresh: u32,
    /// Augmentation of images: default, none, or some of crop,flip,color.
    #[arg(long, value_name = "HOW", default_value_t = Augment::default())]
    pub augment: Augment,
    /// Side of the input in pixels, or HEIGHTxWIDTH: at most the backbone's, which is the default.
    #[arg(long, value_name = "PX", value_parser = resolution)]
    pub resolution: Option<[usize; 2]>,
    /// Of every random number.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Threads; by default one a core.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub threads: usize,
    /// Folder where decoded images are kept for the next run. By default `graft/images` in the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
}

impl Learning {
    /// The plan of a client with so many heads besides the main one.
    pub fn plan(&self, heads: usize) -> Plan {
        Plan {
            heads,
            rounds: self.rounds,
            batch: self.batch as usize,
            rate: self.lr,
            weight: self.weight,
            augment: self.augment,
            seed: self.seed,
        }
    }

    /// Whom a client believes.
    pub fn belief(&self) -> Belief {
        Belief {
            trust: self.trust,
            asked: self.asked.map(usize::from),
        }
    }

    /// All of it that decides what a client learns.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::default()
            .with("--kind", self.kind)
            .with("--heads", self.heads)
            .with("--rounds", self.rounds)
            .with("--batch", self.batch)
            .with("--lr", self.lr)
            .with("--weight", self.weight)
            .with("--trust", self.trust)
            .with("--asked", format!("{:?}", self.asked))
            .with("--fresh", self.fresh)
            .with("--augment", self.augment)
            .with("--resolution", format!("{:?}", self.resolution))
            .with("--seed", self.seed)
    }

    fn check_kind(&self) -> Result<()> {
        if matches!(self.kind, TrainKind::Patch(_)) {
            return Ok(());
        }
        bail!(Hint::new(
            format!("{} is no kind of patch", self.kind),
            "clients share a frozen backbone: give bn+head, dw+head, bn+dw+head or head",
        ))
    }
}

/// Some images of a data set.
pub struct Part<'a> {
    /// The data set.
    pub dataset: &'a Dataset,
    /// Which of its images.
    pub indices: &'a [usize],
}

/// A backbone with all that is the same for every client that has it.
pub struct Setup<'a> {
    backbone: Backbone,
    template: Trained,
    preprocess: Preprocess,
    settings: Settings,
    learning: &'a Learning,
    common: &'a Common,
    public: Arc<TrainingSet>,
    public_inputs: Arc<EvaluationSet>,
}

impl<'a> Setup<'a> {
    /// Opens a backbone, and brings the public images to its input.
    ///
    /// # Errors
    /// Whatever cannot be opened or learned on.
    pub fn open(
        backbone: &Path,
        labels: &[String],
        public: &Part<'_>,
        learning: &'a Learning,
        common: &'a Common,
    ) -> Result<Self> {
        learning.check_kind()?;
        let backbone = input::backbone(backbone)?;
        let image = backbone.image();
        let metadata = image.metadata()?;
        let mut input = image.input();
        if let Some([height, width]) = learning.resolution {
            (input.shape.height, input.shape.width) = (height, width);
        }
        let resize = metadata.resize.uncropped();
        let preprocess = task::preprocess(&input, resize)?;
        let template = Trained {
            kind: learning.kind,
            name: String::new(),
            tool: TOOL.into(),
            backbone: BackboneRef {
                name: metadata.name,
                id: image.id(),
            },
            from_layer: 0,
            input,
            resize,
            labels: labels.to_vec(),
            seed: learning.seed,
            class_weights: ClassWeights::None,
            data: DataRef::default(),
            metrics: Metrics::default(),
            sites: Default::default(),
        };
        let settings = Settings {
            kind: learning.kind,
            algorithm: Algorithm::Adam,
            weight_decay: WEIGHT_DECAY,
            scale_lr_multiplier: SCALE_LR_MULTIPLIER,
            batch_norm: BatchNormMode::Frozen,
            smoothing: 0.0,
            from_layer: 0,
            seed: learning.seed,
        };
        let cache = folder(learning);
        let public_inputs = inputs(public, &preprocess, cache.as_deref(), common)?;
        if let Some(unreadable) = public_inputs.unreadable().first() {
            bail!(Hint::new(
                format!("a public image cannot be read: {}", unreadable.reason),
                "take it away from every client: all number them alike",
            ));
        }
        Ok(Self {
            public: Arc::new(training(public, &preprocess, cache.as_deref(), common)?),
            public_inputs: Arc::new(public_inputs),
            backbone,
            template,
            preprocess,
            settings,
            learning,
            common,
        })
    }

    /// The backbone's id.
    pub fn id(&self) -> Digest {
        self.template.backbone.id
    }

    /// A client with so many heads besides the main one, that learns these images, whose classes are those of the labels.
    ///
    /// # Errors
    /// Images that cannot be learned.
    pub fn client(&self, heads: usize, private: &Part<'_>, path: &Path) -> Result<Client> {
        let cache = folder(self.learning);
        let private = training(private, &self.preprocess, cache.as_deref(), self.common)?;
        let mut template = self.template.clone();
        template.data = DataRef {
            path: path.display().to_string(),
            digest: Digest::of(private.digest().as_bytes()),
            images: private.len() as u32,
            ..DataRef::default()
        };
        let images = Images {
            private: Arc::new(private),
            public: self.public.clone(),
            public_inputs: self.public_inputs.clone(),
        };
        Client::new(
            &self.backbone,
            template,
            images,
            self.preprocess.clone(),
            self.settings,
            self.learning.plan(heads),
        )
    }

    /// Images to test with, whose classes are those of the labels.
    ///
    /// # Errors
    /// Images that cannot be read.
    pub fn test(&self, part: &Part<'_>) -> Result<EvaluationSet> {
        let cache = folder(self.learning);
        inputs(part, &self.preprocess, cache.as_deref(), self.common)
    }
}

fn folder(learning: &Learning) -> Option<PathBuf> {
    learning.cache.clone().or_else(default_folder)
}

fn training(
    part: &Part<'_>,
    preprocess: &Preprocess,
    cache: Option<&Path>,
    common: &Common,
) -> Result<TrainingSet> {
    with_bar(part, common, |progress| {
        TrainingSet::open(part.dataset, part.indices, preprocess, cache, progress)
    })
}

fn inputs(
    part: &Part<'_>,
    preprocess: &Preprocess,
    cache: Option<&Path>,
    common: &Common,
) -> Result<EvaluationSet> {
    with_bar(part, common, |progress| {
        EvaluationSet::open(part.dataset, part.indices, preprocess, cache, progress)
    })
}

/// Decodes images under a bar.
fn with_bar<T>(
    part: &Part<'_>,
    common: &Common,
    decode: impl FnOnce(&mut dyn FnMut(usize) -> bool) -> Result<T, CacheError>,
) -> Result<T> {
    let bar = bar::images(part.indices.len(), &common.watch());
    let decoded = decode(&mut |count| bar.set_position(count).is_ok());
    bar.finish_and_clear();
    Ok(decoded?)
}

/// The federation of clients with these labels, public images, and numbers of heads besides the main one and of rounds. A public
/// image that cannot be read would be another number for each client, so all must be read.
///
/// # Errors
/// An image that cannot be read.
pub fn federation(
    public: &Part<'_>,
    labels: &[String],
    (heads, rounds): (usize, u32),
) -> Result<Federation> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(labels.len() as u64).to_le_bytes());
    for label in labels {
        hasher.update(blake3::hash(label.as_bytes()).as_bytes());
    }
    hasher.update(&(heads as u64).to_le_bytes());
    hasher.update(&rounds.to_le_bytes());
    for &image in public.indices {
        let bytes = public
            .dataset
            .read(image)
            .context("all clients need all public images")?;
        hasher.update(blake3::hash(&bytes).as_bytes());
    }
    Ok(Federation {
        digest: Digest(*hasher.finalize().as_bytes()),
        images: public.indices.len(),
        classes: labels.len(),
        speaking: heads,
    })
}

/// Class names, one a line.
///
/// # Errors
/// A file that cannot be read, or a single class.
pub fn labels(path: &Path) -> Result<Vec<String>> {
    let labels = read_labels(path)?;
    graft_data::split::check_classes(&labels)?;
    Ok(labels)
}

/// A data set whose class folders are some of these labels.
///
/// # Errors
/// A data set that cannot be opened, or has others.
pub fn labelled(path: &Path, labels: &[String]) -> Result<Dataset> {
    let mut dataset = Dataset::open(path)?;
    let unknown = dataset
        .classes()
        .iter()
        .find(|class| !labels.contains(class));
    if let Some(class) = unknown {
        bail!(Hint::new(
            format!(
                "{} has the class {class}, which is none of the labels",
                path.display()
            ),
            "name class folders as the labels are, on which all clients agree",
        ));
    }
    match_classes(&mut dataset, labels, "private")?;
    Ok(dataset)
}
