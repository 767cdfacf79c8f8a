//! A task for an int8 backbone: trained in f32 or a patch in f32, quantised; or the backbone's own.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use graft_patches::container::MAGIC;
use graft_patches::records::Dtype;
use graft_patches::{BackboneImage, PatchImage, Verify};
use graft_runtime::{Backbone, Patch};
use serde_json::json;

use super::{Arguments, Written, check_kind, patch, report, trained};
use crate::bar;
use crate::commands::arguments::Common;
use crate::export::qdq;
use crate::hint::Hint;
use crate::input::ImageFile;
use crate::quantize::{self, Images, QuantizedPatch, float_id};
use crate::replacements::Replacements;
use crate::report::{Report, bytes};
use crate::threads;
use graft_data::left_out::LeftOut;
use graft_data::output;

/// Exports a task of the f32 backbone; or without one the int8 backbone's own, as an ONNX model.
pub(super) fn run(arguments: &Arguments, backbone: &Backbone, common: &Common) -> Result<Report> {
    let mut parts = Vec::new();
    let bound = match (&arguments.trained, &arguments.calibrate, &arguments.onnx) {
        (Some(trained), Some(images), _) => {
            let (quantized, left_out) = quantized([trained, images], arguments, backbone, common)?;
            let scores = quantized
                .signal_to_noise
                .last()
                .copied()
                .unwrap_or_default();
            let bound = Patch::from_bytes(&quantized.bytes, backbone)?;
            parts.extend(patch(arguments, backbone, || Ok(quantized.bytes))?);
            parts.push(Written {
                text: format!(
                    "scales by {} of the images; scores have {scores:.1} dB of signal to noise, {}\n",
                    arguments.calibration.method,
                    quantize::grade(scores),
                ),
                json: json!({
                    "method": arguments.calibration.method.to_string(),
                    "snr_db": quantized.signal_to_noise,
                    "left_out": left_out,
                }),
            });
            Some(bound)
        }
        (None, None, Some(_)) if arguments.from_onnx.is_none() && arguments.output.is_none() => {
            None
        }
        (None, None, _) if arguments.from_onnx.is_none() => bail!(Hint::new(
            "the backbone's own task is no patch".into(),
            "give the file that `train` wrote, or a patch in f32, and images with --calibrate, or leave -o out",
        )),
        _ => bail!(Hint::new(
            "the backbone is int8".into(),
            "give the file that `train` wrote and images of the task with --calibrate; for an ONNX model, the f32 backbone",
        )),
    };
    if let Some(output) = &arguments.onnx {
        parts.push(model(backbone, bound.as_ref(), output, arguments.force)?);
    }
    Ok(report(parts))
}

/// The task as an int8 patch, and what is left out of the data set beside the images.
fn quantized(
    [path, images]: [&Path; 2],
    arguments: &Arguments,
    backbone: &Backbone,
    common: &Common,
) -> Result<(QuantizedPatch, LeftOut)> {
    let dtype = if arguments.f16 {
        Dtype::I8Half
    } else {
        Dtype::I8
    };
    let values = values(path, arguments, &backbone.image())?;
    threads::start(0)?;
    let settings = arguments.calibration;
    let count = settings.calibration_images as usize;
    let resize = values.metadata.resize;
    let images = Images::read(images, count, &values.input, resize, &common.watch())?;
    let bar = bar::images(2 * images.pixels.len(), &common.watch());
    let quantized = quantize::patch(&values, backbone, &images, settings.method, dtype, &bar)
        .with_context(|| format!("cannot export {}", path.display()))?;
    bar.finish_and_clear();
    Ok((quantized, images.left_out))
}

/// The values of a file that `train` wrote, or of a patch in f32.
fn values(path: &Path, arguments: &Arguments, int8: &BackboneImage<'_>) -> Result<Replacements> {
    let unusable = || format!("cannot export {}", path.display());
    let file = ImageFile::read(path)?;
    if !file.bytes().starts_with(&MAGIC) {
        let trained = trained(path, arguments)?;
        let values = trained.replacements(int8).with_context(unusable)?;
        check_kind(&trained)?;
        return Ok(values);
    }
    let patch = PatchImage::open(file.bytes(), Verify::Full).with_context(unusable)?;
    if patch.dtype().of_backbone() != Dtype::F32 {
        bail!(Hint::new(
            format!("{} is an int8 patch already", path.display()),
            "give the patch in f32 that it was made of",
        ));
    }
    let (found, expected) = (patch.backbone_id(), float_id(int8)?);
    if found != expected {
        bail!(Hint::new(
            format!("the patch is for backbone {found}, the int8 backbone was made of {expected}"),
            "give the int8 backbone that `patchtool quantize` made of the patch's own",
        ));
    }
    let mut values = Replacements::of(&patch, int8).with_context(unusable)?;
    if let Some(name) = &arguments.name {
        values.metadata.name.clone_from(name);
    }
    if arguments.resize(&mut values.input.shape)
        && let Some(training) = &mut values.metadata.training
    {
        training.test_images = 0;
        training.test_accuracy = 0.0;
    }
    Ok(values)
}

/// Writes the ONNX model of a patch, or of the backbone's own task.
fn model(
    backbone: &Backbone,
    patch: Option<&Patch>,
    output: &Path,
    force: bool,
) -> Result<Written> {
    let patch = patch.and_then(Patch::image);
    let model = qdq::write(&backbone.image(), patch.as_ref())?;
    output::write_atomically(output, force, |file| file.write_all(&model))?;
    Ok(Written {
        text: format!(
            "{}: int8 ONNX model (QDQ), {}\n",
            output.display(),
            bytes(model.len())
        ),
        json: json!({
            "onnx": output.display().to_string(),
            "onnx_bytes": model.len(),
        }),
    })
}
