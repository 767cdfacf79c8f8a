//! `patchtool bench`: latency, swap time, open time, memory, and where the time goes.

pub(super) mod layers;
mod many;
mod peak;
mod roofline;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use graft_runtime::{Backbone, Patch, Session, TaskSlot, Verify};
use serde_json::{Value, json};

use crate::commands::arguments::Model;
use crate::hint::Hint;
use crate::input;
use crate::memory;
use crate::report::{Report, bytes};
use crate::task::patch_files;
use graft_data::output;

use layers::LayerTime;
pub(super) use layers::macs;
use many::Many;
use roofline::Roof;

/// Swaps that are timed one by one.
const SWAPS: usize = 20_000;
/// Times that everything is opened anew.
const OPENS: usize = 11;
/// Runs before the timed ones.
const WARM_UP: usize = 3;

/// Arguments of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool bench --backbone lite0.backbone --patch patches/ --resident 2,100,1000 --layers
  patchtool bench --backbone lite0.backbone --roofline lite0.png")]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Timed runs.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Threads that share each layer.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Time each layer, and compare it with the peak; fused ones, too, one after the other.
    #[arg(long)]
    layers: bool,
    /// Measure the multiply-adds a second that these threads can do at most, with the instructions of the kernels.
    #[arg(long)]
    peak: bool,
    /// Draw the layers under what the machine can do at most: computing, and reading from memory.
    #[arg(long, value_name = "F.png")]
    roofline: Option<PathBuf>,
    /// Overwrite the picture if it exists.
    #[arg(long)]
    force: bool,
    /// Also measure swaps and memory with these numbers of patches resident, such as 2,100,1000.
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    resident: Vec<usize>,
}

/// Measures a backbone and its patches.
///
/// # Errors
/// Whatever cannot be opened, or fewer patches than `--resident` asks for.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let path = &arguments.model.backbone;
    let files = patch_files(&arguments.model.patch)?;
    if input::is_stdin(path) {
        bail!(Hint::new(
            "bench measures how long it takes to open a file, which stdin is not".into(),
            "give the backbone by name",
        ));
    }
    if let Some(picture) = &arguments.roofline {
        output::check(picture, arguments.force)?;
        for input in files.iter().chain([path]) {
            output::check_apart(picture, input)?;
        }
    }
    let backbone = input::backbone(path)?;
    let opened = measure_open(path, arguments.threads)?;
    let mut session = Session::with_threads(&backbone, arguments.threads)?;
    // Before the patches are opened for good: what each number of them adds is then all theirs.
    let residents = arguments
        .resident
        .iter()
        .map(|&count| measure_resident(&files, count, &backbone))
        .collect::<Result<Vec<_>>>()?;
    let patches = open_patches(&files, &backbone)?;
    let first = patches
        .first()
        .cloned()
        .unwrap_or_else(|| Arc::new(backbone.identity()));
    let image = test_image(&first);
    let times = time_runs(&mut session, &first, &image, arguments.runs)?;
    let two = with_identity(&patches, &backbone);
    let swap = measure_swaps(&two)?;
    let switch_us = measure_switch(&mut session, &two, arguments.runs)?;
    let many = many::measure(&mut session, &patches, arguments.runs, &backbone)?;
    let (kernels, threads) = (session.kernels(), session.threads());
    let wants_layers = arguments.layers || arguments.roofline.is_some();
    let layers = match wants_layers {
        true => layers::time(threads, &first, &image, arguments.runs, &backbone)?,
        false => Vec::new(),
    };
    let gmacs = (arguments.peak || wants_layers)
        .then(|| peak::gmacs(backbone.image().dtype(), kernels, threads))
        .flatten();
    if let Some(path) = &arguments.roofline {
        draw_roofline(path, &layers, gmacs, &session, arguments)?;
    }
    let patch_bytes: usize = patches
        .iter()
        .map(|patch| patch.receipt().bytes_mapped)
        .sum();
    let json = json!({
        "backbone": path.display().to_string(),
        "kernels": kernels,
        "threads": threads,
        "latency_ms": { "min": times.min, "median": times.median, "p90": times.p90 },
        "open_us": opened.structure_us,
        "open_full_us": opened.full_us,
        "first_run_us": opened.first_run_us,
        "steady_run_us": opened.steady_us,
        "swap_ns": { "median": swap },
        "switch_us": switch_us,
        "many_ms": many::json(&many, Many::together_ms),
        "separate_ms": many::json(&many, Many::separate_ms),
        "shared_layers": many::json(&many, Many::shared_layers),
        "resident": residents,
        "arena_bytes": session.arena_bytes(),
        "backbone_bytes": backbone.image().bytes().len(),
        "patch_bytes": patch_bytes,
        "rss_bytes": memory::usage().map(|usage| usage.resident),
        "peak_gmacs": gmacs,
        "layers": layers.iter().map(|layer| layer.json(kernels, gmacs)).collect::<Vec<_>>(),
    });
    let table = match layers.is_empty() {
        true => String::new(),
        false => layers::table(&layers, kernels, gmacs).to_string(),
    };
    let many = many::text(&many, backbone.image().layer_count());
    Ok(Report::new(table + &text(&json, &opened, &many)?, json))
}

/// Draws the layers under the roof.
fn draw_roofline(
    path: &Path,
    layers: &[LayerTime],
    gmacs: Option<f64>,
    session: &Session<'_>,
    arguments: &Arguments,
) -> Result<()> {
    let (kernels, threads) = (session.kernels(), session.threads());
    let Some(gmacs) = gmacs else {
        bail!(Hint::new(
            format!("the {kernels} kernels are plain Rust, of which no peak is known"),
            "leave out --roofline, or unset GRAFT_KERNELS",
        ));
    };
    let read_gb = peak::read_gb(threads);
    let name = arguments.model.backbone.file_stem().unwrap_or_default();
    let title = format!("{}: {kernels}, threads: {threads}", name.display());
    let picture = roofline::draw(&title, layers, &Roof { gmacs, read_gb })?;
    picture.write(path, arguments.force)?;
    Ok(())
}

/// A deterministic image with all levels in it.
fn test_image(patch: &Patch) -> Vec<u8> {
    let levels =
        (0..patch.input().shape.len()).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    levels.collect()
}

fn open_patches(files: &[PathBuf], backbone: &Backbone) -> Result<Vec<Arc<Patch>>> {
    let open = |file: &PathBuf| Ok(Arc::new(input::patch(file, backbone)?));
    files.iter().map(open).collect()
}

fn with_identity(patches: &[Arc<Patch>], backbone: &Backbone) -> Vec<Arc<Patch>> {
    let mut all = patches.to_vec();
    if all.len() < 2 {
        all.push(Arc::new(backbone.identity()));
    }
    all
}

/// Open times in microseconds. Everything is new: mapping, checks, arena, first run.
struct Opened {
    structure_us: f64,
    full_us: f64,
    first_run_us: f64,
    steady_us: f64,
}

fn measure_open(path: &Path, threads: usize) -> Result<Opened> {
    let mut samples = [const { Vec::new() }; 4];
    for _ in 0..OPENS {
        let start = Instant::now();
        let backbone = input::map_backbone(path, Verify::Structure)?;
        samples[0].push(microseconds(start.elapsed()));
        let patch = backbone.identity();
        let image = test_image(&patch);
        let start = Instant::now();
        let mut session = Session::with_threads(&backbone, threads)?;
        session.run(&patch, &image)?;
        samples[1].push(microseconds(start.elapsed()));
        for _ in 0..5 {
            let start = Instant::now();
            session.run(&patch, &image)?;
            samples[2].push(microseconds(start.elapsed()));
        }
        let start = Instant::now();
        input::map_backbone(path, Verify::Full)?;
        samples[3].push(microseconds(start.elapsed()));
    }
    let [structure_us, first_run_us, steady_us, full_us] = samples.map(median);
    Ok(Opened {
        structure_us,
        full_us,
        first_run_us,
        steady_us,
    })
}

struct Times {
    min: f64,
    median: f64,
    p90: f64,
}

fn time_runs(session: &mut Session<'_>, patch: &Patch, image: &[u8], runs: u32) -> Result<Times> {
    for _ in 0..WARM_UP {
        session.run(patch, image)?;
    }
    let mut samples = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        session.run(patch, image)?;
        samples.push(start.elapsed().as_secs_f64() * 1e3);
    }
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize];
    Ok(Times {
        min: samples[0],
        median: at(0.5),
        p90: at(0.9),
    })
}

/// Median time, in nanoseconds, from having a patch to a reader that has it: publish in a task slot, read it back.
/// Every swap goes to the next patch, so with many of them none is in the cache.
fn measure_swaps(patches: &[Arc<Patch>]) -> Result<f64> {
    let slot = TaskSlot::new("bench", Arc::clone(&patches[0]));
    let mut samples = Vec::with_capacity(SWAPS);
    for swap in 1..=SWAPS {
        let next = Arc::clone(&patches[swap % patches.len()]);
        let start = Instant::now();
        slot.publish(next)?;
        let current = slot.patch();
        samples.push(start.elapsed().as_nanos() as f64);
        std::hint::black_box(current);
    }
    Ok(median(samples))
}

/// Swaps and memory with `count` patches open at the same time.
fn measure_resident(files: &[PathBuf], count: usize, backbone: &Backbone) -> Result<Value> {
    if count < 2 || count > files.len() {
        bail!(Hint::new(
            format!("--resident {count} with {} patch files", files.len()),
            "give at least two patches, and as many files (or a folder of them) as the largest number",
        ));
    }
    let before = memory::usage();
    let patches = open_patches(&files[..count], backbone)?;
    let after = memory::usage();
    let grown = |of: fn(&memory::Usage) -> usize| {
        Some(of(after.as_ref()?).saturating_sub(of(before.as_ref()?)))
    };
    let file_bytes: usize = patches
        .iter()
        .map(|patch| patch.receipt().bytes_mapped)
        .sum();
    Ok(json!({
        "patches": count,
        "swap_ns": measure_swaps(&patches)?,
        "file_bytes": file_bytes,
        "resident_bytes": grown(|usage| usage.resident),
        "private_bytes": grown(|usage| usage.private_dirty),
    }))
}

/// Microseconds that a frame takes longer through another patch than the frame before: the median difference of a run with
/// the next patch and a second one with the same.
fn measure_switch(session: &mut Session<'_>, patches: &[Arc<Patch>], runs: u32) -> Result<f64> {
    let images: Vec<_> = patches.iter().map(|patch| test_image(patch)).collect();
    let mut samples = Vec::new();
    for turn in 0..(runs as usize).max(2 * patches.len()) {
        let at = turn % patches.len();
        let (patch, image) = (&patches[at], &images[at]);
        let [other, same] = [(); 2].map(|()| {
            let start = Instant::now();
            session
                .run(patch, image)
                .map(|_| microseconds(start.elapsed()))
        });
        samples.push(other? - same?);
    }
    Ok(median(samples))
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(0.0)
}

fn text(json: &Value, opened: &Opened, many: &str) -> Result<String> {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let size = |key: &str| bytes(json[key].as_u64().unwrap_or(0) as usize);
    let mut text = String::new();
    let latency = &json["latency_ms"];
    writeln!(
        text,
        "latency    {:.2} ms (min {:.2}, p90 {:.2}), {} threads, {} kernels",
        number(&latency["median"]),
        number(&latency["min"]),
        number(&latency["p90"]),
        json["threads"],
        json["kernels"].as_str().unwrap_or_default(),
    )?;
    if let Some(peak) = json["peak_gmacs"].as_f64() {
        writeln!(text, "peak       {peak:.1} GMAC/s")?;
    }
    writeln!(
        text,
        "open       {:.0} us, with every digest {:.0} us; session and first run {:.0} us, {:.2} x a steady run with the open",
        opened.structure_us,
        opened.full_us,
        opened.first_run_us,
        (opened.structure_us + opened.first_run_us) / opened.steady_us,
    )?;
    writeln!(
        text,
        "swap       {:.0} ns; the next frame takes {:.1} us longer",
        number(&json["swap_ns"]["median"]),
        number(&json["switch_us"])
    )?;
    for resident in json["resident"].as_array().into_iter().flatten() {
        let size = |key: &str| bytes(resident[key].as_u64().unwrap_or(0) as usize);
        writeln!(
            text,
            "           {:.0} ns with {} patches: {} of files, {} resident, {} private",
            number(&resident["swap_ns"]),
            resident["patches"],
            size("file_bytes"),
            size("resident_bytes"),
            size("private_bytes"),
        )?;
    }
    text.push_str(many);
    writeln!(
        text,
        "memory     backbone {}, patches {}, arena {}, resident {}",
        size("backbone_bytes"),
        size("patch_bytes"),
        size("arena_bytes"),
        size("rss_bytes"),
    )?;
    Ok(text)
}
