//! The folder of a store: reading it, and changing it one process at a time.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use graft_patches::Digest;
use graft_patches::signature::TaskId;
use graft_runtime::{Backbone, Patch};

use crate::error::{Error, Limit};
use crate::files::{self, failed};
use crate::lock::LockFile;
use crate::record::{self, RecordError};
use crate::self_check;
use crate::state::{Ended, Refusal, TaskState, Version};

/// The most that a store takes, and what [`StoreFolder::collect_garbage`] leaves of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tasks.
    pub tasks: u64,
    /// Versions of a task.
    pub versions: u64,
    /// Bytes of a patch. A patch is served from memory, so this bounds that, too.
    pub patch_bytes: u64,
    /// Bytes of all patches.
    pub bytes: u64,
    /// The number of good versions of a task that are kept beside those in use, the newest ones.
    pub keep: usize,
}

impl Default for Limits {
    /// 1,000 tasks of 16 versions, 64 MB a patch, 1 GB in all, two good versions.
    fn default() -> Self {
        Self {
            tasks: 1_000,
            versions: 16,
            patch_bytes: 64_000_000,
            bytes: 1_000_000_000,
            keep: 2,
        }
    }
}

/// The folder of a store, for a tool that changes it beside the service that serves it, its owner
/// ([`crate::PatchStore`]). Reading needs no lock, since a state is replaced as a whole; changes wait for each other.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("store");
/// # std::env::set_current_dir("../../tools/assets/demo").unwrap();
/// use graft_runtime::Backbone;
/// use graft_store::{Limits, State, StoreFolder};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let store = StoreFolder::new(&folder, Limits::default());
/// let installed = store.install_file("fashion.patch".as_ref(), &backbone)?;
/// store.activate(&installed.task, None, &backbone)?; // the newest version, on trial
/// store.confirm(&installed.task)?;
///
/// let task = store.task(&installed.task)?;
/// assert_eq!(task.active(), Some(installed.version));
/// assert_eq!(task.state(&task.versions()[0]), State::Good);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct StoreFolder {
    folder: PathBuf,
    limits: Limits,
}

impl StoreFolder {
    /// The store in this folder. Touches nothing: the first install creates it.
    pub fn new(folder: impl Into<PathBuf>, limits: Limits) -> Self {
        Self {
            folder: folder.into(),
            limits,
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Names of the tasks, in order.
    ///
    /// # Errors
    /// [`Error::NoStore`], [`Error::File`].
    pub fn tasks(&self) -> Result<Vec<String>, Error> {
        let mut tasks = self.task_folders()?;
        tasks.retain(|task| self.state_path(task).exists());
        tasks.sort_unstable();
        Ok(tasks)
    }

    /// Names of the folders of tasks, also of those whose first install did not come to its end.
    pub(crate) fn task_folders(&self) -> Result<Vec<String>, Error> {
        let folder = self.folder.join("tasks");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match self.folder.join("lock").exists() {
                    true => Ok(Vec::new()),
                    false => Err(self.missing()),
                };
            }
            entries => entries.map_err(failed("read", &folder))?,
        };
        let mut tasks = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed("read", &folder))?.file_name();
            let name = name.into_string().ok();
            tasks.extend(name.filter(|name| check_name(name).is_ok()));
        }
        Ok(tasks)
    }

    /// What the store knows of a task.
    ///
    /// # Errors
    /// [`Error::TaskName`], [`Error::NoTask`], [`Error::Link`], [`Error::State`], [`Error::File`].
    pub fn task(&self, task: &str) -> Result<TaskState, Error> {
        check_name(task)?;
        if self.task_folder(task).is_symlink() {
            return Err(Error::Link { task: task.into() });
        }
        let path = self.state_path(task);
        let bytes = match files::read(&path, record::MOST_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NoTask { task: task.into() });
            }
            bytes => bytes.map_err(failed("read", &path))?,
        };
        let state = TaskState::from_bytes(&bytes).map_err(|source| unusable(task, source))?;
        match state.task() == task {
            true => Ok(state),
            false => {
                let (found, expected) = (state.task, task.into());
                Err(unusable(task, RecordError::Task { found, expected }))
            }
        }
    }

    /// Puts a version, or the newest one, on trial, once it has passed its self-check; returns it. The owner of the store
    /// serves it from then on, now or when it starts. Nothing happens where it is served already.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Damaged`], [`Error::Patch`], [`Error::SelfCheck`]; as [`Self::task`].
    pub fn activate(
        &self,
        task: &str,
        version: Option<u32>,
        backbone: &Backbone,
    ) -> Result<u32, Error> {
        let state = self.task(task)?;
        let version = state
            .choose(version)
            .map_err(|refusal| refused(task, refusal))?;
        let has_policy = backbone.trust().is_some();
        // A step that is refused anyway needs no check.
        let mut tried = state.clone();
        tried
            .activate(version.number, has_policy)
            .map_err(|refusal| refused(task, refusal))?;
        if tried != state {
            check_backbone(task, &state, backbone)?;
            self_check::run(&self.load(task, &version, backbone)?, backbone)?;
        }
        self.change(task, |state| state.activate(version.number, has_policy))?;
        Ok(version.number)
    }

    /// Makes the version on trial good, and active; returns it. A newer version that was installed during the trial does
    /// not matter: the counter of this one was not too old when the trial began.
    ///
    /// # Errors
    /// [`Error::Refused`] where none is; as [`Self::task`].
    pub fn confirm(&self, task: &str) -> Result<u32, Error> {
        self.change(task, TaskState::confirm)
    }

    /// Ends the trial; without one, goes back to the previous version. Returns the one that is active then, `None` for the
    /// backbone's own values.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is nothing to go back to; as [`Self::task`].
    pub fn roll_back(&self, task: &str, why: Ended) -> Result<Option<u32>, Error> {
        self.change(task, |state| state.roll_back(why))
    }

    /// Reads a version and binds exactly the bytes that were checked, if they are a patch of the task.
    pub(crate) fn load(
        &self,
        task: &str,
        version: &Version,
        backbone: &Backbone,
    ) -> Result<Patch, Error> {
        let patch = Patch::from_bytes(&self.read(task, version)?, backbone)?;
        let found = task_of(&patch)?;
        match found == task {
            true => Ok(patch),
            false => {
                let expected = task.into();
                Err(Error::OtherTask { found, expected })
            }
        }
    }

    /// The bytes of a version, which are those that were installed.
    pub(crate) fn read(&self, task: &str, version: &Version) -> Result<Vec<u8>, Error> {
        let damaged = || Error::Damaged {
            task: task.into(),
            version: version.number,
        };
        self.check_limit(Limit::PatchBytes, version.bytes)?;
        let path = self.patch_path(task, version.number);
        let bytes = files::read(&path, version.bytes).map_err(|error| {
            match matches!(error.kind(), ErrorKind::NotFound | ErrorKind::FileTooLarge) {
                true => damaged(),
                false => failed("read", &path)(error),
            }
        })?;
        match Digest::of(&bytes) == version.digest {
            true => Ok(bytes),
            false => Err(damaged()),
        }
    }

    /// Takes a step on a task, and commits it if it changes anything.
    pub(crate) fn change<T>(
        &self,
        task: &str,
        step: impl FnOnce(&mut TaskState) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let _lock = self.lock()?;
        let mut state = self.task(task)?;
        let before = state.clone();
        let value = step(&mut state).map_err(|refusal| refused(task, refusal))?;
        if state != before {
            self.commit(task, &state)?;
        }
        Ok(value)
    }

    /// Replaces the state of a task: from here on everything that it names is true, and a reader sees all of it or none.
    pub(crate) fn commit(&self, task: &str, state: &TaskState) -> Result<(), Error> {
        let bytes = state.to_bytes();
        let (found, expected) = (bytes.len() as u64, record::MOST_BYTES);
        if found > expected {
            return Err(unusable(task, RecordError::Length { found, expected }));
        }
        files::publish(&self.state_path(task), &bytes)
    }

    /// Waits for other processes and threads that change the store; until the file is closed they wait for this one. A
    /// watcher waits for that, too.
    pub(crate) fn lock(&self) -> Result<LockFile, Error> {
        let path = self.folder.join("lock");
        let file = self.open_lock(&path)?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(file)
    }

    /// A file to lock, made where it is missing.
    pub(crate) fn open_lock(&self, path: &Path) -> Result<LockFile, Error> {
        LockFile::open(path).map_err(|error| match error.kind() == ErrorKind::NotFound {
            true => self.missing(),
            false => failed("open", path)(error),
        })
    }

    pub(crate) fn check_limit(&self, limit: Limit, found: u64) -> Result<(), Error> {
        let expected = match limit {
            Limit::PatchBytes => self.limits.patch_bytes,
            Limit::Versions => self.limits.versions,
            Limit::Tasks => self.limits.tasks,
            Limit::Bytes => self.limits.bytes,
        };
        match found <= expected {
            true => Ok(()),
            false => Err(Error::Limit {
                limit,
                found,
                expected,
            }),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn task_folder(&self, task: &str) -> PathBuf {
        self.folder.join("tasks").join(task)
    }

    fn state_path(&self, task: &str) -> PathBuf {
        self.task_folder(task).join("state")
    }

    pub(crate) fn patch_path(&self, task: &str, version: u32) -> PathBuf {
        self.task_folder(task).join(patch_name(version))
    }

    fn missing(&self) -> Error {
        Error::NoStore {
            folder: self.folder.clone(),
        }
    }
}

/// Name of the file of a version: they sort by it.
pub(crate) fn patch_name(version: u32) -> String {
    format!("{version:010}.patch")
}

/// The task of a patch: the name in its metadata, for which its signature must be, too.
pub(crate) fn task_of(patch: &Patch) -> Result<String, Error> {
    let metadata = patch.image().map(|image| image.metadata()).transpose()?;
    let task = metadata.unwrap_or_default().name;
    check_name(&task)?;
    match patch.signed() {
        Some(signed) if signed.task != TaskId::of(&task) => Err(Error::SignedForOther { task }),
        Some(_) | None => Ok(task),
    }
}

pub(crate) fn check_backbone(
    task: &str,
    state: &TaskState,
    backbone: &Backbone,
) -> Result<(), Error> {
    let (found, expected) = (state.backbone(), backbone.id());
    match found == expected {
        true => Ok(()),
        false => Err(Error::OtherBackbone {
            task: task.into(),
            found,
            expected,
        }),
    }
}

fn unusable(task: &str, source: RecordError) -> Error {
    Error::State {
        task: task.into(),
        source,
    }
}

pub(crate) fn refused(task: &str, refusal: Refusal) -> Error {
    Error::Refused {
        task: task.into(),
        refusal,
    }
}

/// Refuses names that are no plain name of a folder everywhere.
pub(crate) fn check_name(task: &str) -> Result<(), Error> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=64).contains(&task.len()) && task.bytes().all(is_plain) && !task.starts_with('.') {
        true => Ok(()),
        false => Err(Error::TaskName { found: task.into() }),
    }
}
