//! `patchtool`: see `patchtool --help`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use patchtool::cli::{Cli, Command};
use patchtool::commands::{
    bench, demo, device, diff, eval, export, extract, generate, import, inspect, meta_train, push,
    quantize, run, train,
};
use patchtool::hint::hint;
use patchtool::program;

fn main() -> ExitCode {
    let cli = Cli::parse();
    program::start_log(&cli.common);
    program::exit(command(&cli), hint)
}

fn command(cli: &Cli) -> Result<ExitCode> {
    let report = match &cli.command {
        Command::Demo(arguments) => demo::run(arguments, &cli.common),
        Command::Import(arguments) => import::run(arguments, &cli.common),
        Command::Quantize(arguments) => quantize::run(arguments, &cli.common),
        Command::Run(arguments) => run::run(arguments),
        Command::Eval(arguments) => eval::run(arguments, &cli.common),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Train(arguments) => train::run(arguments, &cli.common),
        Command::MetaTrain(arguments) => return meta_train::run(arguments, &cli.common),
        Command::Generate(arguments) => generate::run(arguments),
        Command::Learn(arguments) => generate::learn(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Export(arguments) => export::run(arguments, &cli.common),
        Command::Extract(arguments) => extract::run(arguments),
        Command::Push(arguments) => push::run(arguments, &cli.common),
        Command::Device(arguments) => device::run(arguments),
    };
    program::print(&report?, &cli.common)
}
