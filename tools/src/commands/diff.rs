//! `patchtool diff`: which sites differ, and by how much.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use graft_patches::records::{Input, What};
use graft_patches::scale::ScaleRecord;
use graft_patches::{BackboneImage, Digest, PatchImage, Values};
use serde_json::json;

use crate::hint::Hint;
use crate::report::{Report, Table};
use crate::task::ImageFile;

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 where nothing differs, 1 where something does.

Examples:
  patchtool diff flowers-1.patch flowers-2.patch
  patchtool diff lite0.backbone flowers.patch"
)]
pub struct Arguments {
    /// A patch, or a backbone for its own values.
    left: PathBuf,
    /// A patch, or a backbone for its own values.
    right: PathBuf,
}

/// One side of the comparison.
enum Side<'a> {
    Backbone(BackboneImage<'a>),
    Patch(PatchImage<'a>),
}

impl<'a> Side<'a> {
    fn new(file: &'a ImageFile) -> Result<Self> {
        Ok(match file.patch()? {
            Some(patch) => Self::Patch(patch),
            None => Self::Backbone(file.backbone()?),
        })
    }

    fn backbone_id(&self) -> Digest {
        match self {
            Self::Backbone(image) => image.id(),
            Self::Patch(image) => image.backbone_id(),
        }
    }

    /// Sites and what is carried for them; a backbone carries everything.
    fn carried(&self) -> Vec<(usize, What)> {
        match self {
            Self::Backbone(image) => (0..image.site_count())
                .flat_map(|site| [(site, What::Epilogue), (site, What::Weights)])
                .collect(),
            Self::Patch(image) => image.replacements().map(|r| (r.site, r.what)).collect(),
        }
    }

    fn input(&self) -> Input {
        match self {
            Self::Backbone(image) => image.input(),
            Self::Patch(image) => image.input(),
        }
    }

    fn labels(&self) -> Result<Vec<String>> {
        Ok(match self {
            Self::Backbone(image) => image.metadata()?.labels,
            Self::Patch(image) => image.metadata()?.labels,
        })
    }

    /// As f32, however they are stored.
    fn values(&self, site: usize, what: What) -> Option<Cow<'a, [f32]>> {
        match self {
            Self::Patch(image) => image.find(site, what).map(|found| numbers(found.values)),
            Self::Backbone(image) if site < image.site_count() => {
                Some(numbers(image.values(&image.site(site), what)))
            }
            Self::Backbone(_) => None,
        }
    }

    fn scales(&self) -> &'a [ScaleRecord] {
        match self {
            Self::Backbone(image) => image.scales(),
            Self::Patch(image) => image.scales(),
        }
    }
}

/// Stored values as f32: of int8 the bytes, multipliers and biases.
fn numbers(values: Values<'_>) -> Cow<'_, [f32]> {
    match values {
        Values::F32(values) => Cow::Borrowed(values),
        Values::F16(_) => Cow::Owned(values.to_vec()),
        Values::I8(bytes) => bytes.iter().map(|&byte| byte.into()).collect(),
        Values::Requantize(panels) => panels
            .iter()
            .flat_map(|panel| {
                let biases = panel.bias.iter().map(|&bias| bias as f32);
                panel.multiplier.iter().copied().chain(biases)
            })
            .collect(),
    }
}

/// Compares two patches, or a patch with its backbone's own values.
///
/// # Errors
/// Files that cannot be read, or that belong to different backbones.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let files = [&arguments.left, &arguments.right];
    let [left_file, right_file] = [ImageFile::read(files[0])?, ImageFile::read(files[1])?];
    let (left, right) = (Side::new(&left_file)?, Side::new(&right_file)?);
    if left.backbone_id() != right.backbone_id() {
        bail!(Hint::new(
            format!(
                "the files belong to different backbones, {:.12} and {:.12}",
                left.backbone_id(),
                right.backbone_id()
            ),
            "compare patches of one backbone",
        ));
    }
    // What a patch leaves out is the backbone's own: no difference against the backbone itself.
    let keys: BTreeSet<(usize, What)> = match (&left, &right) {
        (Side::Backbone(_), Side::Patch(_)) => right.carried().into_iter().collect(),
        (Side::Patch(_), Side::Backbone(_)) => left.carried().into_iter().collect(),
        _ => left.carried().into_iter().chain(right.carried()).collect(),
    };
    let mut table = Table::new(&["site", "what", "values that differ", "max |difference|"]);
    let mut differing = Vec::new();
    for &(site, what) in &keys {
        let Some((count, largest)) = difference(
            left.values(site, what).as_deref(),
            right.values(site, what).as_deref(),
        ) else {
            continue;
        };
        table.row([
            site.to_string(),
            what.to_string(),
            count.map_or("only in one, or of another size".into(), |count| {
                count.to_string()
            }),
            largest.map_or("".into(), |largest| format!("{largest:.3e}")),
        ]);
        differing.push(json!({
            "site": site, "what": what.to_string(), "values": count, "max_difference": largest,
        }));
    }
    let has_both_heads = keys.iter().any(|&(site, what)| {
        what == What::Weights
            && left.values(site, what).is_some()
            && right.values(site, what).is_some()
    });
    let mut other = Vec::new();
    if left.input() != right.input() {
        other.push("input");
    }
    if left.scales() != right.scales() {
        other.push("scale of activations");
    }
    if has_both_heads && left.labels()? != right.labels()? {
        other.push("labels");
    }
    let is_ok = differing.is_empty() && other.is_empty();
    let mut text = if differing.is_empty() {
        String::new()
    } else {
        table.to_string()
    };
    for what in &other {
        text += &format!("the {what} differs\n");
    }
    text += &format!("{} of {} tensors differ\n", differing.len(), keys.len());
    Ok(Report {
        text,
        is_ok,
        json: json!({ "compared": keys.len(), "differing": differing, "other": other }),
    })
}

/// How many values differ and the largest difference; inner `None` where they cannot be compared one by one.
fn difference(left: Option<&[f32]>, right: Option<&[f32]>) -> Option<(Option<usize>, Option<f32>)> {
    match (left, right) {
        (Some(left), Some(right)) if left.len() == right.len() => {
            let pairs = || {
                left.iter()
                    .zip(right)
                    .filter(|(l, r)| l.to_bits() != r.to_bits())
            };
            let count = pairs().count();
            let largest = pairs()
                .map(|(l, r)| (l - r).abs())
                .fold(0.0, |largest: f32, next| {
                    if next > largest || next.is_nan() {
                        next
                    } else {
                        largest
                    }
                });
            (count > 0).then_some((Some(count), Some(largest)))
        }
        (None, None) => None,
        _ => Some((None, None)),
    }
}
