//! The command line: a contract with users.

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use serde_json::json;

use crate::commands::arguments::Common;
use crate::commands::{Command, meta_train};
use crate::program;
use crate::report::Report;

/// Ships one backbone and many small patches: imports networks, runs, measures and compares them.
#[derive(Debug, Parser)]
#[command(name = "patchtool", version, propagate_version = true)]
#[command(after_help = "Exit status: 0 ok, 1 a check said no, 2 usage or I/O.")]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    action: Action,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
enum Action {
    #[command(flatten)]
    Command(Box<Command>),
    /// Train a HyperTransformer, which makes patches from a handful of images: runs patchtool-meta-train, and its options
    /// are those of `patchtool-meta-train --help`.
    MetaTrain(meta_train::Arguments),
    /// Print a script that completes commands and options in a shell.
    #[command(after_help = "Example:
  patchtool completions bash > ~/.local/share/bash-completion/completions/patchtool")]
    Completions {
        /// Shell that the script is for.
        shell: Shell,
    },
}

impl Cli {
    /// Runs the command and prints its report; the status of the program, 1 where a check said no.
    ///
    /// # Errors
    /// Those of the command, or of stdout.
    pub fn run(&self) -> Result<ExitCode> {
        let report = match &self.action {
            Action::Command(command) => command.run(&self.common)?,
            // The other program has printed its own.
            Action::MetaTrain(arguments) => return meta_train::run(arguments, &self.common),
            Action::Completions { shell } => completions(*shell),
        };
        program::print(report, &self.common)
    }
}

fn completions(shell: Shell) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "patchtool", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let json = json!({ "shell": shell.to_string(), "script": script });
    Report::new(script, json)
}
