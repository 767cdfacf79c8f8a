//! A patch store for Linux boards: a folder of tasks and versions that never leaves a device without a good patch.
//!
//! A service opens it as its owner ([`PatchStore`]) and gets a [`TaskSlot`](graft_runtime::TaskSlot) for each task. A new
//! patch is installed, served on trial, and kept or left; whatever is cut off at whatever moment, one complete patch is
//! served after the next start, or the backbone's own values: what was active before, or what was confirmed. A tool
//! changes the folder from outside ([`StoreFolder`], `patchtool store`), and the service follows (`Watcher`, feature
//! `watch`). The words and the steps are those of the slots on a microcontroller (`graft-slots`).
//!
//! # The folder
//!
//! ```text
//! STORE/lock                            locked by who changes the store, for as long as that takes
//! STORE/owner                           locked by the service, for as long as it lives
//! STORE/tasks/TASK/state                all that is known of the task: see TaskState
//! STORE/tasks/TASK/0000000001.patch     a version, as it was installed
//! ```
//!
//! The task of a patch is the name in its metadata: a plain name of a folder. A version is a number, none is given twice,
//! and its file is never changed. The state is replaced as a whole (temporary file, sync, rename, sync of the folder) and is
//! the only thing that is committed: a patch that no state names is garbage. It holds the digest of each version, so what
//! is served is what was installed, and the highest counter of a signature that was checked; and the name of the task, so that a
//! folder that is copied under another name is not served.
//!
//! # States
//!
//! | | from | to |
//! | --- | --- | --- |
//! | [`install`](StoreFolder::install) | | written |
//! | [`activate`](StoreFolder::activate) | written or good | trial |
//! | [`confirm`](StoreFolder::confirm), or enough good runs | trial | good and active |
//! | [`roll_back`](StoreFolder::roll_back), a bad run, the end of the owner | trial | written or good, as before |
//! | [`roll_back`](StoreFolder::roll_back) without a trial | | the previous version is active |
//! | damage | any | gone; the previous version is active, else the newest good one, else the backbone's own values; never one that was left and not confirmed since |
//!
//! A trial belongs to the state, and whoever serves it judges it. The owner notes in the state that it serves a trial
//! before it does. If it ends without a word, its next start finds that note and ends the trial; a trial that was asked for
//! from outside while there was no owner has no note yet, and begins with the next owner. Good runs are counted in memory:
//! a trial that was interrupted starts again from the patch before, so there is nothing to keep.
//!
//! A version that is whole but cannot be bound (a policy that does not trust it any more, another task's) is no damage:
//! the next best one is served, the state stays as it is, and the service is told.
//!
//! # After a crash
//!
//! | during | then |
//! | --- | --- |
//! | [`install`](StoreFolder::install) | the task is as it was, what was written is garbage; or the version is there |
//! | [`activate`](StoreFolder::activate) | the active version is served; or the trial begins with the next owner |
//! | a trial | the active version is served |
//! | [`confirm`](StoreFolder::confirm) | the old version is served (the trial has ended), or the new one |
//! | [`roll_back`](StoreFolder::roll_back) | the version that is left is served, or the one that it goes back to |
//! | [`collect_garbage`](StoreFolder::collect_garbage) | what is needed is there; the rest goes the next time |
//! | [`PatchStore::open`] | as before it: it goes on the next time |
//!
//! A kill leaves no less than a power cut: both are tested before every change of the disk, with what was not synced lost
//! or not. A disk that is full or fails refuses a step and leaves the state; the owner serves what it can read, and a trial
//! that cannot be noted is not served. The same holds on a file system that is read-only, as some are after an error
//! ([`Event::ReadOnly`]).
//!
//! # Who can change it
//!
//! Who can write to the folder can replace patches, and states: give it to one user. What the store creates is that user's
//! alone, since who can open the files that it locks can lock them for ever. A link is never followed to write or to remove, and
//! a task's folder that is one is refused.
//!
//! A backbone with a policy ([`Backbone::trusting`](graft_runtime::Backbone::trusting)) runs only what a trusted key has signed,
//! whoever wrote it. As on a microcontroller only then counters matter: what is installed raises the highest one, and a
//! patch with a lower one is not installed, and not served on trial unless it was confirmed before. An old patch that was signed
//! can then be put back only by who can replace a state: the highest counter is in it. Without a policy nobody has
//! checked a counter: none is compared, none raises the highest one.
//!
//! Patches are served from memory: they are read once, and the bytes that were checked are the bytes that run. So a change
//! of a file, or its end, harms nobody, and [`Limits`] bound the memory. Many processes that serve the same patches could
//! share their pages by [`Patch::map`](graft_runtime::Patch::map), which is an unsafe call for that reason.
#![forbid(unsafe_code)]

mod error;
mod event;
mod files;
mod folder;
mod garbage;
mod install;
mod lock;
mod record;
mod self_check;
mod serving;
mod state;
mod store;
#[cfg(test)]
mod tests;
#[cfg(feature = "watch")]
mod watch;

pub use error::{Error, Limit};
pub use event::Event;
pub use folder::{Limits, StoreFolder};
pub use garbage::Collected;
pub use install::Installed;
pub use record::RecordError;
pub use state::{Ended, Refusal, State, TaskState, Trial, Version};
pub use store::{Check, Options, PatchStore};
#[cfg(feature = "watch")]
pub use watch::{WatchError, Watcher};
