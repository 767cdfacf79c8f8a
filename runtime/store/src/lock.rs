//! Files that are locked: they hold nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

/// A file to lock, open. It is unlocked when this is dropped.
#[derive(Debug)]
pub(crate) struct LockFile {
    /// None: it cannot be made on a file system that is read-only, where nobody changes anything.
    file: Option<File>,
    is_read_only: bool,
}

impl LockFile {
    /// Opens a file to lock. Where it is missing it is made for its user alone: who can open a file can lock it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match options().open(path) {
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                let file = match File::open(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    file => Some(file?),
                };
                Ok(Self {
                    file,
                    is_read_only: true,
                })
            }
            file => Ok(Self {
                file: Some(file?),
                is_read_only: false,
            }),
        }
    }

    /// Waits until nobody else has locked it.
    pub(crate) fn lock(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::lock)
    }

    /// Locks it, unless another one has.
    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        self.file.as_ref().map_or(Ok(()), File::try_lock)
    }

    /// Whether it is on a file system that is read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only
    }
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
