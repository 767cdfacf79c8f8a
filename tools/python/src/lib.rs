//! Graft in Python: the module `graft._graft`, of which `python/graft` makes the package.

mod array;
mod backbone;
mod command;
mod error;
mod patch;
mod session;
mod signals;

use std::ffi::OsString;

use pyo3::prelude::*;

/// The part of the package `graft` that is written in Rust.
#[pymodule]
mod _graft {
    use super::*;

    #[pymodule_export]
    use super::backbone::Backbone;
    #[pymodule_export]
    use super::command::command;
    #[pymodule_export]
    use super::patch::{Patch, png, relabelled};
    #[pymodule_export]
    use super::session::Session;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python has for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Runs patchtool with these arguments, the first of which is its name; its exit status.
    #[pyfunction]
    fn program(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        py.detach(|| patchtool::cli::main(arguments))
    }
}
