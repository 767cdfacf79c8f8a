//! `patchtool-federate`: see `patchtool federate --help` and `patchtool agent --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use graft_federate::{agent, federate};
use patchtool::commands::arguments::Common;
use patchtool::hint::hint;
use patchtool::program;

#[derive(Debug, Parser)]
#[command(
    name = "patchtool-federate",
    bin_name = "patchtool",
    version,
    propagate_version = true
)]
struct Cli {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Train clients that teach each other, all in one process, for experiments.
    Federate(Box<federate::Arguments>),
    /// Be one of several clients that teach each other over a broker.
    Agent(Box<agent::Arguments>),
}

fn main() -> ExitCode {
    let Cli { action, common } = Cli::parse();
    program::start_log(&common);
    let report = match &action {
        Action::Federate(arguments) => federate::run(arguments, &common),
        Action::Agent(arguments) => agent::run(arguments, &common),
    };
    let status = report.and_then(|report| program::print(report, &common));
    program::exit(status, hint).into()
}
