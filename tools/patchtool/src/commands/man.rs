//! `patchtool man`: manual pages.

use anyhow::Result;
use clap::{Args, Command};
use clap_mangen::Man;
use serde_json::json;

use crate::hint::Hint;
use crate::report::Report;

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Command that the page is of, such as `train` or `device info`; without it, patchtool as a whole.
    command: Vec<String>,
}

/// Makes the page of a command of `program`, in roff.
///
/// # Errors
/// A command that there is not.
pub fn run(arguments: &Arguments, mut program: Command) -> Result<Report> {
    program.build();
    let mut page = &program;
    for name in &arguments.command {
        page = page.find_subcommand(name).ok_or_else(|| {
            Hint::new(
                format!("there is no command {name:?} to have a page"),
                "`patchtool --help` lists the commands",
            )
        })?;
    }
    let mut roff = Vec::new();
    Man::new(page.clone()).render(&mut roff)?;
    let roff = String::from_utf8_lossy(&roff).into_owned();
    let json = json!({ "command": arguments.command.join(" "), "page": roff });
    Ok(Report::new(roff, json))
}
