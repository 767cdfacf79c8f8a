//! `patchtool`: see `patchtool --help`.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use patchtool::cli::{Cli, Command, Common};
use patchtool::commands::{
    bench, demo, device, diff, eval, export, extract, generate, import, inspect, push, quantize,
    run, train,
};
use patchtool::hint::hint;
use patchtool::report::Report;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.common);
    match command(&cli).and_then(|report| print(&report, cli.common.json)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            ExitCode::from(2)
        }
    }
}

fn command(cli: &Cli) -> Result<Report> {
    match &cli.command {
        Command::Demo(arguments) => demo::run(arguments, &cli.common),
        Command::Import(arguments) => import::run(arguments, &cli.common),
        Command::Quantize(arguments) => quantize::run(arguments, &cli.common),
        Command::Run(arguments) => run::run(arguments),
        Command::Eval(arguments) => eval::run(arguments, &cli.common),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Train(arguments) => train::run(arguments, &cli.common),
        #[cfg(feature = "meta-train")]
        Command::MetaTrain(arguments) => {
            patchtool::commands::meta_train::run(arguments, &cli.common)
        }
        Command::Generate(arguments) => generate::run(arguments),
        Command::Learn(arguments) => generate::learn(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Export(arguments) => export::run(arguments, &cli.common),
        Command::Extract(arguments) => extract::run(arguments),
        Command::Push(arguments) => push::run(arguments, &cli.common),
        Command::Device(arguments) => device::run(arguments),
    }
}

/// The log goes to stderr: warnings by default; `RUST_LOG` overrides.
fn start_log(common: Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .without_time()
        .init();
}

fn print(report: &Report, json: bool) -> Result<bool> {
    let mut stdout = std::io::stdout().lock();
    if json {
        writeln!(stdout, "{}", report.json)?;
    } else {
        stdout.write_all(report.text.as_bytes())?;
    }
    stdout.flush()?;
    Ok(report.is_ok)
}

/// A reader that has seen enough, such as `head`, is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// One line of cause, the chain, then what to do.
fn explain(error: &anyhow::Error) {
    let mut lines = format!("error: {error}\n");
    let mut previous = error.to_string();
    for cause in error.chain().skip(1) {
        // Errors that pass another on repeat its words.
        if cause.to_string() != previous {
            lines += &format!("  caused by: {cause}\n");
        }
        previous = cause.to_string();
    }
    if let Some(hint) = hint(error) {
        lines += &format!("hint: {hint}\n");
    }
    // Where stderr is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(lines.as_bytes());
}
