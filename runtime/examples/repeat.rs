//! Runs one image several times: `repeat BACKBONE RUNS`, one thread. Prints the kernels and the first score.
//!
//! Tools that count instructions or take samples measure this program: what RUNS + 1 runs cost more than RUNS is an
//! inference, without what comes before and after it.
//!
//! ```text
//! cargo run --release -p graft-runtime --example repeat -- tools/assets/demo/demo.backbone 100
//! ```

use std::error::Error;

use graft_runtime::{Backbone, Session};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [backbone, runs] = &arguments[..] else {
        return Err("usage: repeat BACKBONE RUNS".into());
    };
    let backbone = Backbone::open(backbone)?;
    let runs: usize = runs.parse()?;
    let patch = backbone.identity();
    let mut session = Session::new(&backbone)?;
    // All levels, in an order that has no pattern.
    let pixels: Vec<u8> = (0..patch.input().shape.len())
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let mut score = None;
    for _ in 0..runs {
        score = session.run(&patch, &pixels)?.first().copied();
    }
    println!("{} kernels, {score:?}", session.kernels());
    Ok(())
}
