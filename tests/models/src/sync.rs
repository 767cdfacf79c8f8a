//! What the runtime's `sync.rs` has, as loom has it.

use std::ops::Deref;

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::atomic;
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(crate) use loom::thread;

/// Every further round is the same state again.
pub(crate) const SPINS: usize = 1;

/// `arc_swap::ArcSwap` by its contract: each call is one step that nobody else's comes between.
#[derive(Debug)]
pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        Arc::clone(self.0.lock().expect("no test panics with it").deref())
    }

    pub(crate) fn compare_and_swap(&self, current: &Arc<T>, new: Arc<T>) -> Arc<T> {
        let mut value = self.0.lock().expect("no test panics with it");
        let before = Arc::clone(&value);
        if Arc::ptr_eq(&before, current) {
            *value = new;
        }
        before
    }
}
