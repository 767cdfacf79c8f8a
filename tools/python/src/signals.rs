//! Ctrl-C, and the handlers of other signals, during long work without the GIL.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Time between two looks at whether Ctrl-C was pressed.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Looks at signals every so often.
pub(crate) struct Signals {
    looked: Instant,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            looked: Instant::now(),
        }
    }

    /// Runs the handlers of signals that have come, if it is time; what they raise. Called without the GIL, and without a lock
    /// that a handler may want.
    pub(crate) fn look(&mut self) -> PyResult<()> {
        if self.looked.elapsed() >= LOOK {
            Python::attach(|py| py.check_signals())?;
            self.looked = Instant::now();
        }
        Ok(())
    }
}
