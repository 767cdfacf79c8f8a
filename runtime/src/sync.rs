//! What threads share: the standard library's. `tests/models` has the same names for a model checker, and compiles
//! `threads.rs` and `task_slot.rs` with those.

pub(crate) use arc_swap::ArcSwap;
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic;
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(crate) use std::thread;

/// Rounds a worker looks for the next layer before it sleeps: about the time between two layers.
pub(crate) const SPINS: usize = 4096;
