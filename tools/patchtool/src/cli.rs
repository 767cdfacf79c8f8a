//! What users type: the contract of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    bench, demo, device, diff, eval, export, extract, generate, import, inspect, meta_train, push,
    quantize, run, train,
};
use crate::device::{Client, DeviceError, Port};

/// Ships one backbone and many small patches: imports networks, runs, measures and compares them.
#[derive(Debug, Parser)]
#[command(name = "patchtool", version, propagate_version = true)]
#[command(after_help = "Exit status: 0 ok, 1 a check said no, 2 usage or I/O.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(Clone, Copy, Debug, Args)]
pub struct Common {
    /// Print one JSON object on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, no warnings.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More log on stderr; twice for debugging.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See what it is about: one backbone, patches for three tasks, one of them trained on the spot.
    Demo(demo::Arguments),
    /// Make a backbone from an ONNX model or a PyTorch state dict.
    Import(import::Arguments),
    /// Make an int8 backbone of an f32 one.
    Quantize(quantize::Arguments),
    /// Print the top labels of images, with one or more patches.
    Run(run::Arguments),
    /// Measure accuracy on a labelled folder, tar or zip archive.
    Eval(eval::Arguments),
    /// Measure latency, swap time, open time and memory.
    Bench(bench::Arguments),
    /// Train a patch on a labelled folder, tar or zip archive.
    Train(Box<train::Arguments>),
    /// Train a HyperTransformer, which makes patches from a handful of images: runs patchtool-meta-train.
    MetaTrain(meta_train::Arguments),
    /// Make a patch of a few labelled images, without training.
    Generate(generate::Arguments),
    /// Go on learning: the next patch from the one before and a few labelled images.
    Learn(generate::LearnArguments),
    /// Show what is in a backbone or patch.
    Inspect(inspect::Arguments),
    /// Compare two patches, or a patch and its backbone.
    Diff(diff::Arguments),
    /// Make a device patch or an ONNX model of trained values, or a patch of an ONNX model.
    Export(export::Arguments),
    /// Make a patch of the backbone's own values: it changes nothing.
    Extract(extract::Arguments),
    /// Send a patch to a device while it runs.
    Push(push::Arguments),
    /// See what a device has, swap its patches, run it.
    Device(device::Arguments),
}

/// The backbone and patches that a command works on.
#[derive(Debug, Args)]
pub struct Model {
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    pub backbone: PathBuf,
    /// Patch file, or a folder of them; may be given several times. Without it: the backbone's own head and epilogues.
    #[arg(short, long, value_name = "P")]
    pub patch: Vec<PathBuf>,
}

/// Where the device is.
#[derive(Debug, Args)]
pub struct Line {
    /// Where the device is: tcp:HOST:PORT, or a serial port such as /dev/ttyACM0.
    #[arg(long, value_name = "PORT")]
    port: Port,
    /// Bits a second of a serial port.
    #[arg(long, default_value_t = Port::BAUD)]
    baud: u32,
    /// Wait for a device that is still starting, at most so long.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
}

impl Line {
    /// Connects to the device.
    ///
    /// # Errors
    /// As [`Client::open`], or [`Client::wait`] with `--wait`.
    pub fn connect(&self) -> Result<Client, DeviceError> {
        let port = self.port.clone().with_baud(self.baud);
        match self.wait {
            Some(seconds) => Client::wait(&port, Duration::from_secs(seconds.into())),
            None => Client::open(&port),
        }
    }
}

/// Where a command writes a file.
#[derive(Debug, Args)]
pub struct Output {
    /// File to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite it if it exists.
    #[arg(long)]
    pub force: bool,
}
