//! The runtime's thread pool and task slot in a model checker, loom: it takes the orders in which the threads of a test can
//! take their steps, all of those with up to two or three preemptions, and every value that a load can see. `arc-swap` is
//! there by its contract.
//!
//! The sources are the runtime's own. Here they find loom's atomics, locks and threads under the name `sync`, and small
//! stand-ins for patches.
#![cfg(test)]

mod pool;
mod slot;
mod sync;
#[allow(unreachable_pub, reason = "the runtime exports it")]
#[path = "../../../runtime/src/task_slot.rs"]
mod task_slot;
#[path = "../../../runtime/src/threads.rs"]
mod threads;

use slot::{Error, Patch, Receipt};
