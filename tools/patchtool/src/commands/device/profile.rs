//! `patchtool device profile`: where the time of a run goes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use graft_client::{Device, DeviceError, content};
use graft_patches::geometry::Shape;
use graft_patches::plan::infer_shapes;
use serde_json::{Value, json};

use super::{TaskArguments, task_name};
use crate::commands::arguments::Line;
use crate::commands::bench::macs;
use crate::input;
use crate::report::{Report, Table};
use crate::task::preprocess;
use graft_data::image_file;

/// Arguments of `device profile`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool device profile photo.jpg --port /dev/ttyACM0 --backbone lite0.backbone")]
pub(super) struct Arguments {
    /// A JPEG or PNG image.
    image: PathBuf,
    #[command(flatten)]
    line: Line,
    #[command(flatten)]
    task: TaskArguments,
    /// The device's backbone: names, operators and multiply-adds of the layers.
    #[arg(short, long, value_name = "B")]
    backbone: Option<PathBuf>,
}

/// Description of a layer, or of a fused block at its last one, in the backbone's file.
struct Layer {
    names: Vec<String>,
    ops: Vec<&'static str>,
    macs: usize,
}

/// Runs an image on a device, and shows how long each layer takes.
pub(super) fn run(arguments: &Arguments) -> Result<Report> {
    let image = image_file::open(&arguments.image)?;
    let mut client = arguments.line.connect()?;
    let device = client.device()?;
    let task = arguments.task.task(&mut client)?;
    let content = content(&mut client, task)?;
    let file = arguments.backbone.as_deref();
    let known = file.map(|path| layers(path, &device, content.input.shape));
    let known = known.transpose()?;
    let pixels = preprocess(&content.input, content.resize)?.pixels(&image);
    let profile = client.profile(&pixels, Some(task))?;
    let layers = profile
        .layers
        .iter()
        .enumerate()
        .filter_map(|(index, &ticks)| {
            let us = device.seconds(ticks) * 1e6;
            let mut json = json!({ "layer": index, "ticks": ticks, "us": us });
            if let Some(known) = &known {
                let layer = known.get(index)?.as_ref()?;
                json["name"] = json!(layer.names.join(" "));
                json["op"] = json!(layer.ops.join("+"));
                json["macs"] = json!(layer.macs);
            }
            Some(json)
        });
    let layers: Vec<Value> = layers.collect();
    let milliseconds = device.seconds(profile.ticks) * 1e3;
    let text = format!(
        "{}{}: {} ticks, {milliseconds:.2} ms\n",
        table(&layers, known.is_some()),
        content.name,
        profile.ticks,
    );
    let json = json!({
        "task": task_name(profile.task),
        "ticks": profile.ticks,
        "ticks_per_second": device.ticks_per_second,
        "ms": milliseconds,
        "layers": layers,
    });
    Ok(Report::new(text, json))
}

/// What the time of each layer is that of: nothing of one inside of a fused block.
fn layers(path: &Path, device: &Device, input: Shape) -> Result<Vec<Option<Layer>>> {
    let backbone = input::backbone(path)?;
    if backbone.id() != device.backbone {
        return Err(DeviceError::OtherBackbone {
            found: backbone.id(),
            expected: device.backbone,
        }
        .into());
    }
    let image = backbone.image();
    let names = image.metadata()?.layers;
    let mut shapes = vec![Shape::default(); image.layer_count() + 1];
    infer_shapes(&image, input, &mut shapes)?;
    let mut layers: Vec<Option<Layer>> = Vec::new();
    for block in image.steps() {
        layers.extend(block.inner().map(|_| None));
        let all = block.layers();
        layers.push(Some(Layer {
            names: all
                .clone()
                .filter_map(|at| names.get(at).cloned())
                .collect(),
            ops: all.clone().map(|at| image.layer(at).op.name()).collect(),
            macs: all.map(|at| macs(&image, at, shapes[at + 1].len())).sum(),
        }));
    }
    Ok(layers)
}

fn table(layers: &[Value], is_known: bool) -> Table {
    let heads = ["layer", "ticks", "us", "op", "kMAC", "ticks/MAC", "name"];
    let mut table = Table::new(if is_known { &heads } else { &heads[..3] });
    for layer in layers {
        let number = |key: &str| layer[key].as_f64().unwrap_or(0.0);
        let text = |key: &str| layer[key].as_str().unwrap_or_default().to_owned();
        let mut row = vec![
            layer["layer"].to_string(),
            layer["ticks"].to_string(),
            format!("{:.0}", number("us")),
        ];
        if is_known {
            let macs = number("macs");
            let each = (macs > 0.0).then(|| format!("{:.2}", number("ticks") / macs));
            row.extend([
                text("op"),
                format!("{:.1}", macs / 1e3),
                each.unwrap_or_default(),
                text("name"),
            ]);
        }
        table.row(row);
    }
    table
}
