//! Heads for a frozen backbone: learns the steps of GD or GD++ from episodes, and measures all ways to make a head; prints JSON.
//!
//! ```text
//! cargo run --release -p graft-meta --example heads -- learn --backbone B --data DIR --plus-plus --steps 3 -o recipe.json
//! cargo run --release -p graft-meta --example heads -- measure --backbone B --data DIR --plus-plus recipe.json
//! ```

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use graft_meta::classes::Classes;
use graft_meta::episodes::{Augmentation, Episode, Sampler, Setting};
use graft_meta::evaluate::Accuracy;
use graft_meta::heads::recipe::{Products, learn};
use graft_meta::heads::{Method, accuracy};
use graft_runtime::Backbone;
use graft_runtime::head_learner::{GD, GD_PLUS_PLUS, Projection, RIDGE};
use indicatif::ProgressBar;
use patchtool::commands::taught::recipe;
use patchtool::task;
use rayon::prelude::*;
use serde_json::json;

/// Episodes of each setting that are learned from, again and again.
const EPISODES: u64 = 60;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learn a recipe.
    Learn {
        #[command(flatten)]
        data: Data,
        /// Ways x shots of episodes, which alternate.
        #[arg(long, value_name = "WxS", default_values = ["5x1", "5x5", "10x1", "10x5", "10x20"])]
        episodes: Vec<Setting>,
        /// Transform the examples, too.
        #[arg(long)]
        plus_plus: bool,
        /// Steps of gradient descent.
        #[arg(long, default_value_t = 3)]
        steps: usize,
        /// Updates of the steps.
        #[arg(long, default_value_t = 800)]
        updates: usize,
        /// File to write.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Measure heads.
    Measure {
        #[command(flatten)]
        data: Data,
        /// Ways x shots of episodes.
        #[arg(long, value_name = "WxS", default_values = ["5x1", "5x5", "5x20", "10x1", "10x5", "10x20"])]
        settings: Vec<Setting>,
        /// Episodes of each.
        #[arg(long, default_value_t = 1024)]
        episodes: usize,
        /// Recipe of GD.
        #[arg(long)]
        gd: Option<PathBuf>,
        /// Recipe of GD++.
        #[arg(long)]
        plus_plus: Option<PathBuf>,
        /// Steps and rate of the head by SGD.
        #[arg(long, num_args = 2, default_values = ["50", "1"])]
        sgd: Vec<f32>,
    },
}

#[derive(Debug, Args)]
struct Data {
    /// Backbone whose embeddings are learned from.
    #[arg(long)]
    backbone: PathBuf,
    /// Images by class: folders or archives.
    #[arg(long, required = true)]
    data: Vec<PathBuf>,
    /// Only classes with one of these names in their paths.
    #[arg(long)]
    only: Vec<String>,
    /// Of every random number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Data {
    /// The embedded classes and their unit.
    fn open(&self) -> Result<(Classes, f32)> {
        let backbone = Backbone::open(&self.backbone)?;
        let image = backbone.image();
        let preprocess = task::preprocess(&image.input(), image.metadata()?.resize.uncropped())?;
        let bar = ProgressBar::hidden();
        let mut classes = Classes::embed(&self.data, &preprocess, &backbone, &bar)?;
        if !self.only.is_empty() {
            classes = classes.split(&self.only)?.1;
        }
        let unit = Projection::of(&image, usize::MAX, 0)?.unit();
        Ok((classes, unit))
    }

    fn episodes(&self, classes: &Classes, setting: Setting, count: usize) -> Result<Vec<Episode>> {
        let sampler = Sampler::new(classes, setting, Augmentation::default(), self.seed)?;
        Ok((0..count as u64)
            .map(|number| sampler.episode(number))
            .collect())
    }
}

fn main() -> Result<()> {
    let start = Instant::now();
    match Arguments::parse().command {
        Command::Learn {
            data,
            episodes,
            plus_plus,
            steps,
            updates,
            output,
        } => {
            let (classes, _) = data.open()?;
            let mut all = Vec::new();
            for number in 0..EPISODES {
                for &setting in &episodes {
                    let setting = Setting {
                        queries: 5,
                        ..setting
                    };
                    let episode =
                        Sampler::new(&classes, setting, Augmentation::default(), data.seed)?
                            .episode(number);
                    let features = episode.support.values.len() / episode.support.len();
                    all.extend(Products::of(&episode, features));
                }
            }
            let (recipe, loss) = learn(&all, steps, plus_plus, updates, |update, loss| {
                eprintln!(
                    "update {update}: loss {loss:.4}, {:.0} s",
                    start.elapsed().as_secs_f64()
                );
            });
            let text = serde_json::to_string(&recipe)?;
            std::fs::write(&output, format!("{text}\n"))
                .with_context(|| format!("cannot write {}", output.display()))?;
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{}",
                json!({"recipe": recipe, "loss": loss, "seconds": seconds})
            );
        }
        Command::Measure {
            data,
            settings,
            episodes,
            gd,
            plus_plus,
            sgd,
        } => {
            let (classes, unit) = data.open()?;
            let mut report = Vec::new();
            for setting in settings {
                let setting = Setting {
                    queries: 5,
                    ..setting
                };
                let all = data.episodes(&classes, setting, episodes)?;
                let features = all[0].support.values.len() / all[0].support.len();
                let of = |method: Method<'_>| -> Result<Accuracy> {
                    let shares: Result<Vec<f64>, _> = all
                        .par_iter()
                        .map(|episode| accuracy(episode, features, unit, method))
                        .collect();
                    Ok(Accuracy::of(&shares?))
                };
                let with = |path: &Option<PathBuf>, own| match path {
                    None => of(Method::Learner(own)),
                    Some(path) => recipe(path)?.with(|recipe| of(Method::Learner(recipe)))?,
                };
                let sgd = Method::Sgd {
                    steps: sgd[0] as usize,
                    rate: sgd[1],
                };
                report.push(json!({
                    "setting": setting.to_string(),
                    "means": of(Method::Means)?,
                    "gd": with(&gd, &GD)?,
                    "gd++": with(&plus_plus, &GD_PLUS_PLUS)?,
                    "ridge": of(Method::Learner(&RIDGE))?,
                    "sgd": of(sgd)?,
                }));
            }
            println!(
                "{}",
                json!({"settings": report, "seconds": start.elapsed().as_secs_f64()})
            );
        }
    }
    Ok(())
}
