//! `patchtool`: see `patchtool --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    patchtool::cli::main(std::env::args_os()).into()
}
