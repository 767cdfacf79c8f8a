//! Weights of -128, which int8 layers take as -127: what that does to the scores.

use anyhow::Result;
use graft_runtime::{Backbone, Session};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::import::compile::{Settings, compile};
use crate::import::graph::Graph;
use crate::import::int8::Quantization;

/// Images of noise that scores are compared on.
const IMAGES: u64 = 8;

/// A sentence on the weights of -128, with their effect measured on noise.
pub(super) fn note(
    float: &Backbone,
    graph: &Graph,
    quantization: &Quantization,
    settings: Settings,
) -> Result<String> {
    let mut clamped = graph.clone();
    let layers = clamped.layers.iter_mut();
    let sites = layers.filter_map(|layer| layer.op.weights_mut());
    for (weights, scales) in sites.zip(&quantization.sites) {
        let depth = weights.values.len() / weights.outputs.max(1);
        for (row, scale) in weights.values.chunks_mut(depth.max(1)).zip(scales) {
            row.iter_mut()
                .for_each(|weight| *weight = weight.max(-127.0 * scale));
        }
    }
    let clamped = Backbone::from_bytes(&compile(&clamped, settings)?)?;
    let (mut moved, mut low, mut high) = (0.0_f32, f32::INFINITY, f32::NEG_INFINITY);
    for seed in 0..IMAGES {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let shape = float.image().input().shape;
        let pixels: Vec<u8> = (0..shape.len()).map(|_| random.random::<u8>()).collect();
        let [expected, found] = [float, &clamped].map(|network| scores(network, &pixels));
        for (expected, found) in expected?.into_iter().zip(found?) {
            moved = moved.max((expected - found).abs());
            (low, high) = (low.min(expected), high.max(expected));
        }
    }
    Ok(format!(
        "weights of -128 became -127, the least that layers compute with ({} of them): on noise, scores move by {:.2} % of \
         their range at most",
        quantization.lowest,
        100.0 * moved / (high - low).max(f32::MIN_POSITIVE)
    ))
}

fn scores(network: &Backbone, pixels: &[u8]) -> Result<Vec<f32>> {
    let mut session = Session::new(network)?;
    Ok(session.run(&network.identity(), pixels)?.to_vec())
}
