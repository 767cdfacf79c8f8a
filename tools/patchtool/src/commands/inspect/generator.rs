//! The contents of a generator's file.

use anyhow::Result;
use graft_patches::Digest;
use serde_json::json;

use crate::hyper::{Config, Generates, Hyper, HyperError, Precision, Target, file};
use crate::report::{Report, bytes};

/// The generator; `None` where the file is something else.
///
/// # Errors
/// One that is damaged, or not of this patchtool.
pub(super) fn open(file: &[u8]) -> Result<Option<Hyper>> {
    match Hyper::from_bytes(file) {
        Ok(hyper) => Ok(Some(hyper)),
        Err(HyperError::NotOnnx | HyperError::NotAGenerator { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn report(hyper: &Hyper, file: &[u8]) -> Report {
    let (config, provenance) = (hyper.config(), hyper.provenance());
    let dtype = match hyper.precision() {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
    };
    let unlabelled = match provenance.unlabelled {
        0 => String::new(),
        count => format!(", with {count} unlabelled images of each class"),
    };
    let mut text = format!(
        "generator of {}, format {}, {dtype}\nfor backbone {}\ntrained by {} for {} steps, seed {}{unlabelled}",
        made(config),
        file::VERSION,
        hyper.backbone(),
        provenance.tool,
        provenance.steps,
        provenance.seed,
    );
    if let Some(data) = provenance.data {
        text += &format!(", on data set {data:.12}");
    }
    text += "\n";
    for (kind, share) in &provenance.accuracy {
        text += &format!("{kind}: {:.1} % right\n", 100.0 * share);
    }
    text += &format!(
        "at most {} classes, file {}\n",
        config.max_ways,
        bytes(file.len())
    );
    let json = json!({
        "kind": "generator",
        "format_version": file::VERSION,
        "id": Digest::of(file).to_string(),
        "backbone": hyper.backbone().to_string(),
        "dtype": dtype,
        "generator": config,
        "training": provenance,
        "layers": null,
        "sites": null,
        "labels": null,
        "bytes": file.len(),
        "arena_bytes": null,
        "first_patched_layer": null,
        "signed_by": null,
    });
    Report::new(text, json)
}

/// The patches that it makes.
fn made(config: &Config) -> String {
    let values = match config.generates {
        Generates::Prototypes => "class means",
        Generates::All => "convolutions and class means",
    };
    let Target {
        channels,
        features,
        side,
    } = config.target;
    let features = match features == channels {
        true => String::new(),
        false => format!(", {features} of the last convolution,"),
    };
    let target = format!("a CNN of {channels} channels{features} on {side} x {side} pixels");
    let on = match config.continual {
        true => ", going on from the patch before",
        false => "",
    };
    format!("{values} for {target}{on}")
}
