//! `patchtool`: see `patchtool --help`.

use std::process::ExitCode;

use patchtool::cli::Cli;
use patchtool::hint::hint;
use patchtool::program;

fn main() -> ExitCode {
    let cli = Cli::read();
    program::start_log(&cli.common);
    program::exit(cli.run(), hint)
}
