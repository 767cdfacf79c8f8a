//! `patchtool demo`: the whole story on embedded assets.

mod generated;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, Parser};
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch, Session, TaskSlot, Verify};
use serde_json::{Value, json};

use self::generated::Generated;
use crate::commands::arguments::Common;
use crate::commands::train;
use crate::confusion::predicted;
use crate::demo::assets::{self, DemoTask};
use crate::demo::measure::{self, accuracy, latency, swap};
use crate::hint::Hint;
use crate::input;
use crate::memory;
use crate::report::{Report, Table, bytes};
use crate::task::{Task, open_task};
use crate::threads;
use crate::train::progress::Lines;
use crate::trained::{TrainKind, Trained};
use graft_data::evaluation_set::EvaluationSet;

/// Frames of the scene with hot swaps.
const FRAMES: usize = 12;

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool demo
  patchtool demo --keep demo     # and go on with the files: train, export, eval, bench, ...")]
pub struct Arguments {
    /// Keep the backbones, the patches, the generator and the images in this new folder: all that the guide works with.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Tells the story and measures it.
///
/// # Errors
/// No room for temporary files; a reader of the output that went away.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    threads::start(0)?;
    let start = Instant::now();
    let temporary;
    let folder = match &arguments.keep {
        Some(folder) => {
            std::fs::create_dir(folder).map_err(|error| {
                Hint::new(
                    format!("cannot make the folder {}: {error}", folder.display()),
                    "name a folder that is not there yet, in one that is",
                )
            })?;
            folder.as_path()
        }
        None => {
            temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
            temporary.path()
        }
    };
    assets::unpack(folder)?;
    let story = Story {
        folder,
        common: common.clone(),
        start,
    };
    let backbone = story.open_backbone()?;
    story.tell("2. Two patches, ready made: scale and bias of every layer, and a head")?;
    let mut tasks = Vec::new();
    for task in assets::READY {
        tasks.push(story.ready(&backbone, task)?);
    }
    tasks.push(story.live(&backbone)?);
    story.swap_frame_by_frame(&backbone, &tasks)?;
    let generated = story.generate(&backbone)?;
    story.report(&backbone, &tasks, &generated)
}

/// `patchtool train` with its arguments.
#[derive(Parser)]
struct TrainLine {
    #[command(flatten)]
    train: train::Arguments,
}

/// One task, once its patch is there.
struct Player {
    name: &'static str,
    /// For people.
    title: &'static str,
    images: EvaluationSet,
    patch: Arc<Patch>,
    /// Shares of the test images that are right: with the backbone's own head, with a new last layer alone on what the
    /// frozen backbone sees, with the patch.
    accuracy: [f64; 3],
}

struct Story<'a> {
    folder: &'a Path,
    common: Common,
    start: Instant,
}

impl Story<'_> {
    /// Text goes out as the story goes on, but not in between a script's JSON.
    fn tell(&self, text: &str) -> Result<()> {
        if !self.common.json && !self.common.quiet {
            writeln!(std::io::stdout(), "{text}")?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn open_backbone(&self) -> Result<Backbone> {
        let start = Instant::now();
        let backbone = input::map_backbone(&self.path(assets::BACKBONE), Verify::Full)?;
        let labels = backbone.image().metadata()?.labels;
        self.tell(&format!(
            "1. One backbone\n\
             A small MobileNetV2, {} of weights, mapped into memory in {} us. From here on it is frozen.\n\
             It was trained on photographs of ten things: {}.\n",
            bytes(backbone.image().bytes().len()),
            start.elapsed().as_micros(),
            labels.join(", "),
        ))?;
        Ok(backbone)
    }

    fn ready(&self, backbone: &Backbone, task: DemoTask) -> Result<Player> {
        let player = self.player(backbone, task)?;
        self.tell_of(&player, "", "images")?;
        Ok(player)
    }

    /// Size and accuracy of a patch, and its `making` in between.
    fn tell_of(&self, player: &Player, making: &str, images: &str) -> Result<()> {
        self.tell(&format!(
            "{:14} {},{making} right on {:.0} % of {} {images}",
            player.title,
            bytes(player.patch.receipt().bytes_mapped),
            100.0 * player.accuracy[2],
            player.images.len(),
        ))
    }

    fn live(&self, backbone: &Backbone) -> Result<Player> {
        let task = assets::LIVE;
        let line = self.line(task, TrainKind::BN_HEAD, 60);
        self.tell(&format!(
            "\n3. A third task, now: {}, 14 drawings of each to learn from\n$ {}",
            task.title,
            line.join(" ")
                .replace(&format!("{}/", self.folder.display()), ""),
        ))?;
        let start = Instant::now();
        let values = self.train(&line)?;
        let seconds = start.elapsed().as_secs_f64();
        let path = self.path(&format!("{}.patch", task.name));
        let patch = values.compile(&backbone.image(), Dtype::F32)?;
        std::fs::write(&path, patch).with_context(|| format!("cannot write {}", path.display()))?;
        let player = self.player(backbone, task)?;
        let trained = format!(" trained in {seconds:.0} s,");
        self.tell_of(&player, &trained, "drawings by other people")?;
        Ok(player)
    }

    /// Measures a patch, what the backbone knows without one, and what a new last layer would do.
    fn player(&self, backbone: &Backbone, task: DemoTask) -> Result<Player> {
        let path = self.path(&format!("{}.patch", task.name));
        let Task {
            patch, preprocess, ..
        } = open_task(&path, backbone, &backbone.image().metadata()?)?;
        let images = self.path(&format!("{}-test.tar", task.name));
        let images = measure::open(&images, &preprocess)?;
        let head = self.train(&self.line(task, TrainKind::HEAD, 100))?;
        let accuracy = [
            accuracy(backbone, &backbone.identity(), &images)?,
            f64::from(head.metrics.test_accuracy),
            accuracy(backbone, &patch, &images)?,
        ];
        Ok(Player {
            name: task.name,
            title: task.title,
            images,
            patch: Arc::new(patch),
            accuracy,
        })
    }

    /// The command line of a user who trains.
    fn line(&self, task: DemoTask, kind: TrainKind, epochs: u32) -> Vec<String> {
        let path = |name: String| self.path(&name).display().to_string();
        let mut line: Vec<String> = ["patchtool", "train", "--backbone"].map(Into::into).into();
        line.extend([
            path(assets::BACKBONE.into()),
            "--data".into(),
            path(format!("{}-train.tar", task.name)),
        ]);
        line.extend([
            "--test".into(),
            path(format!("{}-test.tar", task.name)),
            "--kind".into(),
            kind.to_string(),
        ]);
        if kind != TrainKind::HEAD {
            line.extend(["--augment".into(), task.augment.into()]);
        }
        line.extend([
            "--epochs".into(),
            epochs.to_string(),
            "--batch".into(),
            "16".into(),
        ]);
        line.extend([
            "-o".into(),
            path(format!("{}-{kind}.safetensors", task.name)),
        ]);
        line
    }

    /// Runs it, with the cache of decoded images in the demo's own folder.
    fn train(&self, line: &[String]) -> Result<Trained> {
        let cache = self.path("cache").display().to_string();
        // The command's own name is that of its arguments' parser.
        let line = line
            .iter()
            .skip(1)
            .cloned()
            .chain(["--cache".into(), cache]);
        let line = TrainLine::try_parse_from(line).context("the demo's own command line")?;
        Ok(train::train(&line.train, &self.common, Lines::None)?.trained)
    }

    fn swap_frame_by_frame(&self, backbone: &Backbone, tasks: &[Player]) -> Result<()> {
        self.tell("\n4. Frame by frame, another task for each: the patch is a pointer, the backbone stays")?;
        let mut session = Session::new(backbone)?;
        let slot = TaskSlot::new("demo", Arc::clone(&tasks[0].patch));
        let mut table = Table::new(&["frame", "task", "swap ns", "run us", "shown", "seen", ""]);
        for frame in 0..FRAMES {
            let player = &tasks[frame % tasks.len()];
            let image = frame * 7 % player.images.len();
            let input = player.images.input(image);
            let next = Arc::clone(&player.patch);
            let start = Instant::now();
            slot.publish(next)?;
            let patch = slot.patch();
            let swapped = start.elapsed();
            let start = Instant::now();
            let seen = predicted(session.run(&patch, &input)?);
            let ran = start.elapsed();
            let classes = player.images.classes();
            let shown = player.images.class(image);
            table.row([
                (frame + 1).to_string(),
                player.title.into(),
                swapped.as_nanos().to_string(),
                ran.as_micros().to_string(),
                classes[shown].clone(),
                seen.map_or("?".into(), |seen| classes[seen].clone()),
                if seen == Some(shown) {
                    "right".into()
                } else {
                    "wrong".into()
                },
            ]);
        }
        self.tell(&table.to_string())
    }

    fn report(
        &self,
        backbone: &Backbone,
        tasks: &[Player],
        generated: &Generated,
    ) -> Result<Report> {
        let mut table = Table::new(&[
            "task",
            "no patch %",
            "last layer %",
            "patch %",
            "patch kB",
            "whole model kB",
            "swap ns",
            "run us",
        ]);
        let rows = measured(&mut table, backbone, tasks)?;
        let mut generated_rows = measured(&mut table, &generated.backbone, &generated.players)?;
        for (row, time) in generated_rows.iter_mut().zip(&generated.times) {
            row["generate_ms"] = json!(1e3 * time.as_secs_f64());
        }
        let model = backbone.image().bytes().len();
        let session = Session::new(backbone)?;
        let patches: usize = tasks
            .iter()
            .map(|player| player.patch.receipt().bytes_mapped)
            .sum();
        let (shared, whole) = (model + patches, model * tasks.len());
        let resident = memory::usage().map(|usage| usage.resident);
        let seconds = self.start.elapsed().as_secs_f64();
        let text = format!(
            "{table}\
             No patch: a guess, by the first backbone's own ten classes or, of Sanskrit, at random. Last layer: a new\n\
             head on features of the first backbone; for Sanskrit, class means. What is trained here is tested on images\n\
             that chose no epoch. All of it on few images, Sanskrit also from one choice of drawings to learn from;\n\
             tools/RESULTS.md has the figures to quote.\n\n\
             On the device, without Sanskrit: one backbone and {} patches, {}; as whole models, {} ({:.1} x).\n\
             Each further task costs {}, not {}.\n\
             Working memory: {} for all tasks together. This process, training included: {}. All of it took {seconds:.0} s.\n",
            tasks.len(),
            bytes(shared),
            bytes(whole),
            whole as f64 / shared as f64,
            bytes(patches / tasks.len()),
            bytes(model),
            bytes(session.arena_bytes()),
            resident.map_or("unknown".into(), bytes),
        );
        let json = json!({
            "tasks": rows,
            "generated": generated_rows,
            "backbone_bytes": model,
            "shared_bytes": shared,
            "whole_models_bytes": whole,
            "arena_bytes": session.arena_bytes(),
            "rss_bytes": resident,
            "seconds": seconds,
        });
        Ok(Report::new(text, json))
    }
}

/// Adds a row of each task of a backbone to the table, and gives them for scripts.
fn measured(table: &mut Table, backbone: &Backbone, tasks: &[Player]) -> Result<Vec<Value>> {
    let model = backbone.image().bytes().len();
    let mut session = Session::new(backbone)?;
    let kilobytes = |bytes: usize| format!("{:.0}", bytes as f64 / 1e3);
    let mut rows = Vec::new();
    for (at, player) in tasks.iter().enumerate() {
        let other = &tasks[(at + 1) % tasks.len()];
        let swap = swap(&other.patch, &player.patch)?;
        let run = latency(&mut session, &player.patch, &player.images)?;
        let patch = player.patch.receipt().bytes_mapped;
        let [none, head, full] = player.accuracy.map(|share| format!("{:.0}", 100.0 * share));
        table.row([
            player.title.into(),
            none,
            head,
            full,
            kilobytes(patch),
            kilobytes(model),
            swap.as_nanos().to_string(),
            run.as_micros().to_string(),
        ]);
        rows.push(row(player, patch, model, swap, run));
    }
    Ok(rows)
}

fn row(player: &Player, patch: usize, model: usize, swap: Duration, run: Duration) -> Value {
    let [none, head, accuracy] = player.accuracy;
    json!({
        "task": player.name,
        "accuracy": { "no_patch": none, "last_layer": head, "patch": accuracy },
        "images": player.images.len(),
        "patch_bytes": patch,
        "whole_model_bytes": model,
        "swap_ns": swap.as_nanos() as u64,
        "run_us": run.as_micros() as u64,
    })
}
