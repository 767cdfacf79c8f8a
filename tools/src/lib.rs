//! The library behind `patchtool`: importers, data sets, and the commands.

pub mod cli;
pub mod commands;
pub mod confusion;
pub mod data;
pub mod hint;
pub mod import;
pub mod memory;
pub mod output;
pub mod picture;
pub mod report;
pub mod task;
pub mod train;
