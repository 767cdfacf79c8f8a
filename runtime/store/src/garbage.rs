//! Removing what nothing needs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, is_full};
use crate::files::{self, UNFINISHED, failed};
use crate::folder::{StoreFolder, patch_name};
use crate::state::{TaskState, Version};

/// What [`StoreFolder::collect_garbage`] has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Versions.
    pub versions: usize,
    /// Files that no state names: what a kill or an error left.
    pub files: usize,
    /// Bytes of both.
    pub bytes: u64,
}

impl StoreFolder {
    /// Removes old versions of all tasks, and files that no state names. A task keeps its active, previous and newest
    /// version, the one on trial and [`crate::Limits::keep`] good ones.
    ///
    /// # Errors
    /// As [`Self::tasks`]; [`Error::File`]. What it has removed until then is gone.
    pub fn collect_garbage(&self) -> Result<Collected, Error> {
        self.collect_garbage_but(|_| None)
    }

    /// [`Self::collect_garbage`] that also leaves the version that a task is served with: where the active one cannot be used it
    /// is another.
    pub(crate) fn collect_garbage_but(
        &self,
        served: impl Fn(&str) -> Option<u32>,
    ) -> Result<Collected, Error> {
        let _lock = self.lock()?;
        self.collect_locked(served)
    }

    /// [`Self::collect_garbage_but`] for who has locked the store.
    pub(crate) fn collect_locked(
        &self,
        served: impl Fn(&str) -> Option<u32>,
    ) -> Result<Collected, Error> {
        let mut collected = self.remove_unnamed()?;
        for task in self.task_folders()? {
            // Without a state nothing is known of its files.
            let Ok(mut state) = self.task(&task) else {
                continue;
            };
            let old = state.forget_old(self.limits().keep, served(&task));
            if old.is_empty() {
                continue;
            }
            match self.commit(&task, &state) {
                Err(Error::File { source, .. }) if is_full(&source) => {
                    // The room for the state comes from them. A kill now leaves versions that count as damaged.
                    self.remove_versions(&task, &old)?;
                    self.commit(&task, &state)?;
                }
                committed => {
                    committed?;
                    self.remove_versions(&task, &old)?;
                }
            }
            collected.versions += old.len();
            let freed = old.iter().map(|version| version.bytes);
            collected.bytes = freed.fold(collected.bytes, u64::saturating_add);
        }
        Ok(collected)
    }

    fn remove_versions(&self, task: &str, versions: &[Version]) -> Result<(), Error> {
        for version in versions {
            remove(&self.patch_path(task, version.number))?;
        }
        Ok(())
    }

    /// Removes the files that a store makes and no state names, and folders of tasks without a state. For who has locked
    /// the store.
    pub(crate) fn remove_unnamed(&self) -> Result<Collected, Error> {
        let mut collected = Collected::default();
        for task in self.task_folders()? {
            let state = match self.task(&task) {
                Ok(state) => Some(state),
                Err(Error::NoTask { .. }) => None,
                Err(_) => continue,
            };
            let folder = self.task_folder(&task);
            let failed_here = || failed("read", &folder);
            for entry in fs::read_dir(&folder).map_err(failed_here())? {
                let path = entry.map_err(failed_here())?.path();
                if is_own(&path) && !is_named(&path, state.as_ref()) {
                    collected.bytes += fs::metadata(&path).map_or(0, |found| found.len());
                    collected.files += 1;
                    remove(&path)?;
                }
            }
            if state.is_none() {
                match files::remove_folder(&folder) {
                    // Somebody keeps other files there.
                    Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
                    removed => removed.map_err(failed("remove", &folder))?,
                }
            }
        }
        Ok(collected)
    }
}

/// Removes a file, unless that was done already.
fn remove(path: &Path) -> Result<(), Error> {
    match files::remove(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("remove", path)),
    }
}

/// Whether a store gives such names to patches, whole or not, or to a state that is not whole.
fn is_own(path: &Path) -> bool {
    let is_unfinished = path.extension().is_some_and(|end| end == UNFINISHED);
    let whole = match is_unfinished {
        true => path.file_stem(),
        false => path.file_name(),
    };
    let whole = whole.and_then(|name| name.to_str()).unwrap_or_default();
    let number = whole
        .strip_suffix(".patch")
        .and_then(|number| number.parse().ok());
    let is_patch = number.is_some_and(|number| patch_name(number) == whole);
    is_patch || (is_unfinished && whole == "state")
}

fn is_named(path: &Path, state: Option<&TaskState>) -> bool {
    let mut versions = state.into_iter().flat_map(TaskState::versions);
    versions.any(|version| path.ends_with(patch_name(version.number)))
}
