//! The thread pool: every thread runs every job once, sees what was done before, and `run` returns when all are done.

use loom::cell::UnsafeCell;
use loom::model::Builder;

use crate::threads::ThreadPool;

/// A number that one thread after the other may touch; loom fails where two might at the same time.
struct Cell(UnsafeCell<usize>);

// SAFETY: loom's cell finds every access that is not ordered by what it checks.
unsafe impl Sync for Cell {}

impl Cell {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn add(&self, more: usize) {
        // SAFETY: loom checks that nobody else has it.
        self.0.with_mut(|value| unsafe { *value += more });
    }

    fn get(&self) -> usize {
        // SAFETY: loom checks that nobody writes it.
        self.0.with(|value| unsafe { *value })
    }
}

fn check(threads: usize, jobs: usize, preemptions: usize) {
    let mut model = Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let mut pool = ThreadPool::new(threads).expect("threads start");
        assert_eq!(pool.threads(), threads);
        let cells: Vec<Cell> = (0..threads).map(|_| Cell::new()).collect();
        for job in 0..jobs {
            // In each job another thread has the cell: what it sees was written by that of the job before.
            pool.run(&|thread| cells[(thread + job) % threads].add(1));
            assert!(cells.iter().all(|cell| cell.get() == job + 1));
        }
    });
}

#[test]
fn two_threads_run_every_job_once() {
    check(2, 2, 3);
}

#[test]
fn three_threads_run_a_job_once() {
    check(3, 1, 2);
}

#[test]
fn a_pool_without_work_ends() {
    check(3, 0, 2);
}
