//! Instructions of every layer or fused block on the M4: QEMU gives each a nanosecond of virtual time, and the device logs its ticks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graft_client::Task;
use graft_patches::BackboneImage;
use graft_patches::records::{Block, Op};
use graft_tests::cases::{Case, Demo};

use crate::device::Device;
use crate::machine::M4;
use crate::report::Report;

/// Most instructions a multiply-add over all pointwise, and all depthwise layers, and of a swap.
const POINTWISE: f64 = 1.25;
const DEPTHWISE: f64 = 4.5;
const SWAP: f64 = 200.0;

/// A profile as the application logs it.
struct Profile {
    layers: Vec<f64>,
    network: f64,
    swap: f64,
}

/// A line of the table: a layer, or a fused block.
struct Line {
    block: Block,
    ops: String,
    output: String,
    /// Of depthwise layers, and of others.
    macs: [usize; 2],
    instructions: f64,
}

impl Line {
    /// The most that it may take, but for sums and pools.
    fn bound(&self) -> f64 {
        let [depthwise, dense] = self.macs.map(|macs| macs as f64);
        DEPTHWISE * depthwise + POINTWISE * dense
    }
}

/// Measures the demo's network with a patch.
pub(crate) fn run(verbose: bool, report: &mut Report) -> Result<()> {
    let profile = measure(verbose)?;
    let demo = Demo::new();
    let image = demo.backbone.image();
    ensure!(
        profile.layers.len() == image.layer_count(),
        "the device logged {} layers, the network has {}",
        profile.layers.len(),
        image.layer_count()
    );
    let lines = lines(&image, &profile.layers);
    print(&lines, profile.network);
    let is_of = |line: &&Line, op: Op| line.ops == op.name();
    let of = |op: Op| lines.iter().filter(move |line| is_of(line, op));
    let blocks = lines
        .iter()
        .filter(|line| line.block.last > line.block.first);
    let kinds: [(&str, Vec<&Line>); 3] = [
        ("pointwise layers", of(Op::Pointwise).collect()),
        ("depthwise layers", of(Op::Depthwise).collect()),
        ("fused blocks", blocks.collect()),
    ];
    for (name, lines) in kinds {
        let taken: f64 = lines.iter().map(|line| line.instructions).sum();
        let bound: f64 = lines.iter().map(|line| line.bound()).sum();
        report.check(
            taken <= bound,
            format_args!(
                "{} {name}: {taken:.0} instructions, at most {bound:.0}",
                lines.len()
            ),
        );
    }
    report.check(
        profile.swap <= SWAP,
        format_args!("swap: {:.1} instructions, at most {SWAP}", profile.swap),
    );
    Ok(())
}

fn measure(verbose: bool) -> Result<Profile> {
    let mut device = Device::new(M4, verbose)?;
    device.push(0, "sign-digits")?;
    let case = device
        .cases()
        .iter()
        .find(|case| case.task == "sign-digits");
    let pixels = case
        .map(Case::pixels)
        .context("there are cases of sign-digits")?;
    device.client()?.activate(0)?;
    // What was logged before is of no interest.
    device.qemu()?.log();
    device.client()?.profile(&pixels, Some(Task::Slot(0)))?;
    let mut lines = Vec::new();
    while lines
        .last()
        .is_none_or(|line: &String| !line.contains(" swaps: "))
    {
        lines.push(device.qemu()?.wait_for(" ticks", Duration::from_secs(60))?);
    }
    parse(&lines)
}

/// Reads "layer N: T ticks", "network: T ticks of F a second" and "N swaps: T ticks".
fn parse(lines: &[String]) -> Result<Profile> {
    let one = |marker| {
        pairs(lines, marker)?
            .pop()
            .with_context(|| format!("no \"{marker}\" in the log"))
    };
    let (ticks, per_second) = one("network: ")?;
    let (swaps, swap_ticks) = one(" swaps: ")?;
    let instructions = 1e9 / per_second;
    let mut layers = Vec::new();
    for (index, ticks) in pairs(lines, "layer ")? {
        ensure!(
            index as usize == layers.len(),
            "layer {index} after {} layers",
            layers.len()
        );
        layers.push(ticks * instructions);
    }
    Ok(Profile {
        layers,
        network: ticks * instructions,
        swap: swap_ticks * instructions / swaps,
    })
}

/// The two numbers of each line with this text.
fn pairs(lines: &[String], marker: &str) -> Result<Vec<(f64, f64)>> {
    let with_marker = lines.iter().filter(|line| line.contains(marker));
    let pair = |line: &String| {
        // A time may come first.
        let text = line.split_once("INFO").map_or(&**line, |(_, text)| text);
        let digits = text.split(|c: char| !c.is_ascii_digit());
        let numbers: Vec<f64> = digits.filter_map(|digits| digits.parse().ok()).collect();
        let &[first, second] = &numbers[..] else {
            anyhow::bail!("two numbers are expected in \"{line}\"");
        };
        Ok((first, second))
    };
    with_marker.map(pair).collect()
}

/// Layers and blocks, from the instructions that each layer ends after.
fn lines(image: &BackboneImage<'_>, instructions: &[f64]) -> Vec<Line> {
    let line = |block: Block| line(image, block, instructions[block.last]);
    image.steps().map(line).collect()
}

fn line(image: &BackboneImage<'_>, block: Block, instructions: f64) -> Line {
    let shape = image.tensor(block.last + 1).shape;
    let mut macs = [0; 2];
    let mut ops = Vec::new();
    for index in block.layers() {
        let layer = image.layer(index);
        let depth = layer.site.map_or(0, |site| image.site(site).depth);
        let of = usize::from(layer.op != Op::Depthwise);
        macs[of] += image.tensor(index + 1).shape.len() * depth;
        ops.push(layer.op.name());
    }
    Line {
        block,
        ops: ops.join("+"),
        output: format!("{}x{}x{}", shape.height, shape.width, shape.channels),
        macs,
        instructions,
    }
}

fn print(lines: &[Line], network: f64) {
    println!("layers  output        MACs   instructions  a MAC  op");
    let mut all = 0;
    for line in lines {
        let macs: usize = line.macs.iter().sum();
        all += macs;
        let each = match macs {
            0 => String::new(),
            macs => format!("{:.2}", line.instructions / macs as f64),
        };
        println!(
            "{:>6}  {:9}  {macs:8}  {:12.0}  {each:>6}  {}",
            format!("{}-{}", line.block.first, line.block.last),
            line.output,
            line.instructions,
            line.ops,
        );
    }
    println!(
        "   all             {all:8}  {network:12.0}  {:6.2}",
        network / all as f64
    );
}
