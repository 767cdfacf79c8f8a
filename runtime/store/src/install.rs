//! Installing a patch as a version of its task.

use std::fs;
use std::path::Path;

use graft_patches::Digest;
use graft_runtime::{Backbone, Patch};

use crate::error::{Error, Limit};
use crate::files::{self, failed};
use crate::folder::{StoreFolder, check_backbone, refused, task_of};
use crate::state::TaskState;

/// The result of an install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The task that the patch serves, as its metadata says.
    pub task: String,
    /// Its version.
    pub version: u32,
    /// Whether it was not there already.
    pub is_new: bool,
}

impl StoreFolder {
    /// Installs the patch in a file, as [`Self::install`] does.
    ///
    /// # Errors
    /// As [`Self::install`]; a file that cannot be read.
    pub fn install_file(&self, path: &Path, backbone: &Backbone) -> Result<Installed, Error> {
        let length = fs::metadata(path).map_err(failed("read", path))?.len();
        self.check_limit(Limit::PatchBytes, length)?;
        let most = self.limits().patch_bytes;
        let bytes = files::read(path, most).map_err(failed("read", path))?;
        self.install(&bytes, backbone)
    }

    /// Checks a patch against its backbone and writes the bytes that were checked as a new version of the task that its
    /// metadata names. A patch that is there already keeps its version, whatever its counter, and is whole again where it
    /// was damaged. Nothing else is served for it: activate it. Where there is no room, garbage is collected first.
    ///
    /// # Errors
    /// [`Error::Patch`] where it is not valid, not for this backbone, or not trusted; [`Error::TaskName`];
    /// [`Error::Limit`]; [`Error::Refused`] where the backbone has a policy and the counter is too old;
    /// [`Error::OtherBackbone`], [`Error::Link`], [`Error::State`]; [`Error::File`], also of a full disk. The task is as it
    /// was then, but for garbage.
    pub fn install(&self, bytes: &[u8], backbone: &Backbone) -> Result<Installed, Error> {
        self.install_but(bytes, backbone, |_| None)
    }

    /// [`Self::install`] to which the version that a task is served with is no garbage.
    pub(crate) fn install_but(
        &self,
        bytes: &[u8],
        backbone: &Backbone,
        served: impl Fn(&str) -> Option<u32>,
    ) -> Result<Installed, Error> {
        let length = bytes.len() as u64;
        self.check_limit(Limit::PatchBytes, length)?;
        let patch = Patch::from_bytes(bytes, backbone)?;
        let task = task_of(&patch)?;
        let digest = Digest::of(bytes);
        files::create_folder(self.path())?;
        let _lock = self.lock()?;
        let mut state = self.task_or_new(&task, backbone)?;
        let same = state.versions().iter().find(|found| found.digest == digest);
        if let Some(version) = same {
            if self.read(&task, version).is_err() {
                files::publish(&self.patch_path(&task, version.number), bytes)?;
            }
            let version = version.number;
            let is_new = false;
            return Ok(Installed {
                task,
                version,
                is_new,
            });
        }
        let counter = patch.signed().map(|signed| signed.counter);
        let has_policy = backbone.trust().is_some();
        let install = |state: &mut TaskState| {
            let installed = state.install(digest, length, counter, has_policy);
            installed.map_err(|refusal| refused(&task, refusal))
        };
        // What is refused anyway collects nothing.
        install(&mut state.clone())?;
        if let Err(Error::Limit {
            limit: Limit::Versions | Limit::Bytes,
            ..
        }) = self.check_room(&state, length)
        {
            self.collect_locked(served)?;
            state = self.task_or_new(&task, backbone)?;
        }
        self.check_room(&state, length)?;
        let version = install(&mut state)?;
        self.write(&state, version, bytes)?;
        Ok(Installed {
            task,
            version,
            is_new: true,
        })
    }

    /// What the store knows of a task of this backbone, also before its first install.
    fn task_or_new(&self, task: &str, backbone: &Backbone) -> Result<TaskState, Error> {
        let state = match self.task(task) {
            Err(Error::NoTask { .. }) => TaskState::new(task, backbone.id()),
            state => state?,
        };
        check_backbone(task, &state, backbone)?;
        Ok(state)
    }

    /// Writes the file of a version, then the state that names it.
    fn write(&self, state: &TaskState, version: u32, bytes: &[u8]) -> Result<(), Error> {
        let task = state.task();
        files::create_folder(&self.path().join("tasks"))?;
        files::create_folder(&self.task_folder(task))?;
        let path = self.patch_path(task, version);
        files::publish(&path, bytes)?;
        self.commit(task, state).inspect_err(|_| {
            // On a full disk it takes room. Where the state holds all the same, the patch stays.
            if !self.task(task).is_ok_and(|found| found == *state) {
                let _ = files::remove(&path);
            }
        })
    }

    fn check_room(&self, state: &TaskState, length: u64) -> Result<(), Error> {
        let tasks = self.tasks()?;
        if !tasks.iter().any(|task| task == state.task()) {
            self.check_limit(Limit::Tasks, tasks.len() as u64 + 1)?;
        }
        self.check_limit(Limit::Versions, state.versions().len() as u64 + 1)?;
        // What cannot be read is not counted: it has an error of its own when it is used.
        let states = tasks.iter().filter_map(|task| self.task(task).ok());
        let bytes = states.flat_map(|state| state.versions).map(|v| v.bytes);
        self.check_limit(Limit::Bytes, bytes.fold(length, u64::saturating_add))
    }
}
