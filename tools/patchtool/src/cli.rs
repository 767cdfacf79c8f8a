//! The command line: a contract with users.

use std::ffi::OsString;

use anyhow::{Result, bail};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;
use serde_json::json;

use crate::commands::arguments::Common;
use crate::commands::other_program::{self, AGENT, FEDERATE, META_TRAIN};
use crate::commands::{Command, man};
use crate::groups;
use crate::hint::hint;
use crate::program;
use crate::report::Report;

/// Ships one backbone and many small patches: imports networks, runs, measures and compares them.
#[derive(Debug, Parser)]
#[command(name = "patchtool", version, propagate_version = true)]
#[command(
    after_help = "`patchtool COMMAND --help` has the options of a command, and examples.

A file name - is stdin (not for a data set), or stdout: a report goes to stderr then.
Exit status: 0 ok, 1 a check said no, 2 usage or I/O."
)]
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
    /// Train a HyperTransformer, which makes patches from a handful of images.
    ///
    /// It runs the program patchtool-meta-train, which `patchtool meta-train --help` asks for its options.
    MetaTrain(other_program::Arguments),
    /// Train clients that teach each other without sharing data, all in one process.
    ///
    /// It runs the program patchtool-federate, which `patchtool federate --help` asks for its options.
    Federate(other_program::Arguments),
    /// Be one of several clients that teach each other over a broker.
    ///
    /// It runs the program patchtool-federate, which `patchtool agent --help` asks for its options.
    Agent(other_program::Arguments),
    /// Print a script that completes commands and options in a shell.
    #[command(after_help = "Example:
  patchtool completions bash > ~/.local/share/bash-completion/completions/patchtool")]
    Completions {
        /// Shell that the script is for.
        shell: Shell,
    },
    /// Print the manual page of patchtool, or of a command.
    #[command(after_help = "Examples:
  patchtool man train | man -l -
  patchtool man > ~/.local/share/man/man1/patchtool.1")]
    Man(man::Arguments),
}

/// Runs the program with these arguments, the first of which is its name; its exit status. The process ends here where they
/// are wrong, or ask for help.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = Cli::read(arguments).unwrap_or_else(|error| error.exit());
    program::start_log(&cli.common);
    program::exit(cli.run(), hint)
}

impl Cli {
    /// The command of these arguments, the first of which is the program's name.
    ///
    /// # Errors
    /// Arguments that are wrong, or ask for help.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = groups::grouped(Self::command()).try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches)
    }

    /// Runs a command; its report, which is not printed.
    ///
    /// # Errors
    /// Those of the command, and what is no command of this library.
    pub fn report(&self) -> Result<Report> {
        match &self.action {
            Action::Command(command) => command.run(&self.common),
            Action::MetaTrain(_)
            | Action::Federate(_)
            | Action::Agent(_)
            | Action::Completions { .. }
            | Action::Man(_) => {
                bail!("this is for a terminal alone")
            }
        }
    }

    /// Runs the command and prints its report; the status of the program, 1 where a check said no.
    fn run(&self) -> Result<u8> {
        let report = match &self.action {
            Action::Command(command) => command.run(&self.common)?,
            // Other programs have printed their own.
            Action::MetaTrain(arguments) => return META_TRAIN.run(arguments, &self.common),
            Action::Federate(arguments) => return FEDERATE.run(arguments, &self.common),
            Action::Agent(arguments) => return AGENT.run(arguments, &self.common),
            Action::Completions { shell } => completions(*shell),
            Action::Man(arguments) => man::run(arguments, Self::command())?,
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
