//! One file a command: its arguments, and a function from them to a [`crate::report::Report`].

pub mod bench;
pub mod demo;
pub mod diff;
pub mod eval;
pub mod export;
mod export_int8;
pub mod extract;
pub mod import;
mod inputs;
pub mod inspect;
pub mod run;
pub mod train;
