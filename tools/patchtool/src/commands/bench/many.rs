//! One frame through several patches: together, and each alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use graft_runtime::{Backbone, Patch, Session};
use serde_json::{Value, json};

use super::{median, test_image};
use crate::task::alike;

/// Most patches that one frame is sent through.
const MOST_PATCHES: usize = 64;

/// A frame through so many patches.
pub(super) struct Many {
    patches: usize,
    /// Layers that are computed once for all.
    shared_layers: usize,
    /// Median milliseconds.
    together_ms: f64,
    /// The same, a run for each.
    separate_ms: f64,
}

/// Times a frame through the first 2, 4, 8 and all patches, by turns together and each alone. Those of other resolutions have
/// a frame of their own.
///
/// # Errors
/// An arena that the system has no memory for.
pub(super) fn measure(
    session: &mut Session<'_>,
    patches: &[Arc<Patch>],
    runs: u32,
    backbone: &Backbone,
) -> Result<Vec<Many>> {
    let most = patches.len().min(MOST_PATCHES);
    let mut counts = vec![2, 4, 8, most];
    counts.retain(|count| (2..=most).contains(count));
    counts.dedup();
    let measure_first = |count: &usize| {
        let patches: Vec<&Patch> = patches[..*count].iter().map(|patch| &**patch).collect();
        let groups = alike(&patches, |one, other| {
            one.input().shape == other.input().shape
        });
        let groups = groups.into_iter().map(|group| {
            let group: Vec<&Patch> = group.into_iter().map(|at| patches[at]).collect();
            (test_image(group[0]), group)
        });
        let frames: Vec<(Vec<u8>, Vec<&Patch>)> = groups.collect();
        let mut samples = [const { Vec::new() }; 2];
        for _ in 0..(runs as usize / count).max(5) {
            let start = Instant::now();
            for (image, patches) in &frames {
                session.run_many(patches, image, |_, scores| {
                    std::hint::black_box(scores);
                })?;
            }
            samples[0].push(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            for (image, patches) in &frames {
                for patch in patches {
                    session.run(patch, image)?;
                }
            }
            samples[1].push(start.elapsed().as_secs_f64() * 1e3);
        }
        let [together_ms, separate_ms] = samples.map(median);
        Ok(Many {
            patches: *count,
            shared_layers: backbone.shared_layers(&patches),
            together_ms,
            separate_ms,
        })
    };
    counts.iter().map(measure_first).collect()
}

/// For `--json`: by the number of patches, a figure of each.
pub(super) fn json(many: &[Many], figure: impl Fn(&Many) -> Value) -> Value {
    let figures = many
        .iter()
        .map(|own| (own.patches.to_string(), figure(own)));
    json!(figures.collect::<BTreeMap<String, Value>>())
}

impl Many {
    pub(super) fn together_ms(&self) -> Value {
        json!(self.together_ms)
    }

    pub(super) fn separate_ms(&self) -> Value {
        json!(self.separate_ms)
    }

    pub(super) fn shared_layers(&self) -> Value {
        json!(self.shared_layers)
    }
}

/// For people: a line each.
pub(super) fn text(many: &[Many], layers: usize) -> String {
    let mut text = String::new();
    for own in many {
        let _ = writeln!(
            text,
            "one frame  {:.2} ms through {} patches, {} of {layers} layers once for all; {:.2} ms in separate runs",
            own.together_ms, own.patches, own.shared_layers, own.separate_ms,
        );
    }
    text
}
