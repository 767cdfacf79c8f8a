//! `--verify`: scores of the original model and of the backbone, side by side, before anything is written.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
#[cfg(feature = "verify")]
use graft_data::left_out::{Kind, LeftOut};
use graft_runtime::Backbone;

use crate::commands::arguments::Common;
use crate::import::onnx::Ending;
use crate::report::Report;
#[cfg(feature = "verify")]
use crate::watch::Watch;

/// Arguments of the verification.
#[derive(Debug, Args)]
pub(super) struct Verification {
    /// Run the ONNX model by tract and the backbone on these images, and write nothing where their scores differ: a
    /// folder, tar or zip archive, or an image file; may be given several times.
    #[arg(long, value_name = "IMAGES", conflicts_with = "torch")]
    verify: Vec<PathBuf>,
    /// Largest difference of a score that --verify tolerates: relative to the range of an image's scores, by default
    /// 0.0001; of an int8 model the mean difference in steps of the scores' scale, by default 0.5, where the best class
    /// must also be the same on 99 % of the images. A tolerance that is given decides alone; random weights need about 3.
    #[arg(long, requires = "verify", value_parser = crate::commands::arguments::above_zero)]
    tolerance: Option<f32>,
}

/// The model that a backbone was made of.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    /// Mean and standard deviation of the pixels that it reads.
    pub(super) normalisation: [[f32; 4]; 2],
    #[cfg_attr(
        not(feature = "verify"),
        expect(dead_code, reason = "only the judge asks for it")
    )]
    pub(super) ending: Option<Ending>,
    /// Step of that function's values where the model quantises them.
    #[cfg_attr(
        not(feature = "verify"),
        expect(dead_code, reason = "only the judge asks for it")
    )]
    pub(super) ending_step: Option<f32>,
}

#[cfg(not(feature = "verify"))]
impl Verification {
    /// Refuses what this build cannot do.
    pub(super) fn check(&self) -> Result<()> {
        if self.verify.is_empty() {
            return Ok(());
        }
        anyhow::bail!(crate::hint::Hint::new(
            "this patchtool is built without the judge of imports, which --verify needs".into(),
            "build it with `cargo install --path tools/patchtool --features verify`",
        ))
    }

    /// Verifies nothing.
    pub(super) fn run(&self, _: &Source<'_>, _: &Backbone, _: &Common) -> Result<Option<Report>> {
        Ok(None)
    }
}

#[cfg(feature = "verify")]
impl Verification {
    /// Refuses what this build cannot do: nothing.
    pub(super) fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The verdict on a backbone; none where the user does not ask for it.
    pub(super) fn run(
        &self,
        source: &Source<'_>,
        backbone: &Backbone,
        common: &Common,
    ) -> Result<Option<Report>> {
        use crate::import::verify::{Original, Verifier};

        if self.verify.is_empty() {
            return Ok(None);
        }
        let image = backbone.image();
        let preprocess = crate::task::preprocess(&image.input(), image.metadata()?.resize)?;
        let [mean, std] = source.normalisation;
        let original = Original {
            path: source.path,
            mean,
            std,
            ending: source.ending,
            ending_step: source.ending_step,
        };
        let mut verifier = Verifier::new(&original, backbone)?;
        let mut left_out = LeftOut::default();
        for path in &self.verify {
            left_out.extend(each_image(path, &preprocess, &common.watch(), |pixels| {
                Ok(verifier.image(&pixels)?)
            })?);
        }
        let found = verifier.finish()?;
        Ok(Some(verdict(&found, self.tolerance, &left_out)))
    }
}

/// Hands on the images at a path one by one, prepared for the input. What is left out.
#[cfg(feature = "verify")]
fn each_image(
    path: &Path,
    preprocess: &graft_data::preprocess::Preprocess,
    watch: &Watch,
    mut each: impl FnMut(Vec<u8>) -> Result<()>,
) -> Result<LeftOut> {
    use graft_data::dataset::{Dataset, DatasetError};
    use graft_data::{folder, image_file};

    if folder::is_image(path) {
        each(preprocess.pixels(&image_file::open(path)?))?;
        return Ok(LeftOut::default());
    }
    let (unreadable, mut left_out) = match Dataset::open(path) {
        // Labels are not needed here.
        Err(DatasetError::NoClassFolders { .. }) if path.is_dir() => {
            let mut unreadable = Vec::new();
            let (files, left_out) = folder::images(&[path])?;
            for file in files {
                match image_file::open(&file) {
                    Ok(image) => each(preprocess.pixels(&image))?,
                    Err(error) => unreadable.push(error),
                }
            }
            (unreadable, left_out)
        }
        dataset => {
            let dataset = dataset?;
            let bar = crate::bar::images(dataset.len(), watch);
            let all: Vec<usize> = (0..dataset.len()).collect();
            let work = |_, image| preprocess.pixels(&image);
            let unreadable = dataset.for_each(&all, work, |_, pixels| {
                bar.inc()?;
                each(pixels)
            })?;
            bar.finish_and_clear();
            (unreadable, dataset.left_out().clone())
        }
    };
    for error in &unreadable {
        tracing::warn!("left out: {}", error.reason());
    }
    left_out.add_unreadable(&unreadable);
    Ok(left_out)
}

/// The comparison in words and numbers.
#[cfg(feature = "verify")]
fn verdict(
    found: &crate::import::verify::Comparison,
    tolerance: Option<f32>,
    left_out: &LeftOut,
) -> Report {
    let is_ok = found.passes(tolerance);
    let least_top1 = found.least_top1(tolerance);
    let tolerance = tolerance.unwrap_or(found.default_tolerance());
    let (unit, steps) = match found.mean_steps {
        Some(steps) => ("steps", format!(", {steps:.2} steps in the mean")),
        None => ("range", String::new()),
    };
    let limit = match found.mean_steps {
        Some(_) => format!("{tolerance} steps in the mean"),
        None => format!("{tolerance:e} of the range"),
    };
    let least = least_top1.map_or(String::new(), |least| {
        format!(" with top-1 equal on {} %", 100.0 * least)
    });
    let note = match left_out.total() {
        0 => String::new(),
        _ => format!("left out: {left_out}\n"),
    };
    let text = format!(
        "verified on {} images by tract: scores differ by at most {:.1e}, {:.1e} of their range{steps}; top-1 equal on \
         {:.1} %; {} the tolerance of {limit}{least}\n{note}",
        found.images,
        found.max_difference,
        found.max_relative,
        100.0 * found.equal_top1,
        if is_ok { "within" } else { "above" },
    );
    let json = serde_json::json!({
        "judge": "tract",
        "images": found.images,
        "unreadable": left_out.count(Kind::Unreadable),
        "left_out": left_out,
        "max_difference": found.max_difference,
        "max_relative": found.max_relative,
        "mean_steps": found.mean_steps,
        "equal_top1": found.equal_top1,
        "tolerance": tolerance,
        "least_equal_top1": least_top1,
        "unit": unit,
        "passed": is_ok,
    });
    Report::check(text, json, is_ok)
}
