//! `patchtool store install`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use graft_runtime::Backbone;
use graft_store::{Error, Installed, Limits, StoreFolder};
use serde_json::json;

use super::{Device, Store};
use crate::input::{self, ImageFile};
use crate::report::{Report, Table};

/// Arguments of `store install`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool store install --store /var/lib/graft --backbone lite0.backbone --key fleet.pub flowers.patch birds.patch")]
pub(super) struct Arguments {
    #[command(flatten)]
    store: Store,
    #[command(flatten)]
    device: Device,
    /// Patch files; the task of each is its name, as inspect shows it.
    #[arg(required = true, value_name = "P")]
    patches: Vec<PathBuf>,
    /// Most bytes of a patch.
    #[arg(long, value_name = "N", default_value_t = Limits::default().patch_bytes)]
    max_patch_bytes: u64,
    /// Most bytes of all patches.
    #[arg(long, value_name = "N", default_value_t = Limits::default().bytes)]
    max_bytes: u64,
    /// Most versions of a task.
    #[arg(long, value_name = "N", default_value_t = Limits::default().versions)]
    max_versions: u64,
    /// Most tasks.
    #[arg(long, value_name = "N", default_value_t = Limits::default().tasks)]
    max_tasks: u64,
}

/// Installs patches, each or none of it.
pub(super) fn run(arguments: &Arguments) -> Result<Report> {
    let backbone = arguments.device.open()?;
    let store = arguments.store.open_with(Limits {
        tasks: arguments.max_tasks,
        versions: arguments.max_versions,
        patch_bytes: arguments.max_patch_bytes,
        bytes: arguments.max_bytes,
        ..Limits::default()
    });
    let mut table = Table::new(&["patch", "task", "version", ""]);
    let mut installed = Vec::new();
    let mut failure = None;
    for path in &arguments.patches {
        let found = install(&store, path, &backbone)
            .with_context(|| format!("cannot install {}", path.display()));
        let Installed {
            task,
            version,
            is_new,
        } = match found {
            Ok(found) => found,
            Err(error) if installed.is_empty() => return Err(error),
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        let patch = path.display().to_string();
        let known = if is_new { "" } else { "was there" };
        table.row([
            patch.clone(),
            task.clone(),
            version.to_string(),
            known.into(),
        ]);
        installed
            .push(json!({ "patch": patch, "task": task, "version": version, "is_new": is_new }));
    }
    Ok(Report {
        failure,
        ..Report::new(table.to_string(), json!({ "installed": installed }))
    })
}

fn install(store: &StoreFolder, path: &Path, backbone: &Backbone) -> Result<Installed> {
    if input::is_stdin(path) {
        return Ok(store.install(input::read(path)?.as_slice(), backbone)?);
    }
    match store.install_file(path, backbone) {
        // Another kind of file has an error of its own.
        Err(error @ Error::Patch(_)) => {
            Err(ImageFile::of_graft(path).err().unwrap_or(error.into()))
        }
        found => Ok(found?),
    }
}
