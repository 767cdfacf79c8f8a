//! Heads that learn from labelled images on a frozen backbone, by one pass over them: [`graft_runtime::head_learner`] on the
//! host, for as many images as there are.

mod recipe;

use std::path::Path;

use graft_data::composed;
use graft_data::dataset::{Dataset, DatasetError};
use graft_data::image_file::ImageFileError;
use graft_data::left_out::LeftOut;
use graft_data::preprocess::Preprocess;
use graft_patches::PatchImage;
use graft_patches::head_patch::HeadPatchError;
use graft_patches::head_sums::HeadSumsRecord;
use graft_patches::records::Dtype;
use graft_patches::scale::Scale;
use graft_runtime::head_learner::{About, HeadLearner, LearnError, Projection, Recipe};
use graft_runtime::{Backbone, LayerOutput, Session};

use crate::bar;
use crate::watch::{Stopped, Watch};

pub use recipe::{RecipeError, RecipeFile, on_device};

/// Most words of sums: 8 GB.
const MOST_WORDS: usize = 2 << 30;

/// Reasons why a head cannot be learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaughtError {
    /// A data set that cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Images that cannot be read.
    #[error("{unreadable} of {total} images cannot be read")]
    Image {
        /// Number of unreadable images.
        unreadable: usize,
        /// Number of all images.
        total: usize,
        /// The first.
        source: ImageFileError,
    },
    /// What the learner refuses.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// A head that cannot be written.
    #[error(transparent)]
    Write(#[from] HeadPatchError),
    /// The backbone cannot be run.
    #[error(transparent)]
    Runtime(#[from] graft_runtime::Error),
    /// A class that the patch does not have.
    #[error("the patch has no class {class:?}")]
    NoSuchClass {
        /// The class.
        class: String,
    },
    /// A patch that cannot be gone on from.
    #[error("the patch has kept no sums to go on from")]
    NoSums,
    /// Sums that take more memory than a command may.
    #[error("sums of {classes} classes in {dimensions} dimensions take {gigabytes} GB")]
    TooLarge {
        /// Classes.
        classes: usize,
        /// Dimensions.
        dimensions: usize,
        /// Of memory.
        gigabytes: usize,
    },
    /// Sums of other classes than the labels.
    #[error("the patch has sums of {found} classes and {expected} labels")]
    Labels {
        /// Classes of the sums.
        found: usize,
        /// Labels.
        expected: usize,
    },
    /// It was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl TaughtError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Dataset(error) => error.hint(),
            Self::Image { source, .. } => source.hint(),
            Self::Learn(error) => error.hint(),
            Self::Write(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Stopped(_) => "start it again",
            Self::NoSuchClass { .. } => "name a class of the patch: patchtool inspect lists them",
            Self::NoSums => {
                "make it with patchtool generate --method gd++ --keep-sums; a patch of a HyperTransformer goes on with --hyper"
            }
            Self::TooLarge { .. } => "give fewer --dimensions, as 256",
            Self::Labels { .. } => {
                "the file is damaged or was made by a faulty tool: make it again"
            }
        }
    }
}

/// An embedding that outlives its session.
enum Embedding {
    F32(Vec<f32>),
    I8(Vec<i8>, Scale),
}

impl Embedding {
    fn of(backbone: &Backbone, pixels: &[u8]) -> Result<Self, graft_runtime::Error> {
        let mut own = None;
        let mut session = Session::new(backbone)?;
        session.run_embedding(&backbone.identity(), pixels, |output| {
            own = Some(match output {
                LayerOutput::F32(values) => Self::F32(values.to_vec()),
                LayerOutput::I8(bytes, scale) => Self::I8(bytes.to_vec(), scale),
            });
        })?;
        own.ok_or(graft_runtime::Error::NoHead)
    }

    fn view(&self) -> LayerOutput<'_> {
        match self {
            Self::F32(values) => LayerOutput::F32(values),
            Self::I8(bytes, scale) => LayerOutput::I8(bytes, *scale),
        }
    }
}

/// The images of a data set, and the way to the backbone's input.
#[derive(Debug)]
pub struct Images {
    dataset: Dataset,
    preprocess: Preprocess,
    watch: Watch,
}

impl Images {
    /// All images of a folder or archive laid out `class/image.(jpg|png)`. `watch` follows the work on them.
    ///
    /// # Errors
    /// A data set that cannot be opened, or has a class without images.
    pub fn open(path: &Path, preprocess: &Preprocess, watch: Watch) -> Result<Self, DatasetError> {
        let dataset = Dataset::open(path)?;
        dataset.check_empty()?;
        Ok(Self {
            dataset,
            preprocess: preprocess.clone(),
            watch,
        })
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.dataset.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Class names.
    pub fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    /// What else was found beside the images.
    pub fn left_out(&self) -> &LeftOut {
        self.dataset.left_out()
    }

    /// Computes the embeddings of these images on all cores, and gives `each` the class and the embedding, in order.
    fn embed(
        &self,
        backbone: &Backbone,
        indices: &[usize],
        mut each: impl FnMut(&str, LayerOutput<'_>) -> Result<(), TaughtError>,
    ) -> Result<(), TaughtError> {
        let bar = bar::images(indices.len(), &self.watch);
        let embedding = |_, image| Embedding::of(backbone, &self.preprocess.pixels(&image));
        let unreadable = self
            .dataset
            .for_each(indices, embedding, |index, embedding| {
                let class = self.dataset.items()[index].class;
                each(&self.dataset.classes()[class], embedding?.view())?;
                Ok::<_, TaughtError>(bar.inc()?)
            })?;
        bar.finish_and_clear();
        let count = unreadable.len();
        match unreadable.into_iter().next() {
            None => Ok(()),
            Some(source) => Err(TaughtError::Image {
                unreadable: count,
                total: indices.len(),
                source,
            }),
        }
    }
}

/// Memory for the sums of so many classes.
fn sums(dimensions: usize, classes: usize) -> Result<Vec<i32>, TaughtError> {
    let words = HeadLearner::words_len(dimensions, classes.max(2));
    match words > MOST_WORDS {
        true => Err(TaughtError::TooLarge {
            classes,
            dimensions,
            gigabytes: words >> 28,
        }),
        false => Ok(vec![0; words]),
    }
}

/// A learner with the names of its classes.
#[derive(Debug)]
pub struct Taught<'m> {
    backbone: Backbone,
    learner: HeadLearner<'m>,
    labels: Vec<String>,
}

impl<'m> Taught<'m> {
    /// One that has seen nothing, with memory for `classes` classes.
    ///
    /// # Errors
    /// As [`HeadLearner::new`].
    pub fn new(
        backbone: &Backbone,
        projection: Projection,
        classes: usize,
        memory: &'m mut Vec<i32>,
    ) -> Result<Self, TaughtError> {
        *memory = sums(projection.dimensions(), classes)?;
        Ok(Self {
            backbone: backbone.clone(),
            learner: HeadLearner::new(projection, memory)?,
            labels: Vec::new(),
        })
    }

    /// One that goes on from a patch, with memory for `more` classes beside its own.
    ///
    /// # Errors
    /// [`TaughtError::NoSums`], a patch for another backbone or whose metadata cannot be read.
    pub fn resume(
        backbone: &Backbone,
        patch: &PatchImage<'_>,
        more: usize,
        memory: &'m mut Vec<i32>,
    ) -> Result<Self, TaughtError> {
        let image = backbone.image();
        patch
            .check_against(&image, graft_patches::Verify::Full)
            .map_err(graft_runtime::Error::from)?;
        let sums = patch.head_sums().ok_or(TaughtError::NoSums)?;
        let labels = patch.metadata().map_err(graft_runtime::Error::from)?.labels;
        let (found, expected) = (sums.classes(), labels.len());
        if found != expected {
            return Err(TaughtError::Labels { found, expected });
        }
        *memory = self::sums(sums.dimensions(), found + more)?;
        Ok(Self {
            backbone: backbone.clone(),
            learner: HeadLearner::resume(&sums, memory)?,
            labels,
        })
    }

    /// Class names, in the order of the head.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Examples of all classes.
    pub fn examples(&self) -> usize {
        let classes = 0..self.learner.classes();
        classes.map(|class| self.learner.examples(class)).sum()
    }

    /// The way from embeddings to integers.
    pub fn projection(&self) -> &Projection {
        self.learner.projection()
    }

    /// Bytes of its sums.
    pub fn sums_bytes(&self) -> usize {
        size_of::<HeadSumsRecord>() + size_of_val(self.learner.sums())
    }

    /// The class of this name, in whatever form its accents are.
    fn class(&self, name: &str) -> Option<usize> {
        let name = composed(name);
        self.labels.iter().position(|label| composed(label) == name)
    }

    /// Adds all images of a set. Classes that it does not know are new.
    ///
    /// # Errors
    /// Images that cannot be read, more classes than there is memory for.
    pub fn add(&mut self, images: &Images) -> Result<(), TaughtError> {
        let indices: Vec<usize> = (0..images.len()).collect();
        let backbone = self.backbone.clone();
        images.embed(&backbone, &indices, |name, embedding| {
            let class = self.class(name);
            self.learner
                .add(class.unwrap_or(self.labels.len()), embedding)?;
            if class.is_none() {
                self.labels.push(name.into());
            }
            Ok(())
        })
    }

    /// Takes all images of a set away again, and the classes that have no others. Those of classes that are `forgotten` are gone.
    ///
    /// # Errors
    /// A class that it does not know, an image of which the sums show that it was not given: they do not show it of all.
    pub fn subtract(&mut self, images: &Images, forgotten: &[String]) -> Result<(), TaughtError> {
        let forgotten: Vec<String> = forgotten.iter().map(|name| composed(name)).collect();
        let is_left = |&index: &usize| {
            let class = &images.classes()[images.dataset.items()[index].class];
            !forgotten.contains(&composed(class))
        };
        let indices: Vec<usize> = (0..images.len()).filter(is_left).collect();
        let backbone = self.backbone.clone();
        images.embed(&backbone, &indices, |name, embedding| {
            let class = self.class(name).ok_or_else(|| TaughtError::NoSuchClass {
                class: name.to_owned(),
            })?;
            Ok(self.learner.subtract(class, embedding)?)
        })?;
        for class in (0..self.labels.len()).rev() {
            if self.learner.examples(class) == 0 {
                self.learner.forget(class)?;
                self.labels.remove(class);
            }
        }
        Ok(())
    }

    /// Takes a class away with all of its images.
    ///
    /// # Errors
    /// A class that it does not know.
    pub fn forget(&mut self, name: &str) -> Result<(), TaughtError> {
        let class = self.class(name).ok_or_else(|| TaughtError::NoSuchClass {
            class: name.to_owned(),
        })?;
        self.learner.forget(class)?;
        self.labels.remove(class);
        Ok(())
    }

    /// The patch of the head that it learns by a recipe.
    ///
    /// # Errors
    /// Fewer than two classes, values that `dtype` cannot hold.
    pub fn patch(
        &self,
        recipe: &Recipe<'_>,
        name: &str,
        dtype: Dtype,
        keeps_sums: bool,
    ) -> Result<Vec<u8>, TaughtError> {
        let mut work = vec![0.0; self.learner.work_len(recipe.method)];
        let mut weights = vec![0.0; self.learner.weights_len()];
        let head = self.learner.learn(recipe, &mut work, &mut weights)?;
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let about = About {
            name,
            labels: &labels,
            dtype,
            keeps_sums,
        };
        let image = self.backbone.image();
        self.learner.patch(image, (&head, recipe), about, |patch| {
            let mut bytes = vec![0; patch.length()?];
            patch.write(&mut bytes)?;
            Ok(bytes)
        })
    }
}
