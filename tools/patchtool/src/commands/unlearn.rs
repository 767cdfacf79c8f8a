//! `patchtool unlearn`: takes a share of what a patch learned out of it again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use graft_patches::PatchImage;
use graft_runtime::{Backbone, Patch};
use serde_json::json;

use crate::commands::arguments::Output;
use crate::hint::Hint;
use crate::input::{self, ImageFile};
use crate::report::{Report, bytes};
use crate::sparse::{self, Rule, Share};
use crate::unlearn::{HeadStart, Unlearned, unlearn};
use graft_data::output;

/// Arguments of `unlearn`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool unlearn flowers.patch --backbone lite0.backbone --drop-top 0.08 -o flowers-2.patch
  patchtool unlearn week-2.patch --from week-1.patch --backbone lite0.backbone --keep-top 0.1 -o week-2b.patch

Each tensor (scales, biases, weights of a site) loses its own share of values: they are again what they were before. Measure
what that did with eval. The signature, the temperature and what remembers the examples (the state of a continual generator, the
sums of a head that goes on learning) are left out: they belong to the values before. Sign and calibrate the result anew.")]
pub struct Arguments {
    /// Patch, in f32 or f16.
    patch: PathBuf,
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// Patch that this one comes from; by default the backbone itself, and a head of zeros where it is of other classes.
    #[arg(long, value_name = "P0")]
    from: Option<PathBuf>,
    #[command(flatten)]
    rule: RuleArguments,
    #[command(flatten)]
    output: Output,
}

/// The part of the difference that stays.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RuleArguments {
    /// Keep only this share of the values of each tensor, 0 to 1: those that changed most.
    #[arg(long, value_name = "SHARE")]
    keep_top: Option<Share>,
    /// Drop this share of the values of each tensor, 0 to 1: those that changed most.
    #[arg(long, value_name = "SHARE")]
    drop_top: Option<Share>,
}

impl RuleArguments {
    fn rule(&self) -> Option<Rule> {
        let keep = self.keep_top.map(Rule::KeepTop);
        keep.or(self.drop_top.map(Rule::DropTop))
    }
}

/// Writes the patch without a share of its difference.
///
/// # Errors
/// Whatever cannot be read or written, and patches whose difference cannot be told.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let Output { output, force } = &arguments.output;
    let inputs = [&arguments.patch, &arguments.backbone].into_iter();
    let inputs: Vec<&Path> = inputs
        .chain(&arguments.from)
        .map(PathBuf::as_path)
        .collect();
    output::check_all(&[output], &inputs, *force)?;
    let rule = arguments.rule.rule().context("clap requires one")?;
    let backbone = input::backbone(&arguments.backbone)?;
    let file = ImageFile::of_graft(&arguments.patch)?;
    let from_file = arguments.from.as_deref().map(ImageFile::of_graft);
    let from_file = from_file.transpose()?;
    let patch = bound(&arguments.patch, &file, &backbone)?;
    let from = arguments.from.as_deref().zip(from_file.as_ref());
    let from = from.map(|(path, file)| bound(path, file, &backbone));
    let from = from.transpose()?;
    let image = backbone.image();
    let unlearned = unlearn(&patch, from.as_ref(), &image, rule)
        .with_context(|| format!("cannot unlearn {}", arguments.patch.display()))?;
    let made = unlearned.replacements.compile(&image, patch.dtype())?;
    Patch::from_bytes(&made, &backbone)?;
    output::write_atomically(output, *force, |to| to.write_all(&made))?;
    Ok(report(output, rule, &patch, &unlearned, made.len()))
}

/// A patch that is one of this backbone.
fn bound<'a>(path: &Path, file: &'a ImageFile, backbone: &Backbone) -> Result<PatchImage<'a>> {
    let Some(patch) = file.patch()? else {
        bail!(Hint::new(
            format!("{} is a backbone", path.display()),
            "give a patch, as `patchtool export` writes it",
        ));
    };
    patch
        .check_against(&backbone.image(), graft_patches::Verify::Full)
        .with_context(|| format!("cannot use {}", path.display()))?;
    Ok(patch)
}

fn report(
    output: &Path,
    rule: Rule,
    patch: &PatchImage<'_>,
    unlearned: &Unlearned,
    size: usize,
) -> Report {
    let Unlearned { tensors, head, .. } = unlearned;
    let head = head.map(|head| match head {
        HeadStart::Patch => "that of the patch it comes from",
        HeadStart::Own => "the backbone's own",
        HeadStart::Zero => "zero, as the backbone's is of other classes",
    });
    let left_out: Vec<&str> = [
        (patch.signed().is_some(), "signature"),
        (patch.temperature().is_some(), "temperature"),
        (
            matches!(patch.continual_state(), Ok(Some(_))),
            "continual state",
        ),
        (patch.head_sums().is_some(), "sums of the head"),
    ]
    .into_iter()
    .filter_map(|(is_there, name)| is_there.then_some(name))
    .collect();
    let mut text = sparse::table(tensors).to_string();
    if let Some(head) = head {
        text += &format!("the head before: {head}\n");
    }
    if !left_out.is_empty() {
        text += &format!(
            "left out, as it is of the values before: {}\n",
            left_out.join(", ")
        );
    }
    text += &format!("{}: {rule}, {}\n", output.display(), bytes(size));
    let json = json!({
        "patch": output.display().to_string(),
        "rule": rule.to_string(),
        "tensors": sparse::json(tensors),
        "head_before": head,
        "left_out": left_out,
        "bytes": size,
    });
    Report::new(text, json)
}
