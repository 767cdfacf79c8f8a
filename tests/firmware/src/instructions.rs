//! Instructions of every layer on the M4: QEMU gives each a nanosecond of virtual time, and the device logs its ticks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graft_client::Task;
use graft_patches::BackboneImage;
use graft_patches::records::Op;
use graft_tests::cases::{Case, Demo};

use crate::device::Device;
use crate::machine::M4;
use crate::report::Report;

/// Most instructions a multiply-add over all pointwise, and all depthwise layers, and of a swap.
const POINTWISE: f64 = 1.6;
const DEPTHWISE: f64 = 4.5;
const SWAP: f64 = 200.0;

/// A profile as the application logs it.
struct Profile {
    layers: Vec<f64>,
    network: f64,
    swap: f64,
}

/// A line of the table.
struct Layer {
    op: Op,
    output: String,
    macs: usize,
    instructions: f64,
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
    let layers: Vec<Layer> = (0..)
        .zip(&profile.layers)
        .map(|(index, &count)| layer(&image, index, count))
        .collect();
    print(&layers, profile.network);
    for (op, bound) in [(Op::Pointwise, POINTWISE), (Op::Depthwise, DEPTHWISE)] {
        let each = per_mac(layers.iter().filter(|layer| layer.op == op));
        report.check(
            each <= bound,
            format_args!(
                "{}: {each:.2} instructions a multiply-add, at most {bound}",
                op.name()
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

fn layer(image: &BackboneImage<'_>, index: usize, instructions: f64) -> Layer {
    let layer = image.layer(index);
    let shape = image.tensor(index + 1).shape;
    let site = layer.site.map(|site| image.site(site));
    Layer {
        op: layer.op,
        output: format!("{}x{}x{}", shape.height, shape.width, shape.channels),
        macs: site.map_or(0, |site| shape.len() * site.depth),
        instructions,
    }
}

fn per_mac<'a>(layers: impl Iterator<Item = &'a Layer>) -> f64 {
    let (instructions, macs) = layers.fold((0.0, 0), |(instructions, macs), layer| {
        (instructions + layer.instructions, macs + layer.macs)
    });
    instructions / macs as f64
}

fn print(layers: &[Layer], network: f64) {
    println!("layer  op          output        MACs   instructions  a MAC");
    for (index, layer) in layers.iter().enumerate() {
        let each = match layer.macs {
            0 => String::new(),
            macs => format!("{:.2}", layer.instructions / macs as f64),
        };
        println!(
            "{index:5}  {:10}  {:9}  {:8}  {:12.0}  {each:>6}",
            layer.op.name(),
            layer.output,
            layer.macs,
            layer.instructions
        );
    }
    let macs: usize = layers.iter().map(|layer| layer.macs).sum();
    println!(
        "  all                         {macs:8}  {network:12.0}  {:6.2}",
        network / macs as f64
    );
}
