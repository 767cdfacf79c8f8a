//! A task for an int8 backbone.

use anyhow::{Context, Result, bail};
use graft_patches::records::Dtype;
use graft_runtime::Backbone;
use serde_json::json;

use super::{Arguments, Written, check_kind, patch, report, trained};
use crate::bar;
use crate::cli::Common;
use crate::hint::Hint;
use crate::quantize::{self, Images};
use crate::report::Report;
use crate::threads;

/// Exports a task that was trained on the f32 backbone.
pub(super) fn run(arguments: &Arguments, backbone: &Backbone, common: &Common) -> Result<Report> {
    let (Some(path), Some(images)) = (&arguments.trained, &arguments.calibrate) else {
        bail!(Hint::new(
            "the backbone is int8".into(),
            "give the file that `train` wrote, and images of the task with --calibrate; for an ONNX model, the f32 backbone",
        ));
    };
    let dtype = if arguments.f16 {
        Dtype::I8Half
    } else {
        Dtype::I8
    };
    let unusable = || format!("cannot export {}", path.display());
    let trained = trained(path, arguments)?;
    trained.check(&backbone.image()).with_context(unusable)?;
    check_kind(&trained)?;
    threads::start(0)?;
    let settings = arguments.calibration;
    let count = settings.calibration_images as usize;
    let images = Images::read(images, count, &trained.input, trained.resize, common.quiet)?;
    let bar = bar::images(2 * images.pixels.len(), common.quiet);
    let quantized = quantize::patch(&trained, backbone, &images, settings.method, dtype, &bar)
        .with_context(unusable)?;
    bar.finish_and_clear();
    let scores = quantized
        .signal_to_noise
        .last()
        .copied()
        .unwrap_or_default();
    let mut parts: Vec<Written> = Vec::new();
    parts.extend(patch(arguments, backbone, || Ok(quantized.bytes))?);
    parts.push(Written {
        text: format!(
            "scales by {} of {} images; scores at {scores:.1} dB signal to noise\n",
            settings.method,
            images.pixels.len(),
        ),
        json: json!({
            "method": settings.method.to_string(),
            "images": images.pixels.len(),
            "snr_db": quantized.signal_to_noise,
        }),
    });
    Ok(report(parts))
}
