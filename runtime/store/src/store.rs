//! The owner of a store: it serves its tasks.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::TryLockError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use graft_runtime::{Backbone, Patch, TaskSlot};

use crate::error::Error;
use crate::event::Event;
use crate::files::{self, failed};
use crate::folder::{self, Limits, StoreFolder};
use crate::garbage::Collected;
use crate::install::Installed;
use crate::lock::LockFile;
use crate::serving::{Running, Served};
use crate::state::Ended;

/// A service's own check of a patch before it serves it on trial; the reason is why it must not be served.
pub type Check = Box<dyn Fn(&Patch) -> Result<(), String> + Send + Sync>;

/// The choices of a service. By default [`Limits::default`], and trials end by a call.
#[derive(Default)]
pub struct Options {
    /// The most that the store takes.
    pub limits: Limits,
    /// Runs without a failure after which the version on trial is good ([`PatchStore::record_run`]); `None` to wait for
    /// [`PatchStore::confirm`].
    pub good_after: Option<u32>,
    /// What a patch must pass before it is served on trial, besides finite scores.
    pub check: Option<Check>,
}

/// A store that this process owns, and serves from: the tasks of its folder, each in a [`TaskSlot`]. See the crate's
/// documentation.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("store");
/// # std::env::set_current_dir("../../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Session};
/// use graft_store::{Options, PatchStore};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let options = Options { good_after: Some(3), ..Options::default() };
/// let store = PatchStore::open(&folder, &backbone, options)?;
/// let installed = store.install(&std::fs::read("fashion.patch")?)?;
/// let slot = store.slot(&installed.task)?; // the backbone's own values, until a version is activated
/// store.activate(&installed.task, None)?;
///
/// let mut session = Session::new(&backbone)?;
/// for _ in 0..3 {
///     let patch = slot.patch();
///     let scores = session.run(&patch, &[0; 48 * 48 * 3])?;
///     let is_ok = scores.iter().all(|score| score.is_finite());
///     store.record_run(&installed.task, &patch, is_ok)?; // the third makes it good
/// }
/// let task = store.folder().task(&installed.task)?;
/// assert_eq!((task.active(), task.trial()), (Some(1), None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PatchStore {
    pub(crate) folder: StoreFolder,
    pub(crate) backbone: Backbone,
    pub(crate) options: Options,
    pub(crate) served: Mutex<BTreeMap<String, Served>>,
    pub(crate) trials: Mutex<BTreeMap<String, Running>>,
    recovered: Vec<Event>,
    /// Locked for as long as this process lives.
    _owner: LockFile,
}

impl PatchStore {
    /// Opens the store in a folder, or begins one there, and serves all its tasks. What an earlier owner left is put
    /// right, and told by [`Self::recovered`]: a trial that it did not live to confirm has ended, what is damaged has
    /// made way for the last good version, garbage is removed. On a file system that is read-only nothing of that is
    /// written, and what can be read is served.
    ///
    /// # Errors
    /// [`Error::Owned`]; [`Error::OtherBackbone`]; [`Error::File`] where the folder cannot be read or locked. The failure of one
    /// task is an event, no error.
    pub fn open(
        folder: impl Into<PathBuf>,
        backbone: &Backbone,
        options: Options,
    ) -> Result<Self, Error> {
        let folder = StoreFolder::new(folder, options.limits);
        if !folder.path().is_dir() {
            files::create_folder(folder.path())?;
        }
        let path = folder.path().join("owner");
        let owner = folder.open_lock(&path)?;
        match owner.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let folder = folder.path().into();
                return Err(Error::Owned { folder });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let mut recovered = Vec::new();
        {
            let lock = folder.lock()?;
            if lock.is_read_only() {
                let folder = folder.path().into();
                recovered.push(Event::ReadOnly { folder });
            } else if let Err(error) = folder.remove_unnamed() {
                tracing::warn!("garbage of the store stays: {error}");
            }
        }
        recovered.iter().for_each(Event::log);
        let mut store = Self {
            folder,
            backbone: backbone.clone(),
            options,
            served: Mutex::default(),
            trials: Mutex::default(),
            recovered,
            _owner: owner,
        };
        for task in store.folder.tasks()? {
            if let Ok(state) = store.folder.task(&task) {
                folder::check_backbone(&task, &state, backbone)?;
            }
        }
        let events = store.refresh()?;
        store.recovered.extend(events);
        Ok(store)
    }

    /// What opening it has done.
    pub fn recovered(&self) -> &[Event] {
        &self.recovered
    }

    /// Its folder: what the store knows of each task.
    pub fn folder(&self) -> &StoreFolder {
        &self.folder
    }

    /// The slot of a task, to which its versions are published. A task that the store does not have yet is served with
    /// the backbone's own values.
    ///
    /// # Errors
    /// [`Error::TaskName`].
    pub fn slot(&self, task: &str) -> Result<Arc<TaskSlot>, Error> {
        folder::check_name(task)?;
        Ok(self.entry(&mut self.served(), task).slot.clone())
    }

    /// The version that a task is served with; `None` for the backbone's own values.
    pub fn version(&self, task: &str) -> Option<u32> {
        self.served().get(task)?.version
    }

    /// [`StoreFolder::install`]. Garbage is what it is to [`Self::collect_garbage`].
    ///
    /// # Errors
    /// As there.
    pub fn install(&self, bytes: &[u8]) -> Result<Installed, Error> {
        let served = self.served();
        self.folder
            .install_but(bytes, &self.backbone, |task| served.get(task)?.version)
    }

    /// Serves a version, or the newest one, on trial, once it has passed its self-check; returns it. Nothing happens
    /// where it is served already.
    ///
    /// # Errors
    /// As [`StoreFolder::activate`]. The task is served with what it was before then.
    pub fn activate(&self, task: &str, version: Option<u32>) -> Result<u32, Error> {
        let version = self.folder.activate(task, version, &self.backbone)?;
        let events = self.settle(task);
        let error = events.into_iter().find_map(Event::error);
        match error {
            Some(error) if self.version(task) != Some(version) => Err(error),
            _ => Ok(version),
        }
    }

    /// Makes the version on trial good, and active; returns it, as [`StoreFolder::confirm`] does.
    ///
    /// # Errors
    /// As [`StoreFolder::confirm`]. The trial goes on then.
    pub fn confirm(&self, task: &str) -> Result<u32, Error> {
        let version = self.folder.confirm(task)?;
        self.settle(task);
        Ok(version)
    }

    /// Ends the trial; without one, goes back to the previous version. Returns the one that is served then, `None` for the
    /// backbone's own values: another one than the active version where that cannot be used, but never the one that was
    /// left.
    ///
    /// # Errors
    /// As [`StoreFolder::roll_back`]. A trial has ended then all the same.
    pub fn roll_back(&self, task: &str, why: Ended) -> Result<Option<u32>, Error> {
        // The next owner ends the trial anyway, so it ends now, even where that cannot be written.
        self.trials().remove(task);
        let rolled_back = self.folder.roll_back(task, why);
        self.settle_anew(task);
        rolled_back.map(|_| self.version(task))
    }

    /// [`StoreFolder::collect_garbage`], which also leaves what this process serves in place of an active version that it
    /// cannot use.
    ///
    /// # Errors
    /// As there.
    pub fn collect_garbage(&self) -> Result<Collected, Error> {
        let served = self.served();
        self.folder
            .collect_garbage_but(|task| served.get(task)?.version)
    }

    /// Counts a run of the version on trial: one that is not ok ends the trial, and [`Options::good_after`] that are make
    /// the version good. A run of another patch than the one on trial counts for nothing, so every run may be told. The
    /// one that decides waits for the disk.
    ///
    /// # Errors
    /// [`Error::File`] where that cannot be written; a trial that was to end has ended all the same, one that was to be
    /// confirmed goes on, and the next run tries again.
    pub fn record_run(&self, task: &str, patch: &Arc<Patch>, is_ok: bool) -> Result<(), Error> {
        match self.count_run(task, patch, is_ok) {
            None => Ok(()),
            Some(version) if is_ok => {
                self.folder.change(task, |state| match state.trial() {
                    Some(trial) if trial.version == version => state.confirm().map(drop),
                    // Another process has ended this trial meanwhile.
                    _ => Ok(()),
                })?;
                self.settle(task);
                Ok(())
            }
            Some(version) => {
                let mut events = Vec::new();
                let left = self.leave(task, version, Ended::SelfCheck, &mut events);
                events.iter().for_each(Event::log);
                self.settle_anew(task);
                left
            }
        }
    }

    /// Serves what the folder says now, after another process has changed it; returns what is different. The watcher
    /// (feature `watch`) calls it, and a service may call it whenever it likes: it reads a small file a task.
    ///
    /// # Errors
    /// As [`StoreFolder::tasks`].
    pub fn refresh(&self) -> Result<Vec<Event>, Error> {
        let mut tasks = self.folder.tasks()?;
        tasks.extend(self.served().keys().cloned());
        tasks.sort_unstable();
        tasks.dedup();
        Ok(tasks.iter().flat_map(|task| self.settle(task)).collect())
    }
}

impl fmt::Debug for PatchStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.path();
        f.debug_struct("PatchStore")
            .field("folder", &folder)
            .finish_non_exhaustive()
    }
}
