//! `patchtool device`: what a device has, and which of its patches it serves.

mod info;
mod learn;
mod profile;
mod run;

use anyhow::Result;
use clap::{Args, Subcommand};
use graft_client::{Client, DeviceError, Task};
use serde_json::json;

use crate::commands::arguments::Line;
use crate::report::Report;

/// Arguments of `device`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what the device is, its slots and its memory.
    Info(Line),
    /// Serve the patch of a slot, on trial: a reset before it is confirmed goes back.
    Activate {
        /// Number of the slot.
        #[arg(long, value_name = "N")]
        slot: u8,
        #[command(flatten)]
        line: Line,
    },
    /// Keep the patch that is on trial.
    Confirm(Line),
    /// End the trial, or without one go back to what was active before.
    Rollback(Line),
    /// Start the device anew.
    Restart(Line),
    /// Print the top labels that the device finds in images.
    Run(run::Arguments),
    /// Add images to what the device learns a class from.
    Teach(learn::TeachArguments),
    /// Take a class away that the device was taught, as if it had never seen it.
    Forget {
        /// Name of the class.
        label: String,
        #[command(flatten)]
        line: Line,
    },
    /// Let the device make a head of what it was taught, in a slot, and serve it on trial.
    Learn(learn::Arguments),
    /// Show how long the device takes for each layer.
    Profile(profile::Arguments),
}

/// Talks to a device.
///
/// # Errors
/// Whatever the device refuses, or what the line to it fails with.
pub fn run(arguments: &Arguments) -> Result<Report> {
    match &arguments.command {
        Command::Info(line) => info::run(line),
        Command::Activate { slot, line } => activate(&mut line.connect()?, *slot),
        Command::Confirm(line) => {
            let mut client = line.connect()?;
            client.confirm()?;
            serving(&mut client)
        }
        Command::Rollback(line) => {
            let mut client = line.connect()?;
            client.rollback()?;
            serving(&mut client)
        }
        Command::Restart(line) => {
            line.connect()?.restart()?;
            Ok(Report::new("restarted\n".into(), json!({})))
        }
        Command::Run(arguments) => run::run(arguments),
        Command::Teach(arguments) => learn::teach(arguments),
        Command::Forget { label, line } => learn::forget(label, line),
        Command::Learn(arguments) => learn::run(arguments),
        Command::Profile(arguments) => profile::run(arguments),
    }
}

/// Activates a slot. That the patch fails the device's check is no error, but the answer is no.
pub(super) fn activate(client: &mut Client, slot: u8) -> Result<Report> {
    let error = match client.activate(slot) {
        Ok(()) => return serving(client),
        Err(error @ DeviceError::SelfCheck) => error,
        Err(error) => return Err(error.into()),
    };
    Ok(Report {
        text: format!("slot {slot}: {error}\n"),
        is_ok: false,
        ..serving(client)?
    })
}

/// Report of what the device serves now.
fn serving(client: &mut Client) -> Result<Report> {
    let device = client.device()?;
    let name = task_name(device.serving);
    let text = match device.trial {
        Some(_) => format!("serving {name}, on trial: confirm it with patchtool device confirm\n"),
        None => format!("serving {name}\n"),
    };
    let json =
        json!({ "serving": name, "active": task_name(device.active), "trial": device.trial });
    Ok(Report::new(text, json))
}

fn task_name(task: Task) -> String {
    match task {
        Task::Own => "own".into(),
        Task::Slot(slot) => format!("slot {slot}"),
    }
}

/// Task that the device is to run with.
#[derive(Debug, Args)]
struct TaskArguments {
    /// Run with the patch of this slot, not with what the device serves.
    #[arg(long, value_name = "N")]
    slot: Option<u8>,
    /// Run with the backbone's own values.
    #[arg(long, conflicts_with = "slot")]
    own: bool,
}

impl TaskArguments {
    fn task(&self, client: &mut Client) -> Result<Task, DeviceError> {
        match self.slot {
            Some(slot) => Ok(Task::Slot(slot)),
            None if self.own => Ok(Task::Own),
            None => Ok(client.device()?.serving),
        }
    }
}
