//! Follows changes that other processes make.

use std::path::PathBuf;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};

use crate::error::Error;
use crate::event::Event;
use crate::store::PatchStore;

/// The reason why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch the store in {}", folder.display())]
pub struct WatchError {
    folder: PathBuf,
    source: notify::Error,
}

impl WatchError {
    /// The remedy, for the user.
    pub fn hint(&self) -> &'static str {
        "on Linux raise fs.inotify.max_user_watches or max_user_instances, or call PatchStore::refresh from time to time"
    }
}

/// Swaps the patches of a store's tasks whenever another process has changed its folder, until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    /// It has a thread of its own.
    _watcher: notify::RecommendedWatcher,
}

impl Watcher {
    /// Watches the folder of a store. `tell` gets, in a thread of the watcher, what is served differently, and what
    /// fails.
    ///
    /// # Errors
    /// [`WatchError`] where the system has no more watches, or is not Linux: others do not tell when a file is closed.
    pub fn start(
        store: &Arc<PatchStore>,
        mut tell: impl FnMut(Result<Vec<Event>, Error>) + Send + 'static,
    ) -> Result<Self, WatchError> {
        let folder = store.folder().path();
        let failed = |source| WatchError {
            folder: folder.into(),
            source,
        };
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return Err(failed(notify::Error::generic("it takes inotify")));
        }
        let weak = Arc::downgrade(store);
        let handle = move |event: notify::Result<notify::Event>| {
            let Some(store) = weak.upgrade() else { return };
            if event.is_ok_and(|event| !is_change(&event)) {
                return;
            }
            match store.refresh() {
                Ok(events) if events.is_empty() => {}
                told => tell(told),
            }
        };
        let mut watcher = notify::recommended_watcher(handle).map_err(failed)?;
        watcher
            .watch(folder, RecursiveMode::NonRecursive)
            .map_err(failed)?;
        // A change that changes nothing: what has changed before it watched is found now.
        drop(store.folder().lock());
        Ok(Self { _watcher: watcher })
    }
}

/// Whether a process has done with a change, and closes the file that it has locked; or events were lost.
fn is_change(event: &notify::Event) -> bool {
    let is_closed = event.kind == EventKind::Access(AccessKind::Close(AccessMode::Write));
    let is_lock = event.paths.iter().any(|path| path.ends_with("lock"));
    (is_closed && is_lock) || event.need_rescan()
}
