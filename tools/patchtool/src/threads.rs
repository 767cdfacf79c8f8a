//! The threads that commands share.

use std::sync::OnceLock;

use anyhow::{Context, Result};

/// Starts rayon's global pool of `threads` threads, 0 being one a core. A command that calls another one has the
/// threads that it started first.
///
/// # Errors
/// The system has no thread left.
pub fn start(threads: usize) -> Result<()> {
    static STARTED: OnceLock<()> = OnceLock::new();
    if STARTED.set(()).is_err() {
        return Ok(());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().context("cannot start the threads")
}
