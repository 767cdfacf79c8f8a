//! Trains a layer of linear self-attention on the paper's regression tasks and compares it with the constructed one; prints
//! JSON.

use std::time::Instant;

use burn_tensor::Device;
use clap::Parser;
use graft_meta::lsa::train::{Learner, best_step};
use serde_json::json;

#[derive(Debug, Parser)]
struct Arguments {
    /// How often the layer is applied.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Steps of training, of 2,048 tasks each.
    #[arg(long, default_value_t = 5_000)]
    steps: usize,
    /// Rate of each constructed step; by default the best rate of one step.
    #[arg(long)]
    eta: Option<f32>,
    /// Transformation of the inputs in each constructed step; 0 is plain gradient descent.
    #[arg(long, default_value_t = 0.0)]
    gamma: f32,
    /// Batches of 2,048 tasks to compare on.
    #[arg(long, default_value_t = 50)]
    batches: usize,
    /// Of every random number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() {
    let arguments = Arguments::parse();
    let [best, loss] = best_step();
    let eta = arguments.eta.unwrap_or(best as f32);
    let mut learner = Learner::new(arguments.depth, arguments.seed, Device::flex());
    let started = Instant::now();
    for step in 1..=arguments.steps {
        let loss = learner.step();
        if step % 250 == 0 {
            eprintln!(
                "step {step}: loss {loss:.4}, {:.0} s",
                started.elapsed().as_secs_f64()
            );
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let steps = vec![(eta, arguments.gamma); arguments.depth];
    let comparison = learner.compare(&steps, arguments.batches, arguments.seed);
    let report = json!({"seconds": seconds, "best_step_loss": loss, "comparison": comparison});
    println!("{report}");
}
