//! `patchtool store`: the patches of a Linux board, changed beside the service that serves them.

mod install;
mod list;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use graft_runtime::Backbone;
use graft_store::{Ended, Error, Limits, StoreFolder};
use serde_json::json;

use crate::report::{Report, bytes};
use crate::{input, keys};

/// Arguments of `store`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool store install --store /var/lib/graft --backbone lite0.backbone --key fleet.pub flowers.patch
  patchtool store activate --store /var/lib/graft --backbone lite0.backbone --key fleet.pub --task flowers
  patchtool store list --store /var/lib/graft
  patchtool store confirm --store /var/lib/graft --task flowers

The service that owns the store follows at once. A version is on trial until it is confirmed: if the service ends before
that, its next start goes back to the version before.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check patches and add each as a new version of its task.
    Install(install::Arguments),
    /// Show tasks and versions.
    List(Store),
    /// Serve a version, on trial: without --version the newest.
    #[command(disable_version_flag = true)]
    Activate {
        #[command(flatten)]
        store: Store,
        #[command(flatten)]
        device: Device,
        /// Task of the version.
        #[arg(long, value_name = "NAME")]
        task: String,
        /// Number of the version.
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Keep the version that is on trial.
    Confirm {
        #[command(flatten)]
        store: Store,
        /// Task of the version.
        #[arg(long, value_name = "NAME")]
        task: String,
    },
    /// End the trial, or without one go back to the version before.
    Rollback {
        #[command(flatten)]
        store: Store,
        /// Task of the version.
        #[arg(long, value_name = "NAME")]
        task: String,
    },
    /// Remove old versions, and what a kill has left.
    Gc {
        #[command(flatten)]
        store: Store,
        /// Good versions of a task to keep beside those in use.
        #[arg(long, value_name = "N", default_value_t = Limits::default().keep)]
        keep: usize,
    },
}

/// The folder of a store.
#[derive(Debug, Args)]
struct Store {
    /// Folder of the store.
    #[arg(short, long, value_name = "DIR")]
    store: PathBuf,
}

impl Store {
    fn open(&self) -> StoreFolder {
        self.open_with(Limits::default())
    }

    fn open_with(&self, limits: Limits) -> StoreFolder {
        StoreFolder::new(&self.store, limits)
    }
}

/// What patches must fit.
#[derive(Debug, Args)]
struct Device {
    /// Backbone of the board.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// Public key: only patches that it has signed are taken. Twice while keys are changed.
    #[arg(short, long, value_name = "PUB")]
    key: Vec<PathBuf>,
}

impl Device {
    fn open(&self) -> Result<Backbone> {
        let backbone = input::backbone(&self.backbone)?;
        Ok(match self.key.is_empty() {
            true => backbone,
            false => backbone.trusting(keys::trust(&self.key)?),
        })
    }
}

/// Reads or changes a store.
///
/// # Errors
/// Whatever the store refuses, or cannot read or write.
pub fn run(arguments: &Arguments) -> Result<Report> {
    match &arguments.command {
        Command::Install(arguments) => install::run(arguments),
        Command::List(store) => list::run(&store.open()),
        Command::Activate {
            store,
            device,
            task,
            version,
        } => activate(&store.open(), device, task, *version),
        Command::Confirm { store, task } => {
            let store = store.open();
            store.confirm(task)?;
            serving(&store, task)
        }
        Command::Rollback { store, task } => {
            let store = store.open();
            store.roll_back(task, Ended::Asked)?;
            serving(&store, task)
        }
        Command::Gc { store, keep } => collect_garbage(&store.open_with(Limits {
            keep: *keep,
            ..Limits::default()
        })),
    }
}

/// Activates a version. That it fails its self-check is no error, but the answer is no.
fn activate(
    store: &StoreFolder,
    device: &Device,
    task: &str,
    version: Option<u32>,
) -> Result<Report> {
    let error = match store.activate(task, version, &device.open()?) {
        Ok(_) => return serving(store, task),
        Err(error @ Error::SelfCheck { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    Ok(Report {
        text: format!("{task}: {error}\n"),
        is_ok: false,
        ..serving(store, task)?
    })
}

/// Report of what a task is served with now.
fn serving(store: &StoreFolder, task: &str) -> Result<Report> {
    let state = store.task(task)?;
    let version = state
        .serving()
        .map_or("the backbone's own values".into(), |number| {
            format!("version {number}")
        });
    let trial = match state.trial() {
        Some(_) => ", on trial: confirm it with patchtool store confirm",
        None => "",
    };
    let json = json!({
        "task": task,
        "serving": state.serving(),
        "active": state.active(),
        "trial": state.trial().map(|trial| trial.version),
    });
    Ok(Report::new(
        format!("{task}: serving {version}{trial}\n"),
        json,
    ))
}

fn collect_garbage(store: &StoreFolder) -> Result<Report> {
    let collected = store.collect_garbage()?;
    let text = format!(
        "removed {} versions and {} other files, {}\n",
        collected.versions,
        collected.files,
        bytes(collected.bytes as usize)
    );
    let json = json!({
        "versions": collected.versions,
        "files": collected.files,
        "bytes": collected.bytes,
    });
    Ok(Report::new(text, json))
}
