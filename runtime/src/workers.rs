//! A layer's output, shared out among threads.

#[cfg(feature = "std")]
use core::sync::atomic::{AtomicUsize, Ordering};

/// Below this many multiply-adds a layer is not worth waking another thread for.
#[cfg(feature = "std")]
const MIN_SHARED_WORK: usize = 100_000;

/// Most parts for each thread: the slowest core of a mixed cluster takes fewer of them.
#[cfg(feature = "std")]
const PARTS_PER_THREAD: usize = 4;

/// Computes one part of an output: index of its first unit, the part, the scratch of the thread.
pub(crate) type Part<'a, T> = dyn Fn(usize, &mut [T], &mut [T]) + Sync + 'a;

/// The threads of a session.
pub(crate) enum Workers {
    /// The caller alone.
    One,
    #[cfg(feature = "std")]
    Pool {
        pool: crate::threads::ThreadPool,
        /// The next part of each thread's stretch of an output.
        next: Box<[AtomicUsize]>,
    },
}

/// An output to be computed in parts.
#[cfg_attr(
    not(feature = "std"),
    expect(dead_code, reason = "one thread computes all of it")
)]
pub(crate) struct Output<'a, T> {
    /// All of it.
    pub(crate) values: &'a mut [T],
    /// Values that must stay in one part.
    pub(crate) unit: usize,
    /// Multiply-adds in all of it.
    pub(crate) work: usize,
    /// Values that are worth a part of their own.
    pub(crate) grain: usize,
}

impl Workers {
    #[cfg(feature = "std")]
    pub(crate) fn new(threads: usize) -> Result<Self, crate::Error> {
        let failed = |source| crate::Error::Threads { threads, source };
        match threads {
            1 => Ok(Self::One),
            2..=256 => Ok(Self::Pool {
                pool: crate::threads::ThreadPool::new(threads).map_err(failed)?,
                next: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            }),
            _ => Err(failed(std::io::ErrorKind::InvalidInput.into())),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        match self {
            Self::One => 1,
            #[cfg(feature = "std")]
            Self::Pool { pool, .. } => pool.threads(),
        }
    }

    /// Computes an output: `part` is called for parts that together are the output, each on one thread.
    pub(crate) fn compute<T: Send>(
        &mut self,
        output: Output<'_, T>,
        scratch: &mut [T],
        scratch_per_thread: usize,
        part: &Part<'_, T>,
    ) {
        match self {
            #[cfg(feature = "std")]
            Self::Pool { pool, next } if output.work >= MIN_SHARED_WORK => {
                share(pool, next, output, scratch, scratch_per_thread, part);
            }
            _ => part(0, output.values, &mut scratch[..scratch_per_thread]),
        }
    }
}

#[cfg(feature = "std")]
fn share<T: Send>(
    pool: &mut crate::threads::ThreadPool,
    next: &[AtomicUsize],
    output: Output<'_, T>,
    scratch: &mut [T],
    scratch_per_thread: usize,
    part: &Part<'_, T>,
) {
    let Output {
        values,
        unit,
        work: _,
        grain,
    } = output;
    let length = values.len();
    let units = length.div_ceil(unit);
    let threads = pool.threads();
    // As many for each thread: one more would be waited for as long as one for each.
    let parts = (length / grain / threads).clamp(1, PARTS_PER_THREAD) * threads;
    let parts = parts.min(units);
    assert!(scratch.len() >= pool.threads() * scratch_per_thread);
    let values = Shared(values.as_mut_ptr());
    let scratch = Shared(scratch.as_mut_ptr());
    let stretches = Stretches { next, parts };
    stretches.reset();
    pool.run(&|thread| {
        // SAFETY: the pool calls once per thread index, and the assertion above makes room for all of them.
        let scratch = unsafe { scratch.slice(thread * scratch_per_thread, scratch_per_thread) };
        while let Some(index) = stretches.take(thread) {
            let start = |index: usize| units / parts * index + index.min(units % parts);
            let first = start(index);
            let end = (start(index + 1) * unit).min(length);
            // SAFETY: `take` hands out each index once and the ranges of different indices do not overlap.
            let values = unsafe { values.slice(first * unit, end - first * unit) };
            part(first, values, scratch);
        }
    });
}

/// The parts of an output, in a stretch for each thread: the part of the layer before that is in the cache of a thread's core
/// is mostly where its stretch is. Who has none left takes those of others.
#[cfg(feature = "std")]
struct Stretches<'a> {
    next: &'a [AtomicUsize],
    parts: usize,
}

#[cfg(feature = "std")]
impl Stretches<'_> {
    fn start(&self, thread: usize) -> usize {
        self.parts * thread / self.next.len()
    }

    fn reset(&self) {
        for (thread, next) in self.next.iter().enumerate() {
            next.store(self.start(thread), Ordering::Relaxed);
        }
    }

    /// The next part for a thread, unless all are taken.
    fn take(&self, thread: usize) -> Option<usize> {
        let threads = self.next.len();
        (0..threads)
            .map(|after| (thread + after) % threads)
            .find_map(|of| {
                let index = self.next[of].fetch_add(1, Ordering::Relaxed);
                (index < self.start(of + 1)).then_some(index)
            })
    }
}

/// The start of a slice whose parts go to different threads.
#[cfg(feature = "std")]
struct Shared<T>(*mut T);

// SAFETY: a bare address; `slice` states what its users must keep.
#[cfg(feature = "std")]
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
#[cfg(feature = "std")]
unsafe impl<T: Send> Sync for Shared<T> {}

#[cfg(feature = "std")]
impl<T> Shared<T> {
    /// # Safety
    /// The range must lie in the slice and overlap no other range in use.
    #[allow(clippy::mut_from_ref, reason = "no two ranges overlap")]
    unsafe fn slice(&self, start: usize, length: usize) -> &mut [T] {
        // SAFETY: the caller's.
        unsafe { core::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::threads::ThreadPool;

    #[test]
    fn each_part_is_taken_once_by_its_own_thread_first() {
        for (threads, parts) in [(1, 5), (2, 8), (3, 7), (4, 2)] {
            let next: Box<[_]> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            let stretches = Stretches { next: &next, parts };
            stretches.reset();
            let last = threads - 1;
            let own = stretches.start(last)..parts;
            let taken: Vec<usize> = core::iter::from_fn(|| stretches.take(last)).collect();
            assert_eq!(taken[..own.len()], own.clone().collect::<Vec<_>>());
            assert_eq!(taken[own.len()..], (0..own.start).collect::<Vec<_>>());
            assert!((0..threads).all(|thread| stretches.take(thread).is_none()));
        }
    }

    #[test]
    fn every_thread_runs_every_job_once() {
        let mut pool = ThreadPool::new(4).expect("four threads start");
        let counts: [AtomicUsize; 4] = Default::default();
        for _ in 0..500 {
            pool.run(&|thread| {
                counts[thread].fetch_add(1, Ordering::Relaxed);
            });
        }
        assert!(
            counts
                .iter()
                .all(|count| count.load(Ordering::Relaxed) == 500)
        );
    }

    #[test]
    fn a_panic_on_a_worker_reaches_the_caller_and_the_pool_lives_on() {
        let mut pool = ThreadPool::new(2).expect("two threads start");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(&|thread| assert_ne!(thread, 1));
        }));
        assert!(result.is_err());
        let count = AtomicUsize::new(0);
        pool.run(&|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 2);
    }
}
