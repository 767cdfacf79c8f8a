//! The int8 half of `patchtool export`: a task as an ONNX model in the QDQ format.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use graft_runtime::{Backbone, Patch};
use serde_json::json;

use super::export::Written;
use crate::export::qdq;
use crate::output;
use crate::report::bytes;

/// Writes the model of a patch, or of the backbone's own task.
pub(super) fn model(
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
