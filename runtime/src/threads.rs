//! A pool of parked workers that share a layer. Handing out work takes no allocation, which rules out task queues.

use std::sync::PoisonError;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, SPINS, spin_loop};

type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// A job's address, without its lifetime: `ThreadPool::run` does not return before every worker is done with it.
#[derive(Clone, Copy)]
struct JobPointer(*const Job<'static>);

// SAFETY: the job is Sync, and the pool only hands it out while `run` keeps it borrowed.
unsafe impl Send for JobPointer {}

struct Shared {
    /// Counts jobs: a worker runs when it is not the number that the worker has seen.
    round: AtomicUsize,
    /// Workers that have not finished the current job.
    pending: AtomicUsize,
    has_panicked: AtomicBool,
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    job: Option<JobPointer>,
    /// Workers that are waiting for `wake`: to wake nobody costs a system call, too.
    sleeping: usize,
}

/// Worker threads of one session.
pub(crate) struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl ThreadPool {
    /// A pool of `threads` threads, the caller of [`ThreadPool::run`] among them.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            round: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            has_panicked: AtomicBool::new(false),
            state: Mutex::new(State {
                job: None,
                sleeping: 0,
            }),
            wake: Condvar::new(),
        });
        let mut pool = Self {
            shared,
            workers: Vec::with_capacity(threads - 1),
        };
        for thread in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new()
                .name(format!("graft-{thread}"))
                .spawn(move || work(&shared, thread))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads, with the caller.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job(thread)` once on every thread and returns when all are done.
    ///
    /// # Panics
    /// If the job panics on a worker.
    pub(crate) fn run(&mut self, job: &Job<'_>) {
        // SAFETY: only the lifetime changes. No worker uses the pointer after this function returns or unwinds:
        // `WaitForWorkers` waits until all have run it, and none takes a job of a round that it has seen.
        let pointer = unsafe { core::mem::transmute::<*const Job<'_>, *const Job<'static>>(job) };
        self.publish(Some(JobPointer(pointer)));
        let wait = WaitForWorkers(&self.shared);
        job(0);
        drop(wait);
        let has_panicked = self.shared.has_panicked.swap(false, Ordering::Relaxed);
        assert!(!has_panicked, "a kernel panicked on a worker thread");
    }

    fn publish(&self, job: Option<JobPointer>) {
        let mut state = lock(&self.shared.state);
        state.job = job;
        self.shared.has_panicked.store(false, Ordering::Relaxed);
        self.shared
            .pending
            .store(self.workers.len(), Ordering::Relaxed);
        self.shared.round.fetch_add(1, Ordering::Release);
        let is_asleep = state.sleeping > 0;
        drop(state);
        if is_asleep {
            self.shared.wake.notify_all();
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.publish(None);
        for worker in self.workers.drain(..) {
            // A worker catches panics of its jobs, so there is nothing to report here.
            let _ = worker.join();
        }
    }
}

struct WaitForWorkers<'a>(&'a Shared);

impl Drop for WaitForWorkers<'_> {
    fn drop(&mut self) {
        let mut spins = 0;
        while self.0.pending.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS {
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

fn work(shared: &Shared, thread: usize) {
    let mut seen = 0;
    while let Some(job) = next_job(shared, &mut seen) {
        // SAFETY: `run` keeps the job borrowed until `pending` reaches zero, which this worker's part still prevents.
        let job = unsafe { &*job.0 };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(thread)));
        if result.is_err() {
            shared.has_panicked.store(true, Ordering::Relaxed);
        }
        shared.pending.fetch_sub(1, Ordering::Release);
    }
}

/// The next job after round `seen`; `None` when the pool is dropped.
fn next_job(shared: &Shared, seen: &mut usize) -> Option<JobPointer> {
    for _ in 0..SPINS {
        if shared.round.load(Ordering::Acquire) != *seen {
            break;
        }
        spin_loop();
    }
    let mut state = lock(&shared.state);
    while shared.round.load(Ordering::Acquire) == *seen {
        state.sleeping += 1;
        state = shared
            .wake
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
        state.sleeping -= 1;
    }
    *seen = shared.round.load(Ordering::Acquire);
    state.job
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
