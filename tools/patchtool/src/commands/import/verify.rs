//! `--verify`: scores of the original model and of the backbone, side by side, before anything is written.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use graft_runtime::Backbone;

use crate::cli::Common;
use crate::import::onnx::Softmax;
use crate::report::Report;

/// Arguments of the verification.
#[derive(Debug, Args)]
pub(super) struct Verification {
    /// Run the ONNX model by tract and the backbone on these images, and write nothing where their scores differ: a
    /// folder, tar or zip archive, or an image file; may be given several times.
    #[arg(long, value_name = "IMAGES", conflicts_with = "torch")]
    verify: Vec<PathBuf>,
    /// Largest difference of a score that --verify tolerates: relative to the range of an image's scores, by default
    /// 0.0001; of an int8 model the mean difference in steps of the scores' scale, by default 3.
    #[arg(long, requires = "verify", value_parser = super::positive)]
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
    pub(super) softmax: Option<Softmax>,
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
        use crate::import::verify::{Original, compare};

        if self.verify.is_empty() {
            return Ok(None);
        }
        let image = backbone.image();
        let preprocess = crate::task::preprocess(&image.input(), image.metadata()?.resize)?;
        let mut pixels = Vec::new();
        for path in &self.verify {
            pixels.extend(images(path, &preprocess, common.quiet)?);
        }
        let [mean, std] = source.normalisation;
        let original = Original {
            path: source.path,
            mean,
            std,
            softmax: source.softmax,
        };
        let found = compare(&original, backbone, &pixels)?;
        let tolerance = self.tolerance.unwrap_or(found.default_tolerance());
        Ok(Some(verdict(&found, tolerance)))
    }
}

/// The images at a path, prepared for the input.
#[cfg(feature = "verify")]
fn images(
    path: &Path,
    preprocess: &crate::data::preprocess::Preprocess,
    is_quiet: bool,
) -> Result<Vec<Vec<u8>>> {
    use crate::data::dataset::{Dataset, DatasetError};
    use crate::data::image_file;

    let single = |path: &Path| image_file::open(path).map(|image| preprocess.pixels(&image));
    if is_image(path) {
        return Ok(vec![single(path)?]);
    }
    let dataset = match Dataset::open(path) {
        // Labels are not needed here.
        Err(DatasetError::NoClassFolders { .. }) if path.is_dir() => {
            let mut files: Vec<PathBuf> = Vec::new();
            for entry in std::fs::read_dir(path)? {
                files.push(entry?.path());
            }
            files.retain(|file| is_image(file));
            files.sort();
            return Ok(files
                .iter()
                .map(|file| single(file))
                .collect::<Result<_, _>>()?);
        }
        dataset => dataset?,
    };
    let bar = crate::bar::images(dataset.len(), is_quiet);
    let all: Vec<usize> = (0..dataset.len()).collect();
    let mut pixels = Vec::with_capacity(dataset.len());
    let unreadable = dataset.for_each(
        &all,
        |_, image| preprocess.pixels(&image),
        |_, image| {
            bar.inc(1);
            pixels.push(image);
            Ok::<_, anyhow::Error>(())
        },
    )?;
    bar.finish_and_clear();
    for error in &unreadable {
        tracing::warn!("left out: {error}");
    }
    Ok(pixels)
}

/// Whether a path is named like an image.
#[cfg(feature = "verify")]
fn is_image(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    let is_known = |known: &&str| suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(known));
    ["jpg", "jpeg", "png"].iter().any(is_known)
}

/// The comparison in words and numbers.
#[cfg(feature = "verify")]
fn verdict(found: &crate::import::verify::Comparison, tolerance: f32) -> Report {
    let is_ok = found.passes(tolerance);
    let (unit, steps) = match found.mean_steps {
        Some(steps) => ("steps", format!(", {steps:.2} steps in the mean")),
        None => ("range", String::new()),
    };
    let limit = match found.mean_steps {
        Some(_) => format!("{tolerance} steps in the mean"),
        None => format!("{tolerance:e} of the range"),
    };
    let text = format!(
        "verified on {} images by tract: scores differ by at most {:.1e}, {:.1e} of their range{steps}; top-1 equal on \
         {:.1} %; {} the tolerance of {limit}\n",
        found.images,
        found.max_difference,
        found.max_relative,
        100.0 * found.equal_top1,
        if is_ok { "within" } else { "above" },
    );
    let json = serde_json::json!({
        "judge": "tract",
        "images": found.images,
        "max_difference": found.max_difference,
        "max_relative": found.max_relative,
        "mean_steps": found.mean_steps,
        "equal_top1": found.equal_top1,
        "tolerance": tolerance,
        "unit": unit,
        "passed": is_ok,
    });
    Report { text, json, is_ok }
}
