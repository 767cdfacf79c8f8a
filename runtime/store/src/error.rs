//! The errors of the store, and what to do about them.

use std::io;
use std::path::PathBuf;

use graft_patches::{Digest, ImageError};

use crate::record::RecordError;
use crate::state::Refusal;

/// The reason why the store did not do what it was asked for. [`Error::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A folder that no store has written to.
    #[error("there is no store in {}", folder.display())]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process serves the patches of this store.
    #[error("another process owns the store in {}", folder.display())]
    Owned {
        /// The folder.
        folder: PathBuf,
    },
    /// A task without a version.
    #[error("the store has no task {task}")]
    NoTask {
        /// The task.
        task: String,
    },
    /// A name that cannot be one of a folder everywhere.
    #[error(
        "the task has the name {found:?}, expected 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', not starting with '.'"
    )]
    TaskName {
        /// The name.
        found: String,
    },
    /// The file of a task's state is damaged, or another program's.
    #[error("cannot use the state of task {task}")]
    State {
        /// The task.
        task: String,
        /// The fault in it.
        source: RecordError,
    },
    /// The task's patches are for another backbone.
    #[error("the patches of task {task} are for backbone {found:.12}, not for {expected:.12}")]
    OtherBackbone {
        /// The task.
        task: String,
        /// The backbone that they are for.
        found: Digest,
        /// The backbone that was given.
        expected: Digest,
    },
    /// A file that is no valid patch of the backbone, or not trusted.
    #[error("cannot use the patch")]
    Patch(#[from] graft_runtime::Error),
    /// A patch of another task than the one whose folder it is in.
    #[error("the patch is for task {found:?}, not for {expected}")]
    OtherTask {
        /// The task that its metadata name.
        found: String,
        /// The task that it was read for.
        expected: String,
    },
    /// A patch that was signed for another task than its metadata say.
    #[error("the patch of task {task} is signed for another task")]
    SignedForOther {
        /// The task that its metadata name.
        task: String,
    },
    /// A link where the folder of a task should be.
    #[error("the folder of task {task} is a link")]
    Link {
        /// The task.
        task: String,
    },
    /// Bytes of a version that are not those that were installed, or are missing.
    #[error("version {version} of task {task} is damaged")]
    Damaged {
        /// The task.
        task: String,
        /// The version.
        version: u32,
    },
    /// The patch failed its self-check.
    #[error("the patch fails its self-check: {reason}")]
    SelfCheck {
        /// What is wrong.
        reason: String,
    },
    /// A step that the task's state does not allow.
    #[error("task {task}: {refusal}")]
    Refused {
        /// The task.
        task: String,
        /// The reason.
        refusal: Refusal,
    },
    /// More than the store may take.
    #[error("{} {found}, the store takes {expected}", limit.words())]
    Limit {
        /// The limit.
        limit: Limit,
        /// What there would be.
        found: u64,
        /// The most that there may be.
        expected: u64,
    },
}

/// A limit of [`crate::Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of a patch.
    PatchBytes,
    /// Versions of a task.
    Versions,
    /// Tasks.
    Tasks,
    /// Bytes of all patches.
    Bytes,
}

impl Limit {
    fn words(self) -> &'static str {
        match self {
            Self::PatchBytes => "the bytes of the patch would be",
            Self::Versions => "the versions of the task would be",
            Self::Tasks => "the tasks would be",
            Self::Bytes => "the bytes of all patches would be",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::PatchBytes => "give a smaller patch, or raise the limit",
            Self::Versions | Self::Bytes => {
                "let patchtool store gc --keep leave fewer good versions, or raise the limit"
            }
            Self::Tasks => "remove the folder of a task that is not needed, or raise the limit",
        }
    }
}

impl Error {
    /// The remedy, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { source, .. } if is_full(source) => {
                "free some space, for example with patchtool store gc; nothing has changed"
            }
            Self::File { .. } => "check the path, its permissions and the disk",
            Self::NoStore { .. } => "check the path; a store begins with patchtool store install",
            Self::Owned { .. } => {
                "end the other service, or change the store from outside with patchtool store"
            }
            Self::NoTask { .. } => "see the tasks with patchtool store list",
            Self::TaskName { .. } => "give the patch another name with patchtool export --name",
            Self::State { source, .. } => source.hint(),
            Self::OtherBackbone { .. } => {
                "give the backbone that they were made for, or use another folder for this one"
            }
            Self::Patch(error) => error.hint(),
            Self::OtherTask { .. } => "install it, instead of copying it",
            Self::Link { .. } => "remove the link: a store keeps its tasks in folders of its own",
            Self::SignedForOther { .. } => {
                "sign it with patchtool sign, which takes the task from the patch"
            }
            Self::Damaged { .. } => "install the patch again",
            Self::SelfCheck { .. } => "train or export the patch again",
            Self::Refused { refusal, .. } => refusal.hint(),
            Self::Limit { limit, .. } => limit.hint(),
        }
    }
}

/// Whether there is no room on the disk, or for the user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

impl From<ImageError> for Error {
    fn from(error: ImageError) -> Self {
        Self::Patch(error.into())
    }
}
