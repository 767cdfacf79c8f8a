//! The head learner of the runtime is linear self-attention: with the weights that von Oswald et al. (ICML 2023) construct, over
//! its examples less their mean as tokens, the layers predict what its head scores. Weights to start from, W0, are in the layers
//! of GD. GD++ transforms x but not y, so there the tokens have y - W0 x from the start, and W0 x is added to the prediction.

use graft_meta::lsa::{Context, Layer, predict};
use graft_runtime::LayerOutput;
use graft_runtime::head_learner::{HeadLearner, Method, Projection, Recipe, Step};
use graft_tests::Random;
use proptest::prelude::*;

const INPUTS: usize = 9;
const CLASSES: usize = 3;

/// `shots` integer embeddings of each class, class after class.
fn examples(random: &mut Random, shots: usize) -> Vec<Vec<f32>> {
    let count = CLASSES * shots;
    let rows = (0..count).map(|_| random.values(INPUTS, 60.0));
    rows.map(|row| row.iter().map(|value| (value + 40.0).round()).collect())
        .collect()
}

fn mean(rows: &[Vec<f32>]) -> Vec<f32> {
    let mean = |at| rows.iter().map(|row| row[at]).sum::<f32>() / rows.len() as f32;
    (0..INPUTS).map(mean).collect()
}

fn less(row: &[f32], mean: &[f32], scale: f32) -> Vec<f32> {
    let pairs = row.iter().zip(mean);
    pairs.map(|(value, mean)| (value - mean) / scale).collect()
}

fn times(rows: &[Vec<f32>], x: &[f32]) -> Vec<f32> {
    let product = |row: &Vec<f32>| row.iter().zip(x).map(|(a, b)| a * b).sum();
    rows.iter().map(product).collect()
}

/// The greatest difference between the scores of the learner's head and the predictions of the layers.
fn difference(seed: u64, shots: usize, steps: &[Step]) -> f32 {
    let mut random = Random(seed);
    let examples = examples(&mut random, shots);
    let start = random.values(CLASSES * INPUTS, 0.02);
    let query = random.values(INPUTS, 60.0);

    let projection = Projection::new(INPUTS, INPUTS, 0, 1.0).unwrap();
    let mut memory = vec![0; HeadLearner::words_len(INPUTS, CLASSES)];
    let mut learner = HeadLearner::new(projection, &mut memory).unwrap();
    for (index, x) in examples.iter().enumerate() {
        learner.add(index / shots, LayerOutput::F32(x)).unwrap();
    }
    let recipe = Recipe {
        method: Method::Descent(steps),
        confidence: 1.0,
    };
    let mut work = vec![0.0; learner.work_len(recipe.method)];
    // A row for each class, with a bias behind it.
    let mut weights: Vec<f32> = start
        .chunks(INPUTS)
        .flat_map(|row| [row, &[0.0]].concat())
        .collect();
    let head = learner.learn(&recipe, &mut work, &mut weights).unwrap();

    let mean = mean(&examples);
    let scale = head.eigenvalue().sqrt();
    let one_hot = |class: usize| -> Vec<f32> {
        let entry = |other| f32::from(u8::from(other == class)) - 1.0 / CLASSES as f32;
        (0..CLASSES).map(entry).collect()
    };
    let inputs: Vec<_> = examples.iter().map(|x| less(x, &mean, scale)).collect();
    let outputs: Vec<_> = (0..examples.len())
        .map(|index| one_hot(index / shots))
        .collect();
    let start: Vec<Vec<f32>> = start
        .chunks(INPUTS)
        .map(|row| row.iter().map(|weight| weight * scale).collect())
        .collect();
    let query_token = less(&query, &mean, scale);
    let is_plain = steps.iter().all(|step| step.gamma == 0.0);
    let zeros = vec![vec![0.0; INPUTS]; CLASSES];
    let rest: Vec<_> = inputs
        .iter()
        .zip(&outputs)
        .map(|(x, y)| less(y, &times(&start, x), 1.0))
        .collect();
    let context = Context {
        inputs: &inputs,
        outputs: if is_plain { &outputs } else { &rest },
        start: if is_plain { &start } else { &zeros },
    };
    let layers: Vec<Layer> = steps
        .iter()
        .map(|step| Layer::step(&context, step.eta, step.gamma / examples.len() as f32))
        .collect();
    let mut expected = predict(&layers, &context, &query_token);
    if !is_plain {
        let own = times(&start, &query_token);
        expected.iter_mut().zip(own).for_each(|(y, own)| *y += own);
    }
    let score = |class: usize| {
        let products = query
            .iter()
            .enumerate()
            .map(|(at, x)| head.weight(class, at) * x);
        products.sum::<f32>() + head.bias(class)
    };
    let pairs = expected.iter().enumerate();
    pairs
        .map(|(class, expected)| (score(class) - expected).abs())
        .fold(0.0, f32::max)
}

proptest! {
    #[test]
    fn the_learner_is_linear_self_attention(
        seed in 1u64..u64::MAX,
        shots in 1usize..8,
        steps in prop::collection::vec((0.1f32..1.5, prop_oneof![Just(0.0f32), 0.1f32..0.9]), 1..=5),
    ) {
        let steps: Vec<Step> = steps.iter().map(|&(eta, gamma)| Step { eta, gamma }).collect();
        let found = difference(seed, shots, &steps);
        prop_assert!(found <= 1e-5, "{found}");
    }
}
