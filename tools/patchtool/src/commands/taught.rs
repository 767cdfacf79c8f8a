//! Heads that learn from labelled images: `generate --method gd`, `gd++` or `ridge`, and what goes on from their sums.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use graft_patches::PatchImage;
use graft_patches::records::Dtype;
use graft_runtime::head_learner::{GD, GD_PLUS_PLUS, Projection, RIDGE, Recipe};
use graft_runtime::{Backbone, Patch, Verify};
use serde_json::json;

use crate::commands::arguments::{Common, Output};
use crate::hint::Hint;
use crate::input::{self, ImageFile};
use crate::report::{Report, bytes};
use crate::task;
use crate::taught::{Images, RecipeError, RecipeFile, Taught};
use crate::threads;
use crate::watch::{Event, Stopped, Watch};
use graft_data::output;
use graft_data::preprocess::Preprocess;
use graft_data::split::check_classes;

/// Dimensions of sums that a patch keeps, unless told otherwise.
const KEPT_DIMENSIONS: usize = 128;
/// Seed of the signs of projections: any will do, but whoever compares patches wants the same.
const SEED: u32 = 0;

/// How a head learns from its examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HeadRule {
    /// Steps of gradient descent.
    Gd,
    /// Steps of gradient descent that transform the examples, too.
    #[value(name = "gd++")]
    GdPlusPlus,
    /// Ridge regression, which gradient descent goes on to.
    Ridge,
}

impl HeadRule {
    fn recipe(self) -> Recipe<'static> {
        match self {
            Self::Gd => GD,
            Self::GdPlusPlus => GD_PLUS_PLUS,
            Self::Ridge => RIDGE,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gd => "gd",
            Self::GdPlusPlus => "gd++",
            Self::Ridge => "ridge",
        }
    }
}

/// Options of heads that learn.
#[derive(Debug, Args)]
pub struct Options {
    /// JSON file with the steps of gd or gd++, or the lambda of ridge, and the confidence of scores; by default those that were
    /// learned for EfficientNet-Lite0.
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Dimensions that embeddings are projected to; by default their own, or 128 with --keep-sums.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8192))]
    pub dimensions: Option<u16>,
    /// Keep the sums in the patch, so that learn and forget can go on from it: in D dimensions, 2 D (D + 3) bytes a class. Sums of a class of one
    /// image are that image's embedding.
    #[arg(long)]
    pub keep_sums: bool,
}

impl Options {
    /// Whether any is given.
    pub fn is_any(&self) -> bool {
        self.recipe.is_some() || self.dimensions.is_some() || self.keep_sums
    }
}

/// How a head is to learn: the file, else the method, else `kept`, else GD++.
fn chosen(
    rule: Option<HeadRule>,
    file: Option<&Path>,
    kept: Option<RecipeFile>,
) -> Result<RecipeFile> {
    let Some(path) = file else {
        let own = rule.map(|rule| RecipeFile::from(&rule.recipe()));
        return Ok(own.or(kept).unwrap_or(RecipeFile::from(&GD_PLUS_PLUS)));
    };
    let cannot = || format!("cannot use {}", path.display());
    let read = recipe(path)?;
    read.with(|_| ()).with_context(cannot)?;
    match rule.is_some_and(|rule| rule.name() != read.method()) {
        true => Err(RecipeError::Other {
            found: read.method(),
        })
        .with_context(cannot),
        false => Ok(read),
    }
}

/// The recipe in a file.
///
/// # Errors
/// A file that cannot be read, or is none.
pub fn recipe(path: &Path) -> Result<RecipeFile> {
    let cannot = || format!("cannot read the recipe {}", path.display());
    let text = std::fs::read_to_string(path).with_context(cannot)?;
    serde_json::from_str(&text)
        .map_err(|error| RecipeError::Text {
            problem: error.to_string(),
        })
        .with_context(cannot)
}

/// What heads are learned on, and where they go.
pub struct Bench<'a> {
    backbone: Backbone,
    preprocess: Preprocess,
    to: &'a Output,
    watch: Watch,
}

impl<'a> Bench<'a> {
    /// Opens the backbone, and checks that the output may be written and is none of the inputs.
    ///
    /// # Errors
    /// A file that cannot be read, an output that is there already.
    pub fn open(
        backbone: &Path,
        inputs: &[&Path],
        to: &'a Output,
        common: &Common,
    ) -> Result<Self> {
        output::check(&to.output, to.force)?;
        for input in inputs.iter().chain([&backbone]) {
            output::check_apart(&to.output, input)?;
        }
        threads::start(0)?;
        let backbone = input::backbone(backbone)?;
        let image = backbone.image();
        let resize = image.metadata()?.resize.uncropped();
        let preprocess = task::preprocess(&image.input(), resize)?;
        Ok(Self {
            backbone,
            preprocess,
            to,
            watch: common.watch(),
        })
    }

    fn images(&self, path: &Path) -> Result<Images> {
        Images::open(path, &self.preprocess, self.watch.clone())
            .with_context(|| format!("cannot learn from {}", path.display()))
    }

    /// A head from nothing.
    ///
    /// # Errors
    /// Images that cannot be used, too many classes.
    pub fn generate(
        &self,
        rule: HeadRule,
        options: &Options,
        support: &Path,
        name: &str,
        is_half: bool,
    ) -> Result<Report> {
        let start = Instant::now();
        if is_half && self.backbone.image().dtype() == Dtype::I8 {
            bail!(Hint::new(
                "heads that learn are stored in int8 for an int8 backbone".into(),
                "leave --f16 out",
            ));
        }
        let recipe = chosen(Some(rule), options.recipe.as_deref(), None)?;
        let images = self.images(support)?;
        check_classes(images.classes())?;
        let dimensions = match (options.dimensions, options.keep_sums) {
            (Some(own), _) => own.into(),
            (None, true) => KEPT_DIMENSIONS,
            (None, false) => usize::MAX,
        };
        let projection = Projection::of(&self.backbone.image(), dimensions, SEED)?;
        let mut memory = Vec::new();
        let classes = images.classes().len();
        let mut taught = Taught::new(&self.backbone, projection, classes, &mut memory)?;
        taught.add(&images)?;
        let mut report = recipe.with(|recipe| {
            self.finish(&taught, recipe, name, is_half, options.keep_sums, start)
        })??;
        report.json["left_out"] = json!(images.left_out());
        Ok(report)
    }

    /// A patch that goes on from another one, changed by `change`, which gets the images of `support` where it is given.
    fn go_on(
        &self,
        from: &Path,
        support: Option<&Path>,
        how: &GoOn,
        change: impl FnOnce(&mut Taught<'_>, Option<&Images>) -> Result<()>,
    ) -> Result<Report> {
        let start = Instant::now();
        let file = ImageFile::of_graft(from)?;
        let cannot = || format!("cannot go on from {}", from.display());
        let patch = PatchImage::open(file.bytes(), Verify::Full).with_context(cannot)?;
        let images = support.map(|path| self.images(path)).transpose()?;
        let more = images.as_ref().map_or(0, |images| images.classes().len());
        let mut memory = Vec::new();
        let mut taught =
            Taught::resume(&self.backbone, &patch, more, &mut memory).with_context(cannot)?;
        change(&mut taught, images.as_ref())?;
        let (name, is_half) = (patch.metadata()?.name, patch.dtype() == Dtype::F16);
        let kept = patch.head_sums().as_ref().map(RecipeFile::from);
        let recipe = chosen(how.method, how.recipe.as_deref(), kept)?;
        let mut report = recipe
            .with(|recipe| self.finish(&taught, recipe, &name, is_half, !how.drop_sums, start))??;
        if let Some(images) = &images {
            report.json["left_out"] = json!(images.left_out());
        }
        Ok(report)
    }

    /// Makes the patch and writes it.
    fn finish(
        &self,
        taught: &Taught<'_>,
        recipe: &Recipe<'_>,
        name: &str,
        is_half: bool,
        keeps_sums: bool,
        start: Instant,
    ) -> Result<Report> {
        let dtype = match (self.backbone.image().dtype(), is_half) {
            (Dtype::F32 | Dtype::F16, true) => Dtype::F16,
            (Dtype::I8 | Dtype::I8Half, true) => Dtype::I8Half,
            (own, false) => own,
        };
        let embedded = start.elapsed();
        let patch = taught.patch(recipe, name, dtype, keeps_sums)?;
        let learned = start.elapsed() - embedded;
        // What a device would refuse is not written.
        let bound = Patch::from_bytes(&patch, &self.backbone)?;
        stop_before_writing(&self.watch, taught.examples())?;
        let Output { output, force } = self.to;
        output::write_atomically(output, *force, |file| file.write_all(&patch))?;
        let sums = if keeps_sums { taught.sums_bytes() } else { 0 };
        let kept = match sums {
            0 => String::new(),
            sums => format!(", of them {} sums to go on from", bytes(sums)),
        };
        let receipt = bound.receipt();
        let text = format!(
            "{}: {} patch of {} classes from {} images, {}{kept}\n{:.0} ms for the embeddings, {:.1} ms for the head\n",
            output.display(),
            receipt.kinds,
            taught.labels().len(),
            taught.examples(),
            bytes(patch.len()),
            1e3 * embedded.as_secs_f64(),
            1e3 * learned.as_secs_f64(),
        );
        let json = json!({
            "patch": output.display().to_string(),
            "kinds": receipt.kinds.to_string(),
            "images": taught.examples(),
            "classes": taught.labels().len(),
            "labels": taught.labels(),
            "method": RecipeFile::from(recipe).method(),
            "dimensions": taught.projection().dimensions(),
            "bytes": patch.len(),
            "sums_bytes": sums,
            "embed_ms": 1e3 * embedded.as_secs_f64(),
            "generate_ms": 1e3 * learned.as_secs_f64(),
        });
        Ok(Report::new(text, json))
    }
}

/// Whoever follows a command may stop it until its output is written; `images` are done.
///
/// # Errors
/// [`Stopped`].
pub fn stop_before_writing(watch: &Watch, images: usize) -> Result<(), Stopped> {
    watch.tell(&Event::Images {
        done: images,
        all: images,
    })
}

/// How a head goes on from sums.
#[derive(Debug, Args)]
pub struct GoOn {
    /// How the head learns; by default as before.
    #[arg(long, value_enum)]
    method: Option<HeadRule>,
    /// JSON file with the recipe, as of generate.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Leave the sums out of the new patch: nothing goes on from it.
    #[arg(long)]
    drop_sums: bool,
}

/// Goes on learning from the sums of a patch.
///
/// # Errors
/// Whatever cannot be read, or does not fit the patch or the backbone.
pub fn learn(
    backbone: &Path,
    patch: &Path,
    support: &Path,
    how: &GoOn,
    (to, common): (&Output, &Common),
) -> Result<Report> {
    let bench = Bench::open(backbone, &[patch, support], to, common)?;
    bench.go_on(patch, Some(support), how, |taught, images| {
        images.map_or(Ok(()), |images| Ok(taught.add(images)?))
    })
}

/// Arguments of `forget`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool generate --method gd++ --keep-sums -b demo.backbone --support letters -o letters.patch
  patchtool forget -b demo.backbone -p letters.patch --class alpha -o without-alpha.patch
  patchtool forget -b demo.backbone -p letters.patch --support withdrawn -o without-those.patch")]
pub struct ForgetArguments {
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// The patch to go on from, which has kept its sums. It is left as it is.
    #[arg(short, long, value_name = "P")]
    patch: PathBuf,
    /// Class to forget with all of its images; may be given several times.
    #[arg(long, value_name = "LABEL")]
    class: Vec<String>,
    /// Folder or archive with images to forget, each in the folder of its class: the very files that were learned from.
    #[arg(long, value_name = "DIR")]
    support: Option<PathBuf>,
    #[command(flatten)]
    how: GoOn,
    #[command(flatten)]
    output: Output,
}

/// Takes classes or images out of a patch as if it had never seen them.
///
/// # Errors
/// Whatever cannot be read, or was never learned.
pub fn forget(arguments: &ForgetArguments, common: &Common) -> Result<Report> {
    let ForgetArguments { patch, class, .. } = arguments;
    let support = arguments.support.as_deref();
    if class.is_empty() && support.is_none() {
        return Err(Hint::new(
            "nothing to forget".into(),
            "name a class with --class, or give the images with --support",
        )
        .into());
    }
    let inputs: Vec<&Path> = support.into_iter().chain([patch.as_path()]).collect();
    let bench = Bench::open(&arguments.backbone, &inputs, &arguments.output, common)?;
    let mut report = bench.go_on(patch, support, &arguments.how, |taught, images| {
        // Whole classes first: their names are checked before anything is embedded.
        for class in class {
            taught.forget(class)?;
        }
        let images = images.filter(|images| !images.is_empty());
        images.map_or(Ok(()), |images| Ok(taught.subtract(images, class)?))
    })?;
    report.text +=
        "the patch that it was made of still knows them: delete it where they must not be kept\n";
    Ok(report)
}
