//! Measurements of a task by the demo.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use graft_runtime::{Backbone, Patch, Session, TaskSlot};

use crate::demo::assets;
use crate::hyper::{Hyper, SupportSet};
use crate::train::evaluate::{judge, scores};
use graft_data::dataset::Dataset;
use graft_data::evaluation_set::EvaluationSet;
use graft_data::preprocess::Preprocess;

/// The images of an archive, as inputs.
///
/// # Errors
/// Errors of the archive.
pub fn open(path: &Path, preprocess: &Preprocess) -> Result<EvaluationSet> {
    let data = Dataset::open(path)?;
    let all: Vec<usize> = (0..data.len()).collect();
    Ok(EvaluationSet::open(&data, &all, preprocess, None, |_| {
        true
    })?)
}

/// Share of the images that a patch gets right, 0 to 1.
///
/// # Errors
/// Errors of the runtime.
pub fn accuracy(backbone: &Backbone, patch: &Patch, images: &EvaluationSet) -> Result<f64> {
    let targets: Vec<usize> = (0..images.len()).map(|image| images.class(image)).collect();
    Ok(judge(&scores(backbone, patch, images)?, &targets, None)
        .score
        .accuracy)
}

/// A patch of a support set, and how long that takes.
///
/// # Errors
/// Those of the generator.
pub fn generate(
    hyper: &Hyper,
    name: &str,
    backbone: &Backbone,
    support: &SupportSet,
) -> Result<(Patch, Duration)> {
    let start = Instant::now();
    let values = hyper.values(name, assets::HYPER, backbone, support)?;
    let patch = values.bind(backbone)?;
    Ok((patch, start.elapsed()))
}

/// Median time of a run on one thread.
///
/// # Errors
/// Errors of the runtime.
pub fn latency(
    session: &mut Session<'_>,
    patch: &Patch,
    images: &EvaluationSet,
) -> Result<Duration> {
    const RUNS: usize = 51;
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..RUNS {
        let input = images.input(run % images.len());
        let start = Instant::now();
        session.run(patch, &input)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[RUNS / 2])
}

/// Median time from having a patch to a reader that has it, switching to it from another one.
///
/// # Errors
/// Patches of different backbones.
pub fn swap(from: &Arc<Patch>, to: &Arc<Patch>) -> Result<Duration> {
    const SWAPS: usize = 2001;
    let slot = TaskSlot::new("demo", Arc::clone(from));
    let mut times = Vec::with_capacity(SWAPS);
    for _ in 0..SWAPS {
        let (back, next) = (Arc::clone(from), Arc::clone(to));
        let start = Instant::now();
        slot.publish(next)?;
        std::hint::black_box(slot.patch());
        times.push(start.elapsed());
        slot.publish(back)?;
    }
    times.sort_unstable();
    Ok(times[SWAPS / 2])
}
