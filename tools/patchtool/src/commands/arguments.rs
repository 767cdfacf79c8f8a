//! Arguments that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use graft_client::{Client, DeviceError, Port};

use crate::watch::{Watch, Watcher};

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Print one JSON object on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, no warnings.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More log on stderr; twice for debugging.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// A program that has started the command, and wants to know how far it is.
    #[arg(skip)]
    pub watcher: Option<Watcher>,
}

impl Common {
    /// Who follows the command.
    pub fn watch(&self) -> Watch {
        Watch {
            is_quiet: self.quiet,
            watcher: self.watcher.clone(),
        }
    }
}

/// The backbone and patches that a command works on.
#[derive(Debug, Args)]
pub struct Model {
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    pub backbone: PathBuf,
    /// Patch file, or a folder of them; may be given several times. Without it: the backbone's own head and epilogues.
    #[arg(short, long, value_name = "P")]
    pub patch: Vec<PathBuf>,
}

/// File that a command writes.
#[derive(Debug, Args)]
pub struct Output {
    /// File to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite it if it exists.
    #[arg(long)]
    pub force: bool,
}

/// Address of a device.
#[derive(Debug, Args)]
pub struct Line {
    /// Address of the device: tcp:HOST:PORT, or a serial port such as /dev/ttyACM0.
    #[arg(long, value_name = "PORT")]
    port: Port,
    /// Bits a second of a serial port.
    #[arg(long, default_value_t = Port::BAUD)]
    baud: u32,
    /// Longest time to wait for a device that is still starting.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
}

impl Line {
    /// Connects to the device.
    ///
    /// # Errors
    /// As [`Client::open`], or [`Client::wait`] with `--wait`.
    pub fn connect(&self) -> Result<Client, DeviceError> {
        let port = self.port.clone().with_baud(self.baud);
        match self.wait {
            Some(seconds) => Client::wait(&port, Duration::from_secs(seconds.into())),
            None => Client::open(&port),
        }
    }
}

/// A side, or height and width, in pixels.
///
/// # Errors
/// Text that is neither.
pub fn resolution(text: &str) -> Result<[usize; 2], String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height @ 1..=8192), Ok(width @ 1..=8192)) => Ok([height, width]),
        _ => Err("expected a side from 1 to 8192, or HEIGHTxWIDTH".into()),
    }
}

/// A number that `is_right`; otherwise an error says what was `expected`.
pub(super) fn number(
    text: &str,
    is_right: impl Fn(f32) -> bool,
    expected: &str,
) -> Result<f32, String> {
    let value = text.parse().ok().filter(|&value: &f32| is_right(value));
    value.ok_or_else(|| format!("expected {expected}"))
}

/// A number above zero.
///
/// # Errors
/// Text that is none.
pub fn above_zero(text: &str) -> Result<f32, String> {
    number(
        text,
        |value| value.is_normal() && value > 0.0,
        "a number above zero",
    )
}
