//! What this machine can do at most, measured in the same minute as everything else.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use graft_patches::records::Dtype;
use graft_runtime::kernels::peak::Peak;

/// Rounds, of which the fastest counts.
const ROUNDS: usize = 15;
/// Steps of multiply-adds in a round: milliseconds.
const STEPS: u64 = 1 << 20;
/// Numbers that are read in a round: more than caches hold.
const NUMBERS: usize = 16 << 20;

/// Thousands of millions of multiply-adds a second, of this many threads with the instructions of these kernels. None for
/// kernels in plain Rust.
pub(super) fn gmacs(dtype: Dtype, kernels: &str, threads: usize) -> Option<f64> {
    let peak = Peak::of(dtype, kernels)?;
    let time = fastest(threads, |_| peak.run(STEPS));
    let multiply_adds = peak.step * STEPS * threads as u64;
    Some(multiply_adds as f64 / time.as_secs_f64() / 1e9)
}

/// Thousands of millions of bytes a second that this many threads read from memory.
pub(super) fn read_gb(threads: usize) -> f64 {
    let numbers = vec![1u32; NUMBERS];
    let share = NUMBERS.div_ceil(threads);
    let time = fastest(threads, |thread| {
        let part = numbers.chunks(share).nth(thread).unwrap_or_default();
        black_box(
            part.iter()
                .fold(0u32, |sum, &number| sum.wrapping_add(number)),
        );
    });
    size_of_val(&numbers[..]) as f64 / time.as_secs_f64() / 1e9
}

/// The time of the fastest round, in which each thread does its work once.
fn fastest(threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    let round = || {
        let start = Instant::now();
        thread::scope(|scope| {
            for other in 1..threads {
                let work = &work;
                scope.spawn(move || work(other));
            }
            work(0);
        });
        start.elapsed()
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}
