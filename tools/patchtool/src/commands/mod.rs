//! One file a command: its arguments, and a function from them to a [`crate::report::Report`].

pub mod bench;
pub mod demo;
pub mod device;
pub mod diff;
pub mod eval;
pub mod export;
pub mod extract;
pub mod generate;
pub mod import;
mod inputs;
pub mod inspect;
pub mod meta_train;
pub mod push;
pub mod quantize;
mod ranking;
pub mod run;
pub mod train;
