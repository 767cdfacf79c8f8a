//! Heads for a frozen backbone: learns the numbers of every way to make one from episodes, and measures them all; prints JSON.
//!
//! ```text
//! cargo run --release -p graft-meta --example heads -- learn --backbone B --data DIR --validation DIR2 -o RECIPES
//! cargo run --release -p graft-meta --example heads -- measure --backbone B --data DIR3 --recipes RECIPES
//! ```

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use graft_meta::classes::Classes;
use graft_meta::episodes::{Augmentation, Sampler, Setting};
use graft_meta::evaluate::Accuracy;
use graft_meta::heads::{Found, Method, Products, Sgd, accuracy, recipe, ridge, sgd};
use graft_runtime::Backbone;
use graft_runtime::head_learner::{GD, GD_PLUS_PLUS, RIDGE};
use indicatif::ProgressBar;
use patchtool::task;
use patchtool::taught::RecipeFile;
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Images of each class to classify in an episode.
const QUERIES: usize = 5;
/// Gradient descent on the cross-entropy where nothing was learned: as searched with the runtime's own recipes.
const SGD: Sgd = Sgd {
    steps: 400,
    rate: 4.0,
};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learn steps of GD and GD++, search lambda of ridge regression and rate and steps of SGD: gd.json, gd++.json, ridge.json,
    /// sgd.json.
    Learn {
        #[command(flatten)]
        data: Data,
        /// Images by class, as those of --data, whose episodes choose the number of steps.
        #[arg(long, required = true)]
        validation: Vec<PathBuf>,
        /// Ways x shots of episodes, which alternate.
        #[arg(long, value_name = "WxS", default_values = ["5x1", "5x5", "5x12", "10x1", "10x5"])]
        settings: Vec<Setting>,
        /// Episodes of each, which are learned from again and again.
        #[arg(long, default_value_t = 100)]
        episodes: u64,
        /// Numbers of steps to choose from.
        #[arg(long, default_values = ["1", "2", "3"])]
        steps: Vec<usize>,
        /// Updates of the steps.
        #[arg(long, default_value_t = 600)]
        updates: usize,
        /// Folder to write to.
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
        episodes: u64,
        /// Folder with what was learned; the runtime's own recipes where there is none.
        #[arg(long)]
        recipes: Option<PathBuf>,
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
    /// The embedded classes of these paths.
    fn embed(&self, paths: &[PathBuf]) -> Result<Classes> {
        let backbone = Backbone::open(&self.backbone)?;
        let image = backbone.image();
        let preprocess = task::preprocess(&image.input(), image.metadata()?.resize.uncropped())?;
        let bar = ProgressBar::hidden();
        let mut classes = Classes::embed(paths, &preprocess, &backbone, &bar)?;
        if !self.only.is_empty() {
            classes = classes.split(&self.only)?.1;
        }
        Ok(classes)
    }

    /// Episodes of a setting.
    fn episodes(&self, classes: &Classes, setting: Setting, count: u64) -> Result<Vec<Products>> {
        let setting = Setting {
            queries: QUERIES,
            ..setting
        };
        let sampler = Sampler::new(classes, setting, Augmentation::default(), self.seed)?;
        let products = |number| {
            let episode = sampler.episode(number);
            let features = episode.support.values.len() / episode.support.len();
            Products::of(&episode, features)
        };
        let all = (0..count).into_par_iter().map(products);
        all.collect::<Option<_>>()
            .with_context(|| format!("all images of an episode of {setting} are the same"))
    }

    /// Episodes of all settings in turn, each of the classes of one of these paths.
    fn pools(&self, paths: &[PathBuf], settings: &[Setting], count: u64) -> Result<Vec<Products>> {
        let mut each = Vec::new();
        for path in paths {
            let classes = self.embed(std::slice::from_ref(path))?;
            for &setting in settings {
                each.push(self.episodes(&classes, setting, count)?.into_iter());
            }
        }
        let turn = |_| {
            each.iter_mut()
                .filter_map(Iterator::next)
                .collect::<Vec<_>>()
        };
        Ok((0..count).flat_map(turn).collect())
    }
}

fn main() -> Result<()> {
    let start = Instant::now();
    let mut report = match Arguments::parse().command {
        Command::Learn {
            data,
            validation,
            settings,
            episodes,
            steps,
            updates,
            output,
        } => {
            let own = data.pools(&data.data, &settings, episodes)?;
            let other = data.pools(&validation, &settings, episodes)?;
            std::fs::create_dir_all(&output)?;
            let mut tried = Vec::new();
            for (name, transforms) in [("gd", false), ("gd++", true)] {
                let learned = learn(&own, &other, &steps, transforms, updates)?;
                let chosen = learned
                    .iter()
                    .max_by(|a, b| a.validation.total_cmp(&b.validation));
                let chosen = chosen.context("give --steps")?;
                write(&output, name, &chosen.found.best)?;
                tried.push((name, learned));
            }
            let (ridge, sgd) = (ridge(&own, &other), sgd(&other));
            write(&output, "ridge", &ridge.best)?;
            write(&output, "sgd", &sgd)?;
            json!({"tried": tried, "ridge": ridge, "sgd": sgd})
        }
        Command::Measure {
            data,
            settings,
            episodes,
            recipes,
        } => {
            let classes = data.embed(&data.data)?;
            let recipes = Recipes::open(recipes.as_deref())?;
            let settings: Result<Vec<_>> = settings
                .into_iter()
                .map(|setting| {
                    let all = data.episodes(&classes, setting, episodes)?;
                    recipes.measure(setting, &all)
                })
                .collect();
            json!({"settings": settings?})
        }
    };
    report["seconds"] = json!(start.elapsed().as_secs_f64());
    println!("{report}");
    Ok(())
}

/// A recipe of one number of steps.
#[derive(Debug, Serialize)]
struct Learned {
    steps: usize,
    #[serde(flatten)]
    found: Found<RecipeFile>,
    /// Accuracy on the episodes that choose.
    validation: f64,
}

/// A recipe of each number of steps, from `own` episodes.
fn learn(
    own: &[Products],
    other: &[Products],
    steps: &[usize],
    transforms: bool,
    updates: usize,
) -> Result<Vec<Learned>> {
    let one = |&steps: &usize| {
        let found = recipe::learn(own, steps, transforms, updates);
        eprintln!("{steps} steps: loss {:.4}", found.loss);
        let validation = found
            .best
            .with(|recipe| accuracy(other, Method::Learner(recipe.method)));
        Ok(Learned {
            steps,
            validation: validation?,
            found,
        })
    };
    steps.par_iter().map(one).collect()
}

/// What is measured.
struct Recipes {
    gd: RecipeFile,
    plus_plus: RecipeFile,
    ridge: RecipeFile,
    sgd: Sgd,
}

impl Recipes {
    fn open(folder: Option<&Path>) -> Result<Self> {
        let Some(folder) = folder else {
            return Ok(Self {
                gd: RecipeFile::from(&GD),
                plus_plus: RecipeFile::from(&GD_PLUS_PLUS),
                ridge: RecipeFile::from(&RIDGE),
                sgd: SGD,
            });
        };
        Ok(Self {
            gd: read(folder, "gd")?,
            plus_plus: read(folder, "gd++")?,
            ridge: read(folder, "ridge")?,
            sgd: read(folder, "sgd")?,
        })
    }

    /// Accuracies of every method, and by how much each is better than class means, episode by episode.
    fn measure(&self, setting: Setting, episodes: &[Products]) -> Result<serde_json::Value> {
        let of = |method: Method<'_>| -> Vec<f64> {
            let all = episodes.par_iter().map(|episode| episode.accuracy(method));
            all.collect()
        };
        let learner = |file: &RecipeFile| file.with(|recipe| of(Method::Learner(recipe.method)));
        let means = of(Method::Means);
        let methods = [
            ("gd", learner(&self.gd)?),
            ("gd++", learner(&self.plus_plus)?),
            ("ridge", learner(&self.ridge)?),
            ("sgd", of(Method::Sgd(self.sgd))),
        ];
        let mut report = json!({"setting": setting.to_string(), "means": Accuracy::of(&means)});
        for (name, shares) in methods {
            let gains: Vec<f64> = shares.iter().zip(&means).map(|(a, b)| a - b).collect();
            report[name] = json!({"accuracy": Accuracy::of(&shares), "gain": Accuracy::of(&gains)});
        }
        Ok(report)
    }
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T> {
    let path = path(folder, name);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("no numbers of {name} in {}", path.display()))
}

fn write(folder: &Path, name: &str, numbers: &impl Serialize) -> Result<()> {
    let path = path(folder, name);
    let text = serde_json::to_string(numbers)?;
    std::fs::write(&path, format!("{text}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}
