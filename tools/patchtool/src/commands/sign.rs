//! `patchtool sign`: says whose a patch is.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use graft_patches::minisign;
use graft_patches::writer;
use serde_json::json;

use crate::commands::arguments::Output;
use crate::input::ImageFile;
use crate::keys;
use crate::report::{Report, bytes};
use graft_data::output;

/// Arguments of `sign`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool sign flowers.patch --key fleet.key -o flowers-signed.patch
  patchtool sign flowers.patch --key fleet.key -o signed/flowers.patch --minisig
  minisign -V -p fleet.pub -m signed/flowers.patch

A device that has seen a counter of a task refuses to install a patch of that task with a lower one, for good: a counter that
is too high cannot be taken back. The time as the counter grows by itself.")]
pub struct Arguments {
    /// Patch or backbone.
    file: PathBuf,
    /// Secret key, of `patchtool keygen`.
    #[arg(short, long, value_name = "KEY")]
    key: PathBuf,
    #[command(flatten)]
    output: Output,
    /// A number that grows with each patch of the task; by default the time, in seconds since 1970.
    #[arg(long, value_name = "N", value_parser = keys::counter)]
    counter: Option<u64>,
    /// Write a signature of the whole file beside it, too, FILE.minisig, which minisign can check.
    #[arg(long)]
    minisig: bool,
}

/// Signs a file.
///
/// # Errors
/// Whatever cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let Output { output, force } = &arguments.output;
    let mut detached = output.clone().into_os_string();
    detached.push(".minisig");
    let detached = arguments.minisig.then(|| PathBuf::from(detached));
    let outputs = [output].into_iter().chain(&detached).map(PathBuf::as_path);
    let inputs = [arguments.file.as_path(), &arguments.key];
    output::check_all(&outputs.collect::<Vec<_>>(), &inputs, *force)?;
    let key = keys::signing(&arguments.key)?;
    let file = ImageFile::of_graft(&arguments.file)?;
    let counter = arguments.counter.unwrap_or_else(keys::counter_of_now);
    let signed = writer::sign(file.bytes(), &key, counter)
        .with_context(|| format!("cannot sign {}", arguments.file.display()))?;
    output::write_atomically(output, *force, |to| to.write_all(&signed))?;
    let id = key.public().id().to_string();
    let mut text = format!(
        "{}: signed with key {id}, counter {counter}, {}\n",
        output.display(),
        bytes(signed.len())
    );
    if let Some(detached) = &detached {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let comment = format!("file:{name}\tcounter:{counter}");
        let signature = minisign::signature(&signed, &key, &comment);
        output::write_atomically(detached, *force, |to| to.write_all(signature.as_bytes()))?;
        text += &format!("{}: for minisign\n", detached.display());
    }
    let json = json!({
        "file": output.display().to_string(),
        "signed_by": id,
        "counter": counter,
        "bytes": signed.len(),
        "minisig": detached.map(|path| path.display().to_string()),
    });
    Ok(Report::new(text, json))
}
