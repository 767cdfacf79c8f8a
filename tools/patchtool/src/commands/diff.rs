//! `patchtool diff`: which sites differ, and by how much.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use graft_patches::half_table::TableSite;
use graft_patches::records::{Dtype, Input, What};
use graft_patches::requantize::RequantizePanel;
use graft_patches::scale::ScaleRecord;
use graft_patches::{BackboneImage, Digest, PatchImage, Values, Verify};
use serde_json::json;

use crate::hint::Hint;
use crate::input::ImageFile;
use crate::report::{Report, Table};

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

    /// As numbers, however they are stored; tables in half precision as the table that `other` would run with, if that is
    /// a backbone.
    fn values(&self, site: usize, what: What, other: &Side<'a>) -> Option<Vec<f64>> {
        match self {
            Self::Patch(image) => {
                let found = image.find(site, what)?;
                Some(match (found.values, other) {
                    (Values::HalfTable(half), Side::Backbone(backbone)) => {
                        let mut table = vec![RequantizePanel::default(); half.len()];
                        TableSite::of(image, backbone, site).widen(half, &mut table);
                        table_numbers(&table)
                    }
                    (values, _) => numbers(values),
                })
            }
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

/// Stored values as numbers, each exactly: of int8 the bytes, multipliers, and biases in steps of the output.
fn numbers(values: Values<'_>) -> Vec<f64> {
    match values {
        Values::F32(values) => values.iter().copied().map(f64::from).collect(),
        Values::F16(_) => values.to_vec().into_iter().map(f64::from).collect(),
        Values::I8(bytes) => bytes.iter().copied().map(f64::from).collect(),
        Values::Requantize(table) => table_numbers(table),
        Values::HalfTable(table) => table
            .iter()
            .flat_map(|panel| [panel.multipliers(), panel.biases()].concat())
            .map(f64::from)
            .collect(),
    }
}

fn table_numbers(table: &[RequantizePanel]) -> Vec<f64> {
    let pairs = table.iter().map(|panel| {
        let multipliers = panel.multiplier.map(f64::from);
        let biases = panel.bias.iter().zip(multipliers);
        let biases = biases.map(|(&bias, multiplier)| f64::from(bias) * multiplier);
        multipliers.into_iter().chain(biases).collect()
    });
    pairs.collect::<Vec<Vec<f64>>>().concat()
}

/// That the values of both sides can be compared one by one.
fn check_comparable(left: &Side<'_>, right: &Side<'_>) -> Result<()> {
    let (found, expected) = (left.backbone_id(), right.backbone_id());
    if found != expected {
        bail!(Hint::new(
            format!("the files belong to different backbones, {found:.12} and {expected:.12}"),
            "compare patches of one backbone",
        ));
    }
    match (left, right) {
        (Side::Patch(left), Side::Patch(right)) => {
            let [left, right] = [left.dtype(), right.dtype()];
            // What turns the biases of one into those of the other is in the backbone.
            if left != right && left.of_backbone() == Dtype::I8 {
                bail!(Hint::new(
                    format!("the tables of one patch are {left}, those of the other {right}"),
                    "compare each with the backbone, or export both with --f16 or both without",
                ));
            }
        }
        (Side::Patch(patch), Side::Backbone(backbone))
        | (Side::Backbone(backbone), Side::Patch(patch))
            if patch.dtype() == Dtype::I8Half =>
        {
            patch.check_against(backbone, Verify::Full)?;
        }
        _ => {}
    }
    Ok(())
}

/// Compares two patches, or a patch with its backbone's own values.
///
/// # Errors
/// Files that cannot be read, that belong to different backbones, or whose values have no common unit.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let files = [&arguments.left, &arguments.right];
    let [left_file, right_file] = [
        ImageFile::of_graft(files[0])?,
        ImageFile::of_graft(files[1])?,
    ];
    let (left, right) = (Side::new(&left_file)?, Side::new(&right_file)?);
    check_comparable(&left, &right)?;
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
            left.values(site, what, &right).as_deref(),
            right.values(site, what, &left).as_deref(),
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
            && left.values(site, what, &right).is_some()
            && right.values(site, what, &left).is_some()
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
    let json = json!({ "compared": keys.len(), "differing": differing, "other": other });
    Ok(Report::check(text, json, is_ok))
}

/// Number of values that differ and the largest difference; inner `None` where they cannot be compared one by one.
fn difference(left: Option<&[f64]>, right: Option<&[f64]>) -> Option<(Option<usize>, Option<f64>)> {
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
                .fold(0.0, |largest: f64, next| {
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
