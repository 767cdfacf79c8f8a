//! Commands whose programs are of other crates, with libraries that the default build goes without.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::commands::arguments::Common;
use crate::hint::Hint;

/// A command that another program runs.
#[derive(Debug)]
pub struct OtherProgram {
    /// The program.
    name: &'static str,
    /// What it is asked to do, where it does several things.
    command: Option<&'static str>,
    /// How to get it.
    install: &'static str,
}

/// `patchtool meta-train`, of the crate `graft-meta`.
pub const META_TRAIN: OtherProgram = OtherProgram {
    name: "patchtool-meta-train",
    command: None,
    install: "cargo install --path tools/meta",
};
/// `patchtool federate`, of the crate `graft-federate`.
pub const FEDERATE: OtherProgram = OtherProgram {
    name: "patchtool-federate",
    command: Some("federate"),
    install: "cargo install --path tools/federate",
};
/// `patchtool agent`, of the same.
pub const AGENT: OtherProgram = OtherProgram {
    command: Some("agent"),
    ..FEDERATE
};

/// Arguments of such a command.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct Arguments {
    /// Options of the program; `patchtool COMMAND --help` lists them.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    arguments: Vec<OsString>,
}

impl OtherProgram {
    /// Runs the program that lies beside this one, or else on the PATH, with the same arguments; its exit status.
    ///
    /// # Errors
    /// No such program, or one that does not start.
    pub fn run(&self, arguments: &Arguments, common: &Common) -> Result<u8> {
        let Self { name, install, .. } = self;
        let mut program = Command::new(self.path()?);
        program
            .args(self.command)
            .args(flags(common))
            .args(&arguments.arguments);
        let status = match run(&mut program) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Hint::new(
                    format!("there is no program {name} beside patchtool or on the PATH"),
                    install,
                )
                .into());
            }
            status => status.with_context(|| format!("cannot start {name}"))?,
        };
        // A program that was killed has no code.
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.unwrap_or(2))
    }

    /// The path of the program beside this one; its name, to be looked for on the PATH, where there is none.
    fn path(&self) -> Result<PathBuf> {
        let name = format!("{}{}", self.name, std::env::consts::EXE_SUFFIX);
        let own = std::env::current_exe().context("cannot find patchtool itself")?;
        let beside = own.with_file_name(&name);
        Ok(match beside.is_file() {
            true => beside,
            false => name.into(),
        })
    }
}

/// Takes the place of this process, so that a signal to it reaches the program; returns only where that fails.
#[cfg(unix)]
fn run(program: &mut Command) -> io::Result<ExitStatus> {
    use std::os::unix::process::CommandExt as _;
    Err(program.exec())
}

#[cfg(not(unix))]
fn run(program: &mut Command) -> io::Result<ExitStatus> {
    program.status()
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
