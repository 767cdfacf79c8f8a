//! `patchtool eval --cascade`: the same weights at growing resolution, until one is sure ("K for the Price of 1", the
//! cascade of section 4).

use std::time::Instant;

use anyhow::{Result, bail};
use graft_patches::geometry::Shape;
use graft_patches::plan::infer_shapes;
use graft_runtime::{Backbone, Session};
use serde_json::json;

use super::{Arguments, scores};
use crate::commands::arguments::Common;
use crate::commands::bench::layers::macs;
use crate::confidence::surest;
use crate::hint::Hint;
use crate::report::{Report, Table};
use crate::task::{self, Task};
use graft_data::dataset::Dataset;
use graft_data::output;

mod curve;

/// Runs of each stage that its time is the median of.
const RUNS: usize = 21;

/// A probability that a class can have.
pub(super) fn confidence(text: &str) -> Result<f64, String> {
    let value = text
        .parse()
        .ok()
        .filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "expected a probability, 0 to 1".into())
}

/// A stage: a patch, and what it costs.
struct Stage {
    name: String,
    resolution: Shape,
    temperature: f32,
    /// Multiply-adds of an image.
    macs: usize,
    /// Median milliseconds of an image on one thread.
    ms: f64,
}

/// What a stage says of an image: its confidence, and whether it is right.
#[derive(Clone, Copy)]
struct Verdict {
    confidence: f64,
    is_right: bool,
}

/// A way through the cascade for all images.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outcome {
    confidence: f64,
    accuracy: f64,
    /// Mean of an image.
    macs: f64,
    ms: f64,
}

/// Measures a cascade.
pub(super) fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let (backbone, tasks) = task::open(&arguments.model.backbone, &arguments.cascade)?;
    if let Some(path) = &arguments.stop.curve {
        output::check(path, arguments.force)?;
    }
    check(&tasks)?;
    let stages = tasks
        .iter()
        .map(|task| stage(&backbone, task))
        .collect::<Result<Vec<_>>>()?;
    let dataset = Dataset::open(&arguments.data)?;
    let mut images: Vec<Vec<Verdict>> = Vec::new();
    let effort = (arguments.threads, common);
    let left_out = scores::for_each(&backbone, &tasks, &dataset, effort, |seen| {
        let verdicts = seen.iter().zip(&stages).map(|(seen, stage)| {
            let surest = surest(&seen.scores, stage.temperature);
            Verdict {
                confidence: surest.map_or(0.0, |(_, confidence)| confidence),
                is_right: surest.is_some_and(|(predicted, _)| predicted == seen.target),
            }
        });
        images.push(verdicts.collect());
        Ok(())
    })?;
    let curve = curve(&images, &stages);
    if let Some(path) = &arguments.stop.curve {
        let alone: Vec<Outcome> = (0..stages.len())
            .map(|at| alone(&images, &stages, at))
            .collect();
        let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
        curve::draw(&curve, &alone, &names)?.write(path, arguments.force)?;
    }
    let at = arguments.stop.confidence;
    let mut report = report(&images, &stages, at, &curve);
    report.json["left_out"] = json!(left_out);
    if left_out.total() > 0 {
        report.text += &format!("left out: {left_out}\n");
    }
    Ok(report)
}

/// Stages name the same classes, and each sees more than the one before.
fn check(tasks: &[Task]) -> Result<()> {
    for pair in tasks.windows(2) {
        let [small, large] = [&pair[0], &pair[1]];
        if small.labels != large.labels || small.patch.classes() != large.patch.classes() {
            bail!(Hint::new(
                format!("{} and {} have other classes", small.name, large.name),
                "give patches of one task",
            ));
        }
        let pixels = |task: &Task| task.patch.input().shape.pixels();
        if pixels(small) >= pixels(large) {
            bail!(Hint::new(
                format!(
                    "{} does not see more pixels than {}",
                    large.name, small.name
                ),
                "give the patches in the order of their resolutions, each larger than the one before",
            ));
        }
    }
    for task in tasks {
        let temperature = task.patch.image().and_then(|image| image.temperature());
        if temperature.is_none() {
            tracing::warn!(
                "{} has no temperature, so its confidence is only believed: see patchtool calibrate",
                task.name
            );
        }
    }
    Ok(())
}

fn stage(backbone: &Backbone, task: &Task) -> Result<Stage> {
    let image = backbone.image();
    let input = task.patch.input().shape;
    let mut shapes = vec![Shape::default(); image.layer_count() + 1];
    infer_shapes(&image, input, &mut shapes)?;
    shapes[image.layer_count()].channels = task.patch.classes();
    let layers = 0..image.layer_count();
    let pixels = vec![128; input.len()];
    let mut session = Session::new(backbone)?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        session.run(&task.patch, &pixels)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(Stage {
        name: task.name.clone(),
        resolution: input,
        temperature: task.patch.temperature(),
        macs: layers
            .map(|layer| macs(&image, layer, shapes[layer + 1].len()))
            .sum(),
        ms: times[RUNS / 2],
    })
}

/// The stage that an image ends with, where this confidence is enough.
fn last(verdicts: &[Verdict], confidence: f64) -> usize {
    let sure = verdicts.iter().position(|one| one.confidence >= confidence);
    sure.unwrap_or(verdicts.len() - 1)
}

/// All images through the cascade.
fn outcome(images: &[Vec<Verdict>], stages: &[Stage], confidence: f64) -> Outcome {
    let mut sum = Outcome {
        confidence,
        accuracy: 0.0,
        macs: 0.0,
        ms: 0.0,
    };
    for verdicts in images {
        let last = last(verdicts, confidence);
        sum.accuracy += f64::from(u8::from(verdicts[last].is_right));
        for stage in &stages[..=last] {
            sum.macs += stage.macs as f64;
            sum.ms += stage.ms;
        }
    }
    sum.mean(images.len())
}

/// All images with one stage alone.
fn alone(images: &[Vec<Verdict>], stages: &[Stage], at: usize) -> Outcome {
    let right = images.iter().filter(|verdicts| verdicts[at].is_right);
    Outcome {
        confidence: 0.0,
        accuracy: right.count() as f64 / images.len().max(1) as f64,
        macs: stages[at].macs as f64,
        ms: stages[at].ms,
    }
}

impl Outcome {
    fn mean(self, images: usize) -> Self {
        let images = images.max(1) as f64;
        Self {
            accuracy: self.accuracy / images,
            macs: self.macs / images,
            ms: self.ms / images,
            ..self
        }
    }
}

/// The cascade at confidences from none to certainty, closer together where networks are sure.
fn curve(images: &[Vec<Verdict>], stages: &[Stage]) -> Vec<Outcome> {
    let confidences = [
        0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95,
    ];
    let close = [0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 1.0];
    let all = confidences.into_iter().chain(close);
    all.map(|confidence| outcome(images, stages, confidence))
        .collect()
}

fn report(images: &[Vec<Verdict>], stages: &[Stage], confidence: f64, curve: &[Outcome]) -> Report {
    let heads = [
        "stage",
        "input",
        "temperature",
        "MMAC",
        "ms",
        "alone %",
        "ends here %",
    ];
    let mut table = Table::new(&heads);
    let mut json_stages = Vec::new();
    let all = images.len().max(1) as f64;
    for (at, stage) in stages.iter().enumerate() {
        let alone = alone(images, stages, at).accuracy;
        let here = images.iter().filter(|one| last(one, confidence) == at);
        let here = here.count() as f64 / all;
        table.row([
            stage.name.clone(),
            stage.resolution.to_string(),
            format!("{:.2}", stage.temperature),
            format!("{:.1}", stage.macs as f64 / 1e6),
            format!("{:.2}", stage.ms),
            format!("{:.1}", 100.0 * alone),
            format!("{:.1}", 100.0 * here),
        ]);
        json_stages.push(json!({
            "patch": stage.name, "temperature": stage.temperature, "macs": stage.macs, "ms": stage.ms,
            "accuracy": alone, "ends_here": here,
        }));
    }
    let cascade = outcome(images, stages, confidence);
    let text = format!(
        "{table}\ncascade at confidence {confidence}: top-1 {:.2} % of {} images, {:.1} MMAC and {:.2} ms an image\n",
        100.0 * cascade.accuracy,
        images.len(),
        cascade.macs / 1e6,
        cascade.ms,
    );
    let json = json!({
        "accuracy": cascade.accuracy,
        "count": images.len(),
        "confidence": confidence,
        "macs": cascade.macs,
        "ms": cascade.ms,
        "stages": json_stages,
        "curve": curve.iter().map(|at| json!({
            "confidence": at.confidence, "accuracy": at.accuracy, "macs": at.macs, "ms": at.ms,
        })).collect::<Vec<_>>(),
    });
    Report::new(text, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages() -> Vec<Stage> {
        [10, 40]
            .map(|macs| Stage {
                name: String::new(),
                resolution: Shape::default(),
                temperature: 1.0,
                macs,
                ms: 1.0,
            })
            .into()
    }

    /// Confidence and correctness at each of two stages.
    fn images(of: &[[(f64, bool); 2]]) -> Vec<Vec<Verdict>> {
        let verdict = |(confidence, is_right)| Verdict {
            confidence,
            is_right,
        };
        of.iter().map(|pair| pair.map(verdict).into()).collect()
    }

    #[test]
    fn an_image_stops_where_it_is_sure_and_pays_for_all_stages_until_then() {
        let images = images(&[
            [(0.95, true), (0.6, false)],
            [(0.5, false), (0.7, true)],
            [(0.9, false), (0.9, true)],
            [(0.1, false), (0.2, false)],
        ]);
        let at = |confidence| outcome(&images, &stages(), confidence);
        assert_eq!((at(0.9).accuracy, at(0.9).macs), (0.5, 30.0));
        assert_eq!((at(0.0).accuracy, at(0.0).macs), (0.25, 10.0));
        assert_eq!((at(1.0).accuracy, at(1.0).macs), (0.5, 50.0));
        assert_eq!(alone(&images, &stages(), 1).accuracy, 0.5);
        let curve = curve(&images, &stages());
        assert!(curve.windows(2).all(|pair| pair[0].macs <= pair[1].macs));
    }
}
