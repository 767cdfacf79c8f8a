//! The commands. Each is a module with its arguments and a function from them to a [`Report`].

use anyhow::Result;
use clap::Subcommand;

use crate::report::Report;
use arguments::Common;

pub mod arguments;
pub mod bench;
pub mod calibrate;
pub mod demo;
pub mod device;
pub mod diff;
pub mod eval;
pub mod export;
pub mod extract;
pub mod generate;
mod images;
pub mod import;
mod inputs;
pub mod inspect;
pub mod keygen;
pub mod man;
pub mod other_program;
pub mod push;
pub mod quantize;
mod ranking;
pub mod run;
pub mod sign;
pub mod store;
pub mod taught;
pub mod train;
pub mod unlearn;
pub mod verify;

/// Declares [`Command`]: the help, name and arguments of each command, and the function that runs it.
macro_rules! commands {
    ($common:ident: $($(#[$help:meta])* $name:ident($($arguments:tt)*) => $module:ident::$run:ident($($option:ident)?),)*) => {
        /// The commands.
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($(#[$help])* $name($($arguments)*),)*
        }

        impl Command {
            /// Runs the command.
            ///
            /// # Errors
            /// Whatever the command cannot read, do or write.
            pub fn run(&self, $common: &Common) -> Result<Report> {
                match self {
                    $(Self::$name(arguments) => $module::$run(arguments $(, $option)?),)*
                }
            }
        }
    };
}

commands! {
    common:
    /// Tell the story: one backbone, patches for three tasks, one of them trained on the spot.
    Demo(demo::Arguments) => demo::run(common),
    /// Make a backbone from an ONNX model or a PyTorch state dict.
    Import(import::Arguments) => import::run(common),
    /// Make an int8 backbone of an f32 one.
    Quantize(quantize::Arguments) => quantize::run(common),
    /// Print the top labels of images, with one or more patches.
    Run(run::Arguments) => run::run(),
    /// Measure accuracy on a labelled folder, tar or zip archive.
    Eval(eval::Arguments) => eval::run(common),
    /// Measure latency, swap time, open time and memory.
    Bench(bench::Arguments) => bench::run(),
    /// Train a patch on a labelled folder, tar or zip archive.
    Train(Box<train::Arguments>) => train::run(common),
    /// Make a patch of a few labelled images, without training.
    Generate(generate::Arguments) => generate::run(common),
    /// Go on learning: the next patch from the one before and a few labelled images.
    Learn(generate::LearnArguments) => generate::learn(common),
    /// Take classes or images out of a patch as if it had never seen them.
    Forget(taught::ForgetArguments) => taught::forget(common),
    /// Give a patch the temperature at which its probabilities come true.
    Calibrate(calibrate::Arguments) => calibrate::run(common),
    /// Take a share of what a patch changes out of it again.
    Unlearn(unlearn::Arguments) => unlearn::run(),
    /// Show the contents of a backbone or patch.
    Inspect(inspect::Arguments) => inspect::run(),
    /// Compare two patches, or a patch and its backbone.
    Diff(diff::Arguments) => diff::run(),
    /// Make a device patch or an ONNX model of trained values, or a patch of an ONNX model.
    Export(export::Arguments) => export::run(common),
    /// Make a patch of the backbone's own values: it changes nothing.
    Extract(extract::Arguments) => extract::run(),
    /// Make a pair of keys: one to sign patches with, one for devices.
    Keygen(keygen::Arguments) => keygen::run(),
    /// Sign a patch or a backbone.
    Sign(sign::Arguments) => sign::run(),
    /// Check whose a patch or a backbone is.
    Verify(verify::Arguments) => verify::run(),
    /// Send a patch to a device while it runs.
    Push(push::Arguments) => push::run(common),
    /// Inspect a device, swap its patches, run it.
    Device(device::Arguments) => device::run(),
    /// Install patches in the store of a Linux board, try them, keep them or go back.
    Store(store::Arguments) => store::run(),
}
