//! `patchtool-meta-train`: see `patchtool meta-train --help`.

use std::process::ExitCode;

use clap::Parser;
use graft_meta::command::{self, Arguments};
use patchtool::commands::arguments::Common;
use patchtool::program;

/// Train a HyperTransformer, which makes patches from a handful of images.
#[derive(Debug, Parser)]
#[command(
    name = "patchtool-meta-train",
    bin_name = "patchtool meta-train",
    version
)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let Cli { arguments, common } = Cli::parse();
    program::start_log(&common);
    let report = command::run(&arguments, &common);
    let status = report.and_then(|report| program::print(report, &common));
    program::exit(status, graft_meta::hint).into()
}
