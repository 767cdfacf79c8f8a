//! The library behind `patchtool`: importers, data sets, and the commands.

pub mod bar;
pub mod cli;
pub mod commands;
pub mod confidence;
pub mod confusion;
pub mod demo;
pub mod export;
pub mod file_kind;
pub mod groups;
pub mod hint;
pub mod hyper;
pub mod import;
pub mod input;
pub mod keys;
pub mod memory;
pub mod picture;
pub mod program;
pub mod quantize;
pub mod replacements;
pub mod report;
pub mod sparse;
pub mod task;
pub mod taught;
#[cfg(test)]
mod testing;
pub mod threads;
pub mod train;
pub mod trained;
pub mod unlearn;
pub mod watch;

/// This tool and its version, as files name what made them.
pub const TOOL: &str = concat!("patchtool ", env!("CARGO_PKG_VERSION"));
