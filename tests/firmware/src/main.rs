//! Runs the firmware on Cortex-M machines in QEMU, drives it over its serial link as `patchtool` does, and compares what it
//! gives with `tests/cases`.
//!
//! ```text
//! cargo run --release -p graft-firmware-tests -- cases         every machine, all images, a swap before every frame
//! cargo run --release -p graft-firmware-tests -- story         the M4 through uploads, power cuts and hostile hosts
//! cargo run --release -p graft-firmware-tests -- trust         the M4 with firmware that runs only signed patches
//! cargo run --release -p graft-firmware-tests -- learn         the M4 with firmware that learns heads from frames
//! cargo run --release -p graft-firmware-tests -- generated     the M4 with a patch generated from a few drawings
//! cargo run --release -p graft-firmware-tests -- instructions  the M4's instructions by layer
//! cargo run --release -p graft-firmware-tests -- log ELF       the log on standard input in words
//! ```
//!
//! `firmware/mps2/build` makes the programs that it runs.

mod cases;
mod device;
mod generated;
mod hostile;
mod instructions;
mod learn;
mod log;
mod machine;
mod qemu;
mod report;
mod story;
mod trust;

use std::io::{Write as _, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::report::Report;

#[derive(Parser)]
#[command(about = "Runs the firmware in QEMU and compares what it gives")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print the log of the devices.
    #[arg(long, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The cases of `tests/cases` on every machine
    Cases {
        /// Only the machines of these names, such as mps2-an386
        #[arg(long)]
        machine: Vec<String>,
    },
    /// The M4 through uploads, power cuts and hostile hosts
    Story,
    /// The M4 with firmware that runs only signed patches
    Trust,
    /// The M4 with firmware that learns heads from frames
    Learn,
    /// The M4 with a patch that was generated from a few drawings
    Generated,
    /// The M4's instructions by layer
    Instructions,
    /// Reads a device's log on standard input
    Log {
        /// The program that wrote it
        elf: PathBuf,
    },
}

fn main() -> Result<ExitCode> {
    let Arguments { command, verbose } = Arguments::parse();
    let mut report = Report::default();
    match command {
        Command::Cases { machine } => {
            let mut machines = machine::ALL.to_vec();
            machines.retain(|known| {
                machine.is_empty() || machine.iter().any(|name| name == known.name)
            });
            cases::run(&machines, verbose, &mut report);
        }
        Command::Story => story::run(verbose, &mut report)?,
        Command::Trust => trust::run(verbose, &mut report)?,
        Command::Learn => learn::run(verbose, &mut report)?,
        Command::Generated => generated::run(verbose, &mut report)?,
        Command::Instructions => instructions::run(verbose, &mut report)?,
        Command::Log { elf } => {
            log::Log::of(&elf)?.follow(stdin().lock(), |line| {
                // Whoever reads it may have seen enough.
                if writeln!(stdout(), "{line}").is_err() {
                    std::process::exit(0);
                }
            })?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(if report.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
