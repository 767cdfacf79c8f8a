//! The properties of a task beside its network: keys of `metadata_props`.

use std::collections::BTreeMap;

use graft_onnx::build::entry;
use graft_onnx::proto::StringStringEntryProto;
use graft_patches::BackboneImage;
use graft_patches::metadata::{BackboneMetadata, Resize};
use graft_patches::records::Input;

use super::ExportError;

const TASK: &str = "graft.task";
const LAYOUT: &str = "graft.input.layout";
const MEAN: &str = "graft.input.mean";
const STD: &str = "graft.input.std";
const RESIZE: &str = "graft.input.resize";
const LABELS: &str = "graft.labels";

/// The task that a model is of.
pub(super) struct Task<'a> {
    pub(super) name: &'a str,
    /// The parts of the backbone that it replaces.
    pub(super) kind: &'a str,
    pub(super) input: Input,
    pub(super) resize: Resize,
    pub(super) labels: &'a [String],
}

pub(super) fn write(
    backbone: &BackboneImage<'_>,
    metadata: &BackboneMetadata,
    task: &Task<'_>,
) -> Vec<StringStringEntryProto> {
    let channels = task.input.shape.channels;
    let numbers = |values: &[f32; 4]| {
        let words: Vec<String> = values[..channels].iter().map(f32::to_string).collect();
        words.join(",")
    };
    vec![
        entry(TASK, task.name),
        entry("graft.kind", task.kind),
        entry("graft.backbone", &metadata.name),
        entry("graft.backbone.id", backbone.id().to_string()),
        entry(LAYOUT, "NCHW"),
        entry(MEAN, numbers(&task.input.mean)),
        entry(STD, numbers(&task.input.std)),
        entry(RESIZE, task.resize.to_string()),
        entry(LABELS, serde_json::Value::from(task.labels).to_string()),
    ]
}

/// The properties that a patch or backbone carries on; `None` where the model does not say.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Properties {
    pub(super) task: Option<String>,
    pub(crate) mean: Option<[f32; 4]>,
    pub(crate) std: Option<[f32; 4]>,
    pub(crate) resize: Option<Resize>,
    pub(crate) labels: Option<Vec<String>>,
}

impl Properties {
    /// Reads them; `input` is the backbone's.
    pub(crate) fn read(all: &BTreeMap<String, String>, input: &Input) -> Result<Self, ExportError> {
        let numbers = |key, unused: [f32; 4], is_valid: fn(&f32) -> bool| {
            let expected = "one number a channel, with commas";
            parsed(all, key, expected, |text| {
                let words = text.split(',').map(|word| word.trim().parse().ok());
                let found: Vec<f32> = words.collect::<Option<_>>()?;
                let mut values = unused;
                let own = &mut values[..input.shape.channels];
                let fits = found.len() == own.len() && found.iter().all(is_valid);
                fits.then(|| own.copy_from_slice(&found))?;
                Some(values)
            })
        };
        Ok(Self {
            task: all.get(TASK).cloned(),
            mean: numbers(MEAN, input.mean, |mean| mean.is_finite())?,
            std: numbers(STD, input.std, |std| std.is_finite() && *std > 0.0)?,
            resize: parsed(all, RESIZE, "such as crop:0.875:bicubic", |text| {
                text.parse().ok()
            })?,
            labels: parsed(all, LABELS, "a JSON array of strings", |text| {
                serde_json::from_str(text).ok()
            })?,
        })
    }
}

fn parsed<T>(
    all: &BTreeMap<String, String>,
    key: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ExportError> {
    let Some(value) = all.get(key) else {
        return Ok(None);
    };
    match parse(value) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(ExportError::Property {
            key,
            value: value.clone(),
            expected,
        }),
    }
}
