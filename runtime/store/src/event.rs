//! What a store tells the service that it serves.

use std::fmt;
use std::path::PathBuf;

use crate::error::Error;
use crate::state::Ended;

/// A change of what a task is served with, or a failure. Each is logged, too.
#[derive(Debug)]
pub enum Event {
    /// Another version is served from now on.
    Serving {
        /// The task.
        task: String,
        /// The version; `None` for the backbone's own values.
        version: Option<u32>,
        /// Whether it is on trial.
        on_trial: bool,
    },
    /// A trial has ended, or the active version was left.
    Left {
        /// The task.
        task: String,
        /// The version.
        version: u32,
        /// The reason.
        why: Ended,
    },
    /// The file system is read-only. What is there is served, but no trial, and nothing changes.
    ReadOnly {
        /// The folder of the store.
        folder: PathBuf,
    },
    /// A task cannot be served as its state says; the next best is.
    Failed {
        /// The task.
        task: String,
        /// The reason.
        error: Error,
    },
}

impl Event {
    /// The error of a failure.
    pub(crate) fn error(self) -> Option<Error> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::Serving { .. } | Self::Left { .. } | Self::ReadOnly { .. } => None,
        }
    }

    pub(crate) fn log(&self) {
        match self {
            Self::Serving { .. } => tracing::info!("{self}"),
            Self::Left { .. } | Self::ReadOnly { .. } | Self::Failed { .. } => {
                tracing::warn!("{self}")
            }
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving {
                task,
                version: None,
                ..
            } => write!(f, "{task}: serving the backbone's own values"),
            Self::Serving {
                task,
                version: Some(version),
                on_trial,
            } => {
                let trial = if *on_trial { ", on trial" } else { "" };
                write!(f, "{task}: serving version {version}{trial}")
            }
            Self::Left { task, version, why } => {
                write!(f, "{task}: left version {version}: {}", why.words())
            }
            Self::ReadOnly { folder } => {
                let folder = folder.display();
                write!(
                    f,
                    "the store in {folder} is on a read-only file system: nothing in it can change"
                )
            }
            Self::Failed { task, error } => {
                write!(f, "{task}: {error}")?;
                let mut cause = std::error::Error::source(error);
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

impl Ended {
    /// The reason, as people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Asked => "somebody asked",
            Self::Reset => "the service ended before it was confirmed",
            Self::SelfCheck => "it failed its self-check",
            Self::Damaged => "its file is damaged",
        }
    }
}
