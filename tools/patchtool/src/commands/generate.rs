//! `patchtool generate` and `patchtool learn`: a patch of a few labelled images, and the next one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use graft_patches::PatchImage;
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch, Verify};
use serde_json::json;

use crate::commands::arguments::{Common, Output};
use crate::commands::taught::{self, Bench, GoOn, HeadRule};
use crate::file_kind::Expected;
use crate::hint::Hint;
use crate::hyper::{Generated, Hyper, SupportSet, prototype};
use crate::input::{self, ImageFile};
use crate::report::{Report, bytes};
use crate::task;
use crate::threads;
use crate::watch::Watch;
use graft_data::output;
use graft_data::preprocess::Preprocess;
use graft_data::split::check_classes;
use graft_data::{composed, first};

/// Arguments of `generate`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool generate --hyper omniglot.hyper --support drawings -o drawings.patch
  patchtool generate --method gd++ --backbone lite0.backbone --support drawings -o drawings.patch")]
pub struct Arguments {
    /// Method that makes the patch.
    #[arg(long, value_enum, default_value_t = Method::Hyper)]
    method: Method,
    /// Generator file, for the method of that name.
    #[arg(long, value_name = "H")]
    hyper: Option<PathBuf>,
    /// Backbone file; by default the one beside the generator.
    #[arg(short, long, value_name = "B")]
    backbone: Option<PathBuf>,
    /// Folder or tar archive with a few images of each class, laid out class/image.(jpg|png).
    #[arg(long, value_name = "DIR")]
    support: PathBuf,
    /// Images of these classes whose labels are not known, or folders of them: for generators trained with
    /// meta-train --unlabelled.
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    unlabelled: Vec<PathBuf>,
    /// Task name; by default that of the folder or archive.
    #[arg(long)]
    name: Option<String>,
    /// Store values in half precision; for an int8 backbone, its tables.
    #[arg(long)]
    f16: bool,
    #[command(flatten)]
    taught: taught::Options,
    #[command(flatten)]
    output: Output,
}

/// The method that makes a patch of a support set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// All that a HyperTransformer generates.
    Hyper,
    /// A head of class means: of any backbone, in closed form.
    Prototype,
    /// A head by steps of gradient descent on sums of the embeddings, of any backbone.
    Gd,
    /// As gd, with steps that transform the examples, too.
    #[value(name = "gd++")]
    GdPlusPlus,
    /// A head by ridge regression, of any backbone.
    Ridge,
}

impl Method {
    /// How the head learns, where it learns from sums.
    fn rule(self) -> Option<HeadRule> {
        match self {
            Self::Hyper | Self::Prototype => None,
            Self::Gd => Some(HeadRule::Gd),
            Self::GdPlusPlus => Some(HeadRule::GdPlusPlus),
            Self::Ridge => Some(HeadRule::Ridge),
        }
    }
}

/// Makes a patch of a support set.
///
/// # Errors
/// Whatever cannot be read, does not fit the backbone, or cannot be written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    if arguments.method != Method::Hyper && !arguments.unlabelled.is_empty() {
        bail!(Hint::new(
            "only a HyperTransformer learns from images without a class".into(),
            "leave --unlabelled out, or give a generator with --hyper",
        ));
    }
    if let Some(rule) = arguments.method.rule() {
        return arguments.taught(rule, common);
    }
    if arguments.taught.is_any() {
        bail!(Hint::new(
            "--recipe, --dimensions and --keep-sums are for heads that learn".into(),
            "give --method gd++ with them",
        ));
    }
    let hyper = arguments.hyper()?;
    for input in arguments.hyper.iter().chain(&arguments.unlabelled) {
        output::check_apart(&arguments.output.output, input)?;
    }
    let mut set = Set::open(
        arguments.backbone()?,
        &arguments.support,
        &arguments.output,
        common,
    )?;
    let is_continual = hyper
        .as_ref()
        .is_some_and(|(hyper, _)| hyper.config().continual);
    if !is_continual {
        // Only `learn` adds classes to one that is there.
        check_classes(&set.support.labels)?;
    }
    set.support
        .add_unlabelled(&arguments.unlabelled, &set.preprocess)?;
    if let Some((hyper, _)) = &hyper {
        arguments.check_unlabelled(hyper)?;
    }
    let name = arguments.name();
    let start = Instant::now();
    let generated = match hyper {
        Some((hyper, by)) => hyper.values(&name, &by, &set.backbone, &set.support)?,
        None => prototype::generate(&name, &set.backbone, &set.support)?,
    };
    set.finish(&generated, arguments.f16, start, &arguments.output)
}

impl Arguments {
    /// A head that learns from sums.
    fn taught(&self, rule: HeadRule, common: &Common) -> Result<Report> {
        if self.hyper.is_some() {
            bail!(Hint::new(
                "a generator makes patches by its own method".into(),
                "leave --hyper or --method out",
            ));
        }
        Bench::open(&self.backbone()?, &[&self.support], &self.output, common)?.generate(
            rule,
            &self.taught,
            &self.support,
            &self.name(),
            self.f16,
        )
    }

    /// The generator and the name of its file, for the method that has one.
    fn hyper(&self) -> Result<Option<(Hyper, String)>> {
        if self.method == Method::Prototype {
            return Ok(None);
        }
        let Some(path) = &self.hyper else {
            bail!(Hint::new(
                "no generator to make the patch".into(),
                "give one with --hyper, or --method gd++ and a backbone",
            ));
        };
        Ok(Some((open(path)?, file_name(path))))
    }

    /// To a generator that was trained without, unlabelled images are noise.
    fn check_unlabelled(&self, hyper: &Hyper) -> Result<()> {
        if !self.unlabelled.is_empty() && hyper.provenance().unlabelled == 0 {
            bail!(Hint::new(
                "the generator was not trained with unlabelled images".into(),
                "leave --unlabelled out, or train a generator with meta-train --unlabelled",
            ));
        }
        Ok(())
    }

    /// The backbone: given, or beside the generator.
    fn backbone(&self) -> Result<PathBuf> {
        let beside = |path: &PathBuf| path.with_extension("backbone");
        let given = self.backbone.clone();
        given.or(self.hyper.as_ref().map(beside)).ok_or_else(|| {
            let hint = "give one with --backbone";
            Hint::new("no backbone to make the patch for".into(), hint).into()
        })
    }

    fn name(&self) -> String {
        let own = self.support.file_stem().unwrap_or_default();
        let own = own.to_string_lossy().into_owned();
        self.name.clone().unwrap_or(own)
    }
}

/// Arguments of `learn`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool generate --method gd++ --keep-sums -b demo.backbone --support greek -o first.patch
  patchtool learn -b demo.backbone --patch first.patch --support latin -o second.patch
  patchtool generate --hyper continual.hyper --support greek -o first.patch
  patchtool learn --hyper continual.hyper --patch first.patch --support latin -o second.patch")]
pub struct LearnArguments {
    /// Generator file, trained with meta-train --continual; without it the patch has kept its sums, and goes on from those.
    #[arg(long, value_name = "H")]
    hyper: Option<PathBuf>,
    /// Backbone file; by default the one beside the generator.
    #[arg(short, long, value_name = "B", required_unless_present = "hyper")]
    backbone: Option<PathBuf>,
    /// The patch to go on from: one of generate or learn, with the same generator if any. It is left as it is, to roll back to.
    #[arg(short, long, value_name = "P")]
    patch: PathBuf,
    /// Folder or archive with a few images of each class: new classes are a new task, known ones are learned further.
    #[arg(long, value_name = "DIR")]
    support: PathBuf,
    /// Store values in half precision. The next step goes on from what is stored.
    #[arg(long)]
    f16: bool,
    #[command(flatten)]
    how: GoOn,
    #[command(flatten)]
    output: Output,
}

/// Goes on learning from a patch.
///
/// # Errors
/// Whatever cannot be read, does not fit the generator, or cannot be written.
pub fn learn(arguments: &LearnArguments, common: &Common) -> Result<Report> {
    let Some(generator) = &arguments.hyper else {
        return arguments.taught(common);
    };
    let beside = || generator.with_extension("backbone");
    let backbone = arguments.backbone.clone().unwrap_or_else(beside);
    for input in [&arguments.patch, generator] {
        output::check_apart(&arguments.output.output, input)?;
    }
    let set = Set::open(backbone, &arguments.support, &arguments.output, common)?;
    let file = ImageFile::of_graft(&arguments.patch)?;
    let previous = PatchImage::open(file.bytes(), Verify::Full)
        .with_context(|| format!("cannot read {}", arguments.patch.display()))?;
    let hyper = open(generator)?;
    let by = file_name(generator);
    let start = Instant::now();
    let generated = hyper.learn(&by, &set.backbone, &previous, &set.support)?;
    let mut report = set.finish(&generated, arguments.f16, start, &arguments.output)?;
    let known = previous.metadata()?.labels;
    let (further, new) = divided(&set.support.labels, &known);
    report.text += &learned(&further, &new, known.len());
    report.json["learned_further"] = json!(further);
    report.json["new_classes"] = json!(new);
    Ok(report)
}

impl LearnArguments {
    /// Goes on from the sums that the patch has kept.
    fn taught(&self, common: &Common) -> Result<Report> {
        if self.f16 {
            bail!(Hint::new(
                "a head goes on in the precision of its patch".into(),
                "leave --f16 out",
            ));
        }
        let backbone = self.backbone.as_deref().unwrap_or(Path::new(""));
        taught::learn(
            backbone,
            &self.patch,
            &self.support,
            &self.how,
            (&self.output, common),
        )
    }
}

/// Labels in composed form: those that are among the known ones, in whatever form, and the new ones.
fn divided(labels: &[String], known: &[String]) -> (Vec<String>, Vec<String>) {
    let known: Vec<String> = known.iter().map(|label| composed(label)).collect();
    let labels = labels.iter().cloned();
    labels.partition(|label| known.contains(label))
}

/// What a step of `learn` did: new classes, or more of those that `count` classes had been learned with.
fn learned(further: &[String], new: &[String], count: usize) -> String {
    match further {
        [] => format!(
            "learned {} new {} beside {count}: {}\n",
            new.len(),
            if new.len() == 1 { "class" } else { "classes" },
            first(new, 10)
        ),
        _ => format!(
            "no new class: {} had been learned before and now count more images; images that were among the earlier ones \
             count twice\n",
            first(further, 10)
        ),
    }
}

fn open(path: &Path) -> Result<Hyper> {
    let file = ImageFile::read(path)?;
    file.check_kind(Expected::Generator)?;
    Hyper::from_bytes(file.bytes())
        .with_context(|| format!("cannot use the generator {}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The images that a patch is made of, and the backbone that it is for.
struct Set {
    backbone: Backbone,
    preprocess: Preprocess,
    support: SupportSet,
    watch: Watch,
}

impl Set {
    fn open(backbone: PathBuf, support: &Path, to: &Output, common: &Common) -> Result<Self> {
        let Output { output, force } = to;
        output::check(output, *force)?;
        for input in [&backbone, support] {
            output::check_apart(output, input)?;
        }
        threads::start(0)?;
        let backbone = input::backbone(&backbone)?;
        let image = backbone.image();
        let resize = image.metadata()?.resize.uncropped();
        let preprocess = task::preprocess(&image.input(), resize)?;
        let support = SupportSet::read(support, &preprocess, &common.watch())
            .with_context(|| format!("cannot learn from {}", support.display()))?;
        Ok(Self {
            backbone,
            preprocess,
            support,
            watch: common.watch(),
        })
    }

    /// Compiles the values for the backbone, in its own precision, and writes them; they have been in the making since `start`.
    fn finish(
        &self,
        generated: &Generated,
        is_half: bool,
        start: Instant,
        to: &Output,
    ) -> Result<Report> {
        let (image, images) = (self.backbone.image(), &self.support.images);
        let int8 = |dtype| generated.quantize(&self.backbone, images, dtype);
        let patch = match (image.dtype(), is_half) {
            (Dtype::I8, false) => int8(Dtype::I8)?.bytes,
            (Dtype::I8, true) => int8(Dtype::I8Half)?.bytes,
            (_, false) => generated.compile(&image, Dtype::F32)?,
            (_, true) => generated.compile(&image, Dtype::F16)?,
        };
        // What a device would refuse is not written.
        let receipt = Patch::from_bytes(&patch, &self.backbone)?.receipt();
        let milliseconds = 1e3 * start.elapsed().as_secs_f64();
        taught::stop_before_writing(&self.watch, self.support.classes.len())?;
        let Output { output, force } = to;
        output::write_atomically(output, *force, |file| file.write_all(&patch))?;
        let text = format!(
            "{}: {} patch, {}, {}, in {milliseconds:.1} ms\n",
            output.display(),
            receipt.kinds,
            generated.source,
            bytes(patch.len()),
        );
        let state = generated.continual_state.as_ref();
        let json = json!({
            "patch": output.display().to_string(),
            "kinds": receipt.kinds.to_string(),
            "images": self.support.classes.len(),
            "unlabelled": self.support.unlabelled.len(),
            "left_out": self.support.left_out,
            "classes": self.support.labels.len(),
            "labels": generated.labels,
            "counter": state.map(|state| state.counter),
            "bytes": patch.len(),
            "generate_ms": milliseconds,
        });
        Ok(Report::new(text, json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_whether_its_classes_were_known() {
        let names = ["beta".to_owned()];
        assert_eq!(
            learned(&[], &names, 3),
            "learned 1 new class beside 3: beta\n"
        );
        let two = ["beta".to_owned(), "gamma".to_owned()];
        assert_eq!(
            learned(&[], &two, 3),
            "learned 2 new classes beside 3: beta, gamma\n"
        );
        let again = learned(&names, &[], 3);
        assert!(again.contains("beta had been learned before"), "{again}");
    }

    #[test]
    fn known_classes_are_known_in_either_form_of_their_accents() {
        let labels = ["caf\u{e9}".to_owned(), "tea".to_owned()];
        let (further, new) = divided(&labels, &["cafe\u{301}".to_owned()]);
        assert_eq!((&further[..], &new[..]), (&labels[..1], &labels[1..]));
    }
}
