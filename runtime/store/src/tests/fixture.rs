//! A folder, a backbone, and what is served of it.

use std::path::{Path, PathBuf};

use graft_runtime::{Backbone, Session};
use tempfile::TempDir;

use super::shared::{backbone, folder, patch};
use crate::{Error, Limits, Options, PatchStore, Refusal, StoreFolder};

pub(super) struct Fixture {
    pub(super) folder: TempDir,
    pub(super) backbone: Backbone,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self {
            folder: folder(),
            backbone: backbone(),
        }
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A store of its own.
    pub(super) fn open(&self) -> PatchStore {
        self.open_with(Options::default())
    }

    pub(super) fn open_with(&self, options: Options) -> PatchStore {
        PatchStore::open(self.folder.path(), &self.backbone, options).unwrap()
    }

    pub(super) fn outside(&self) -> StoreFolder {
        StoreFolder::new(self.folder.path(), Limits::default())
    }

    pub(super) fn patch(&self, score: f32) -> Vec<u8> {
        patch(&self.backbone, "t", score)
    }

    /// A store that has confirmed a version for each of these scores.
    pub(super) fn confirmed(&self, scores: &[f32]) {
        let outside = self.outside();
        for &score in scores {
            outside.install(&self.patch(score), &self.backbone).unwrap();
            outside.activate("t", None, &self.backbone).unwrap();
            outside.confirm("t").unwrap();
        }
    }

    /// The score that the task is served with; `None` for the backbone's own values.
    pub(super) fn score(&self, store: &PatchStore) -> Option<f32> {
        let patch = store.slot("t").unwrap().patch();
        patch.image()?;
        let mut session = Session::new(&self.backbone).unwrap();
        let scores = session.run(&patch, &[0; 48 * 48 * 3]).unwrap();
        Some(scores[0])
    }

    pub(super) fn patch_file(&self, version: u32) -> PathBuf {
        self.path("tasks/t").join(format!("{version:010}.patch"))
    }
}

pub(super) fn refusal(error: Error) -> Refusal {
    let Error::Refused { refusal, .. } = error else {
        panic!("{error}");
    };
    refusal
}
