//! `patchtool meta-train`: runs the program `patchtool-meta-train`, of the crate `graft-meta`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::commands::arguments::Common;
use crate::hint::Hint;

/// Name of the program.
const PROGRAM: &str = "patchtool-meta-train";

/// Arguments of `meta-train`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct Arguments {
    /// Options of patchtool-meta-train; `patchtool meta-train --help` lists them.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    arguments: Vec<OsString>,
}

/// Runs the program that lies beside this one, or else on the PATH, with the same arguments; its exit status.
///
/// # Errors
/// No such program, or one that does not start.
pub fn run(arguments: &Arguments, common: &Common) -> Result<u8> {
    let status = Command::new(program()?)
        .args(flags(common))
        .args(&arguments.arguments)
        .status();
    let status = match status {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Hint::new(
                format!("there is no program {PROGRAM} beside patchtool or on the PATH"),
                "cargo install --path tools/meta",
            )
            .into());
        }
        status => status.with_context(|| format!("cannot start {PROGRAM}"))?,
    };
    // A program that was killed has no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(2))
}

/// The path of the program beside this one; its name, to be looked for on the PATH, where there is none.
fn program() -> Result<PathBuf> {
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    let own = std::env::current_exe().context("cannot find patchtool itself")?;
    let beside = own.with_file_name(&name);
    Ok(match beside.is_file() {
        true => beside,
        false => name.into(),
    })
}

/// Options that clap takes for those of patchtool.
fn flags(common: &Common) -> Vec<&'static str> {
    let Common {
        json,
        quiet,
        verbose,
        watcher: _,
    } = *common;
    let mut flags = vec!["--verbose"; verbose.into()];
    flags.extend(json.then_some("--json"));
    flags.extend(quiet.then_some("--quiet"));
    flags
}
