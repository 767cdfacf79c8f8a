//! Cuts the power in every single write and erase of everything that a host does with a device, on flash of several
//! geometries, and in several of them one after the other; see `scenario.rs` for what must hold then.

#[path = "../flash/mod.rs"]
mod flash;
#[path = "../model/mod.rs"]
mod model;
mod scenario;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use scenario::{Outcome, Scenario};

/// Tries every cut of scenarios from several seeds, then cuts at random places with others in what follows.
fn geometry<const READ: usize, const WRITE: usize, const ERASE: usize>(
    slots: u8,
    seeds: u64,
) -> Outcome {
    print!("read {READ}, write {WRITE}, page {ERASE}, {slots} slots: ");
    let mut outcome = Outcome::default();
    for seed in 0..seeds {
        let scenario = Scenario::<READ, WRITE, ERASE>::new(slots, seed);
        let operations = scenario.operations();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for cut in 0..operations {
            let one = scenario.run(rng.random(), &[cut]);
            assert_eq!(one.cuts, 1);
            outcome += one;
        }
        for _ in 0..operations {
            let mut cuts = vec![rng.random_range(0..operations)];
            for _ in 0..rng.random_range(1..=3) {
                // Every other one soon, in the first commits.
                let within = if rng.random() {
                    4
                } else {
                    operations.div_ceil(4)
                };
                cuts.push(rng.random_range(0..within));
            }
            outcome += scenario.run(rng.random(), &cuts);
        }
    }
    outcome
}

const GEOMETRIES: &[fn() -> Outcome] = &[
    || geometry::<1, 1, 256>(2, 12),
    || geometry::<1, 1, 256>(4, 12),
    || geometry::<4, 4, 512>(8, 12),
    || geometry::<8, 16, 1024>(5, 8),
    || geometry::<1, 8, 2048>(3, 8),
    || geometry::<4, 4, 4096>(4, 4),
    || geometry::<1, 256, 4096>(6, 4),
    || geometry::<32, 32, 131072>(2, 1),
    || geometry::<1, 32, 131072>(8, 1),
];

fn main() -> ExitCode {
    let started = Instant::now();
    let mut total = Outcome::default();
    let mut passed = 0;
    for geometry in GEOMETRIES {
        match catch_unwind(geometry) {
            Ok(outcome) => {
                println!("{outcome}");
                total += outcome;
                passed += 1;
            }
            Err(_) => println!("FAILED"),
        }
    }
    println!("{total}, in {:.1} s", started.elapsed().as_secs_f32());
    let failed = GEOMETRIES.len() - passed;
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
