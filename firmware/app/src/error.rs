//! The errors of the application: it does not start, or does not do what the host asks.

use core::fmt::Debug;

use graft_link::Refusal;
use graft_runtime::Error as RuntimeError;
use graft_slots::{Error as SlotError, FinishError};

/// The reason why the application does not start. Nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<F: Debug> {
    /// The backbone does not fit the arena, or kernels are missing.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// There is not enough memory to learn in, or no head to learn.
    #[cfg(feature = "learn")]
    #[error("it cannot learn: {}", .0.hint())]
    Learn(#[from] graft_runtime::head_learner::LearnError),
    /// The slots cannot be read.
    #[error("the patch slots cannot be used: {0}")]
    Slots(#[from] SlotError<F>),
    /// Memory that is too small for this backbone.
    #[error("the backbone needs memory for {expected} {what}, there is for {found}: reserve more")]
    Buffer {
        /// The purpose of the memory.
        what: &'static str,
        /// The number that there is memory for.
        found: usize,
        /// The number that there are.
        expected: usize,
    },
}

/// The reason why a request is not done.
#[derive(Debug)]
pub(crate) enum Problem<F: Debug> {
    /// The slots refuse.
    Slots(SlotError<F>),
    /// The patch cannot be bound, or not run.
    Patch(RuntimeError),
    /// The learner refuses, or what was learned cannot be written: what to do instead. The error itself has numbers with
    /// fractions, which take 20 kB of code to show.
    #[cfg(feature = "learn")]
    Learn(&'static str),
    /// Anything else.
    Refused(Refusal<'static>),
}

impl<F: Debug> From<SlotError<F>> for Problem<F> {
    fn from(error: SlotError<F>) -> Self {
        Self::Slots(error)
    }
}

impl<F: Debug> From<RuntimeError> for Problem<F> {
    fn from(error: RuntimeError) -> Self {
        Self::Patch(error)
    }
}

#[cfg(feature = "learn")]
impl<F: Debug> From<graft_runtime::head_learner::LearnError> for Problem<F> {
    fn from(error: graft_runtime::head_learner::LearnError) -> Self {
        Self::Learn(error.hint())
    }
}

#[cfg(feature = "learn")]
impl<F: Debug> From<graft_patches::head_patch::HeadPatchError> for Problem<F> {
    fn from(error: graft_patches::head_patch::HeadPatchError) -> Self {
        Self::Learn(error.hint())
    }
}

impl<F: Debug> From<Refusal<'static>> for Problem<F> {
    fn from(refusal: Refusal<'static>) -> Self {
        Self::Refused(refusal)
    }
}

impl<F: Debug> From<FinishError<Self, F>> for Problem<F> {
    fn from(error: FinishError<Self, F>) -> Self {
        match error {
            FinishError::Store(error) => Self::Slots(error),
            FinishError::Digest => Self::Refused(Refusal::Digest),
            FinishError::Check(problem) => problem,
        }
    }
}
