//! The contents of a file that `train` wrote.

use serde_json::json;

use crate::report::{Report, Table, bytes};
use crate::trained::{Trained, TrainedError};

/// The trained values; `None` where the file is by another tool.
///
/// # Errors
/// A file that is damaged.
pub(super) fn open(file: &[u8]) -> Result<Option<Trained>, TrainedError> {
    match Trained::from_bytes(file) {
        Ok(trained) => Ok(Some(trained)),
        Err(TrainedError::Foreign { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn report(trained: &Trained, file: &[u8]) -> Report {
    let Trained { metrics, data, .. } = trained;
    let mut table = Table::new(&["site", "weights", "scale and bias"]);
    for (site, values) in &trained.sites {
        let weights = values.weights.as_ref();
        table.row([
            site.to_string(),
            weights.map_or(String::new(), |weights| weights.len().to_string()),
            if values.norm.is_some() { "yes" } else { "" }.into(),
        ]);
    }
    let validated = metrics
        .validation_accuracy
        .map_or(String::new(), |accuracy| {
            format!(
                ", {:.2} % of {} validation images",
                100.0 * accuracy,
                data.validation_images
            )
        });
    let tested = match data.test_images {
        0 => String::from("not tested"),
        images => format!(
            "{:.2} % of {images} test images right",
            100.0 * metrics.test_accuracy
        ),
    };
    let shape = trained.input.shape;
    let text = format!(
        "trained task {} (by {}), kind {}{}, {} values\n\
         for backbone {} ({})\n\
         input {shape}, {}\n\
         {tested}{validated} after epoch {} of {}, seed {}, on {} images of {} (data set {:.12})\n\
         {table}{} sites, {} labels: {}\nfile {}; a device takes the patch that `patchtool export` makes of it\n",
        trained.name,
        trained.tool,
        trained.kind,
        match trained.from_layer {
            0 => String::new(),
            layer => format!(" from layer {layer} on"),
        },
        metrics.trainable_params,
        trained.backbone.id,
        trained.backbone.name,
        trained.resize,
        metrics.best_epoch,
        metrics.epochs,
        trained.seed,
        data.images,
        data.path,
        data.digest,
        trained.sites.len(),
        trained.labels.len(),
        graft_data::first(&trained.labels, 20),
        bytes(file.len()),
    );
    let json = json!({
        "kind": "trained",
        "kinds": trained.kind.to_string(),
        "format_version": null,
        "id": null,
        "backbone": trained.backbone.id.to_string(),
        "name": trained.name,
        "dtype": "f32",
        "input": [shape.height, shape.width, shape.channels],
        "training": {
            "kind": trained.kind.to_string(),
            "from_layer": trained.from_layer,
            "tool": trained.tool,
            "seed": trained.seed,
            "data": data,
            "metrics": metrics,
        },
        "layers": null,
        "sites": trained.sites.len(),
        "labels": trained.labels.len(),
        "bytes": file.len(),
        "arena_bytes": null,
        "first_patched_layer": null,
        "signed_by": null,
    });
    Report::new(text, json)
}
