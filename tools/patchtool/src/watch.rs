//! Who follows a command: its bars on a terminal, and a program that has started it and may stop it.

use std::fmt;
use std::sync::Arc;

use crate::train::checkpoint::Totals;
use crate::train::history::Epoch;

/// How far a command is.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// So many of all images are decoded, run or classified.
    Images {
        /// Done.
        done: usize,
        /// Of so many.
        all: usize,
    },
    /// A step of training is done.
    Step {
        /// Counted from 1.
        epoch: usize,
        /// At most.
        epochs: usize,
        /// Training images of an epoch.
        images: usize,
        /// Of the epoch so far.
        totals: &'a Totals,
    },
    /// An epoch of training is done.
    Epoch {
        /// Counted from 1.
        epoch: usize,
        /// At most.
        epochs: usize,
        /// On the images of training and of validation.
        measured: &'a Epoch,
        /// Whether none was better so far.
        is_best: bool,
    },
}

/// A program that has started a command: it is told how far that is, from whichever thread, and says whether to go on.
#[derive(Clone)]
pub struct Watcher(Arc<dyn Fn(&Event<'_>) -> bool + Send + Sync>);

impl Watcher {
    /// One that is called with every event, and returns whether to go on.
    pub fn new(tell: impl Fn(&Event<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// All who follow a command.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// No bars.
    pub is_quiet: bool,
    /// The program that has started it, if it wants to know.
    pub watcher: Option<Watcher>,
}

impl Watch {
    /// Tells the watcher.
    ///
    /// # Errors
    /// [`Stopped`] where it does not want to go on.
    pub fn tell(&self, event: &Event<'_>) -> Result<(), Stopped> {
        let goes_on = self
            .watcher
            .as_ref()
            .is_none_or(|Watcher(tell)| tell(event));
        goes_on.then_some(()).ok_or(Stopped)
    }
}

/// The program that has started a command has stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command was stopped")]
pub struct Stopped;
