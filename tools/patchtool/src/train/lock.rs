//! A lock on the output of a run: a second run on the same output is told of the first.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use graft_data::output::OutputError;

use super::checkpoint::{self, CheckpointError};

/// A lock that is held on a file beside the output, and is gone with the process, however that ends. The file is removed
/// with it, but for a kill; what a kill leaves locks nothing.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    _held: File,
}

impl RunLock {
    /// Takes the lock as [`Self::take`] does where `check` finds nothing against it: before, and once the lock is held, as
    /// the run that held it may have written what `check` looks for.
    ///
    /// # Errors
    /// Those of both.
    pub fn take_checked<E: From<CheckpointError>>(
        output: &Path,
        check: impl Fn() -> Result<(), E>,
    ) -> Result<Option<Self>, E> {
        check()?;
        let lock = Self::take(output)?;
        check()?;
        Ok(lock)
    }

    /// Takes the lock of the runs with this output. `None` where there can be none: on some network file systems, and of
    /// an output that is stdout or a device.
    ///
    /// # Errors
    /// [`CheckpointError::Running`], and a folder that cannot be written to.
    pub fn take(output: &Path) -> Result<Option<Self>, CheckpointError> {
        if fs::metadata(output).is_ok_and(|found| !found.is_file()) {
            return Ok(None);
        }
        let Some(checkpoint) = checkpoint::path_for(output) else {
            return Ok(None);
        };
        let mut path = checkpoint.into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        loop {
            let opened = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            let held = opened.map_err(|source| {
                let path = output.to_owned();
                CheckpointError::Unwritable(OutputError::Failed { path, source })
            })?;
            match held.try_lock() {
                // The run that had it may have removed it in between: then the lock is on a file that nobody else finds.
                Ok(()) if !is_at(&held, &path) => {}
                Ok(()) => return Ok(Some(Self { path, _held: held })),
                Err(TryLockError::WouldBlock) => {
                    let output = output.to_owned();
                    return Err(CheckpointError::Running { output });
                }
                Err(TryLockError::Error(error)) => {
                    tracing::debug!("no lock on {}: {error}", path.display());
                    let _ = fs::remove_file(&path);
                    return Ok(None);
                }
            }
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Removed while it is still held, so that nobody can have locked it before.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the open file is the one of this path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(own), Ok(found)) => identity(own) == identity(found),
        _ => false,
    }
}

/// Whether there is a file of this path: one that is open keeps its name until it is closed.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_has_the_lock_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("t.safetensors");
        let first = RunLock::take(&output).unwrap();
        let error = RunLock::take(&output).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Running { .. }) && error.hint().contains("wait"),
            "{error}"
        );
        assert!(
            RunLock::take(&folder.path().join("other"))
                .unwrap()
                .is_some()
        );
        drop(first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // What a kill left.
        fs::write(folder.path().join("t.safetensors.checkpoint.lock"), "").unwrap();
        assert!(RunLock::take(&output).unwrap().is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let nowhere = folder.path().join("no/such/folder");
        let error = RunLock::take(&nowhere).unwrap_err();
        assert!(matches!(error, CheckpointError::Unwritable(_)), "{error}");
    }

    #[test]
    fn a_check_is_made_again_once_the_lock_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("t.safetensors");
        let check = || RunLock::take(&output).map(drop);
        let error = RunLock::take_checked(&output, check).unwrap_err();
        assert!(matches!(error, CheckpointError::Running { .. }), "{error}");
        let free = || Ok::<_, CheckpointError>(());
        let lock = RunLock::take_checked(&output, free).unwrap();
        assert!(lock.is_some());
    }

    #[test]
    fn stdout_is_not_locked() {
        assert!(RunLock::take(Path::new("-")).unwrap().is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_not_locked() {
        assert!(RunLock::take(Path::new("/dev/null")).unwrap().is_none());
    }
}
