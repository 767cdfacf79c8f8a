//! The frame of a command-line program: its log, its output, its exit status.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use anyhow::Result;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::commands::arguments::Common;
use crate::report::Report;
use graft_data::output;

/// Starts the log, which goes to stderr: warnings by default; `RUST_LOG` overrides.
pub fn start_log(common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, _) => LevelFilter::DEBUG,
    };
    // An empty list would be silence.
    let chosen = std::env::var("RUST_LOG").unwrap_or_default();
    let chosen = (!chosen.is_empty()).then(|| chosen.parse::<Targets>());
    let default = Targets::new().with_default(level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .without_time()
        .with_filter(match &chosen {
            Some(Ok(targets)) => targets.clone(),
            Some(Err(_)) | None => default,
        });
    tracing_subscriber::registry().with(lines).init();
    if let Some(Err(error)) = chosen {
        tracing::warn!("RUST_LOG is ignored: {error}; give levels, such as info,patchtool=debug");
    }
}

/// Prints a report on stdout, or on stderr where stdout took a file; status 1 where a check said no.
///
/// # Errors
/// Those of stdout, and what kept a part of the report away.
pub fn print(report: Report, common: &Common) -> Result<u8> {
    let text = match common.json {
        true => format!("{}\n", report.json),
        false => report.text,
    };
    if output::stdout_is_taken() {
        std::io::stderr().write_all(text.as_bytes())?;
    } else {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
    }
    match (report.failure, report.is_ok) {
        (Some(failure), _) => Err(failure),
        (None, true) => Ok(0),
        (None, false) => Ok(1),
    }
}

/// The exit status of a program that ends like this; an error is explained on stderr, with the way out that `hint` knows.
pub fn exit(result: Result<u8>, hint: impl FnOnce(&anyhow::Error) -> Option<String>) -> u8 {
    match result {
        Ok(status) => status,
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => {
            let lines = format!("error: {}", explanation(&error, hint(&error)));
            // Where stderr is closed there is nobody to tell.
            let _ = std::io::stderr().write_all(lines.as_bytes());
            2
        }
    }
}

/// A reader that has seen enough, such as `head`, is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// An error in lines: one of cause, the chain, then what to do.
pub fn explanation(error: &anyhow::Error, hint: Option<String>) -> String {
    let mut lines = format!("{error}\n");
    let mut previous = error.to_string();
    for cause in error.chain().skip(1) {
        // Errors that pass another on repeat its words.
        if cause.to_string() != previous {
            lines += &format!("  caused by: {cause}\n");
        }
        previous = cause.to_string();
    }
    if let Some(hint) = hint {
        lines += &format!("hint: {hint}\n");
    }
    lines
}
