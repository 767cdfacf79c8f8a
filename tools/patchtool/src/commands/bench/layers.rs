//! Where the time of a run goes, layer by layer.

use std::time::Instant;

use anyhow::Result;
use graft_patches::BackboneImage;
use graft_patches::records::Op;
use graft_runtime::{Backbone, Patch, Session};
use serde_json::{Value, json};

use super::{median, microseconds};
use crate::report::Table;

/// One layer, timed.
pub(super) struct LayerTime {
    pub(super) name: String,
    pub(super) op: Op,
    /// Median microseconds.
    pub(super) us: f64,
    /// Multiply-adds.
    pub(super) macs: usize,
    /// Bytes that it reads and writes, each once: operands, weights, output.
    pub(super) bytes: usize,
}

impl LayerTime {
    /// Thousands of millions of multiply-adds a second.
    pub(super) fn gmacs(&self) -> f64 {
        self.macs as f64 / self.us.max(1e-3) / 1e3
    }

    /// For `--json`; `peak` in the unit of [`LayerTime::gmacs`].
    pub(super) fn json(&self, kernels: &str, peak: Option<f64>) -> Value {
        json!({
            "name": self.name,
            "op": self.op.name(),
            "kernel": kernels,
            "us": self.us,
            "macs": self.macs,
            "bytes": self.bytes,
            "gmacs": self.gmacs(),
            "peak_share": peak.map(|peak| self.gmacs() / peak),
        })
    }
}

/// Times each layer of this many runs; those of fused blocks one after the other, too.
///
/// # Errors
/// An image that is not of the patch, or names that cannot be read.
pub(super) fn time(
    threads: usize,
    patch: &Patch,
    image: &[u8],
    runs: u32,
    backbone: &Backbone,
) -> Result<Vec<LayerTime>> {
    let mut session = Session::with_threads(backbone, threads)?.unfused()?;
    let view = backbone.image();
    let mut samples = vec![Vec::new(); view.layer_count()];
    // Of the input, then of the output of each layer.
    let mut lengths = vec![patch.input().shape.len(); view.layer_count() + 1];
    for _ in 0..runs {
        let mut start = Instant::now();
        session.run_observed(patch, image, |layer, output| {
            samples[layer].push(microseconds(start.elapsed()));
            lengths[layer + 1] = output.len();
            start = Instant::now();
        })?;
    }
    let mut names = view.metadata()?.layers.into_iter();
    let layers = samples.into_iter().enumerate().map(|(index, samples)| {
        let layer = view.layer(index);
        let output = lengths[index + 1];
        let operands = layer.inputs[..layer.op.arity()].iter();
        let values: usize = operands.map(|&tensor| lengths[tensor]).sum();
        LayerTime {
            name: names.next().unwrap_or_default(),
            op: layer.op,
            us: median(samples),
            macs: macs(&view, index, output),
            bytes: (values + weights(&view, index) + output) * view.dtype().size(),
        }
    });
    Ok(layers.collect())
}

/// Multiply-adds of a layer whose output has this many values.
pub(in crate::commands) fn macs(image: &BackboneImage<'_>, layer: usize, output: usize) -> usize {
    image
        .layer(layer)
        .site
        .map_or(0, |site| output * image.site(site).depth)
}

/// Weights of a layer.
fn weights(image: &BackboneImage<'_>, layer: usize) -> usize {
    image.layer(layer).site.map_or(0, |site| {
        let site = image.site(site);
        site.outputs * site.depth
    })
}

/// A row a layer, and one for all of them.
pub(super) fn table(layers: &[LayerTime], kernels: &str, peak: Option<f64>) -> Table {
    let heads = ["layer", "op", "kernel", "us", "MMAC", "GMAC/s", "% of peak"];
    let mut table = Table::new(&heads);
    let mut row = |name: &str, op: &str, us: f64, macs: usize| {
        let gmacs = macs as f64 / us.max(1e-3) / 1e3;
        let share = peak.filter(|_| macs > 0).map(|peak| 100.0 * gmacs / peak);
        table.row([
            name.into(),
            op.into(),
            kernels.into(),
            format!("{us:.1}"),
            format!("{:.2}", macs as f64 / 1e6),
            format!("{gmacs:.1}"),
            share.map_or(String::new(), |share| format!("{share:.1}")),
        ]);
    };
    for layer in layers {
        row(&layer.name, layer.op.name(), layer.us, layer.macs);
    }
    let sum = layers.iter().map(|layer| layer.us).sum();
    let macs = layers.iter().map(|layer| layer.macs).sum();
    row("all layers", "", sum, macs);
    table
}
