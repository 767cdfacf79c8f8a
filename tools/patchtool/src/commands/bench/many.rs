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
/// Least times that each number of patches is measured.
const LEAST_ROUNDS: usize = 10;

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

/// A number of patches and its samples.
struct Timed<'a> {
    patches: Vec<&'a Patch>,
    /// A frame for each resolution, and the patches that take it.
    frames: Vec<(Vec<u8>, Vec<&'a Patch>)>,
    together_ms: Vec<f64>,
    separate_ms: Vec<f64>,
}

/// Times a frame through the first 1, 2, 4, 8 and all patches, together and each alone; they take turns, so that a slow moment
/// of the machine hits all. Patches of other resolutions have a frame of their own. Nothing where there are no two.
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
    if most < 2 {
        return Ok(Vec::new());
    }
    let mut counts = vec![1, 2, 4, 8, most];
    counts.retain(|&count| count <= most);
    counts.dedup();
    let timed = |count: usize| Timed::new(patches[..count].iter().map(|patch| &**patch));
    let mut all: Vec<Timed<'_>> = counts.into_iter().map(timed).collect();
    for _ in 0..(runs as usize / most).max(LEAST_ROUNDS) {
        for timed in &mut all {
            timed.sample(session)?;
        }
    }
    let many = all.into_iter().map(|timed| Many {
        patches: timed.patches.len(),
        shared_layers: backbone.shared_layers(&timed.patches),
        together_ms: median(timed.together_ms),
        separate_ms: median(timed.separate_ms),
    });
    Ok(many.collect())
}

impl<'a> Timed<'a> {
    fn new(patches: impl Iterator<Item = &'a Patch>) -> Self {
        let patches: Vec<&Patch> = patches.collect();
        let groups = alike(&patches, |one, other| {
            one.input().shape == other.input().shape
        });
        let frames = groups.into_iter().map(|group| {
            let group: Vec<&Patch> = group.into_iter().map(|at| patches[at]).collect();
            (test_image(group[0]), group)
        });
        Self {
            frames: frames.collect(),
            patches,
            together_ms: Vec::new(),
            separate_ms: Vec::new(),
        }
    }

    fn sample(&mut self, session: &mut Session<'_>) -> Result<()> {
        let start = Instant::now();
        for (image, patches) in &self.frames {
            session.run_many(patches, image, |_, scores| {
                std::hint::black_box(scores);
            })?;
        }
        self.together_ms.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        for (image, patches) in &self.frames {
            for patch in patches {
                session.run(patch, image)?;
            }
        }
        self.separate_ms.push(start.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }
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

/// For people: a line for each number of patches but one.
pub(super) fn text(many: &[Many], layers: usize) -> String {
    let mut text = String::new();
    for own in many.iter().skip(1) {
        let _ = writeln!(
            text,
            "one frame  {:.2} ms through {} patches, {} of {layers} layers once for all; {:.2} ms in separate runs",
            own.together_ms, own.patches, own.shared_layers, own.separate_ms,
        );
    }
    text
}
