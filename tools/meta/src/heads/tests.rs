use graft_runtime::LayerOutput;
use graft_runtime::head_learner::{GD, GD_PLUS_PLUS, HeadLearner, Projection, RIDGE, Recipe};

use super::*;
use crate::episodes::{Drawn, Images};

const FEATURES: usize = 8;
const CLASSES: usize = 3;

/// Three classes along three axes, with noise.
fn episode() -> Episode {
    let mut random = graft_tests::Random(5);
    let mut images = |count: usize| {
        let labels: Vec<usize> = (0..count).map(|image| image % CLASSES).collect();
        let values = labels.iter().flat_map(|&label| {
            let noise = random.values(FEATURES, 0.4);
            (0..FEATURES).map(move |at| noise[at] + 1.0 + 2.0 * f32::from(u8::from(at == label)))
        });
        Images {
            values: values.collect(),
            labels,
            indices: vec![0; count],
        }
    };
    Episode {
        classes: vec![Drawn { class: 0, turn: 0 }; CLASSES],
        support: images(15),
        queries: images(60),
        unlabelled: Images::default(),
    }
}

/// Scores of the runtime's head of the same images, whose embeddings are rounded to fiftieths.
fn of_the_runtime(episode: &Episode, recipe: &Recipe<'_>) -> Array2<f32> {
    let projection = Projection::new(FEATURES, FEATURES, 0, 0.02).unwrap();
    let mut memory = vec![0; HeadLearner::words_len(FEATURES, CLASSES)];
    let mut learner = HeadLearner::new(projection, &mut memory).unwrap();
    let rows = |images: &'_ Images| {
        images
            .values
            .chunks_exact(FEATURES)
            .map(<[f32]>::to_vec)
            .collect::<Vec<_>>()
    };
    for (x, &label) in rows(&episode.support).iter().zip(&episode.support.labels) {
        learner.add(label, LayerOutput::F32(x)).unwrap();
    }
    let mut work = vec![0.0; learner.work_len(recipe.method)];
    let mut weights = vec![0.0; learner.weights_len()];
    let head = learner.learn(recipe, &mut work, &mut weights).unwrap();
    let queries = rows(&episode.queries);
    Array2::from_shape_fn((queries.len(), CLASSES), |(query, class)| {
        let terms = queries[query].iter().enumerate();
        head.bias(class) + terms.map(|(at, x)| x * head.weight(class, at)).sum::<f32>()
    })
}

/// Scores less those of the first class, which is all that a choice depends on.
fn differences(scores: &Array2<f32>) -> Array2<f32> {
    scores - &scores.column(0).insert_axis(Axis(1))
}

#[test]
fn scores_are_those_of_the_runtimes_head() {
    let episode = episode();
    let products = Products::of(&episode, FEATURES).expect("images differ");
    for recipe in [GD, GD_PLUS_PLUS, RIDGE] {
        let own =
            differences(&(products.scores(Method::Learner(recipe.method)) * recipe.confidence));
        let runtime = differences(&of_the_runtime(&episode, &recipe));
        let scale = runtime
            .iter()
            .fold(0.0f32, |most, score| most.max(score.abs()));
        let error = (&own - &runtime)
            .iter()
            .fold(0.0f32, |most, error| most.max(error.abs()));
        assert!(error < 0.02 * scale, "{recipe:?}: {error} of {scale}");
    }
}

#[test]
fn every_method_tells_classes_apart_that_are() {
    let products = Products::of(&episode(), FEATURES).expect("images differ");
    let sgd = Method::Sgd(Sgd {
        steps: 50,
        rate: 1.0,
    });
    let learners = [GD, GD_PLUS_PLUS, RIDGE].map(|recipe| Method::Learner(recipe.method));
    for method in [&[Method::Means, sgd], &learners[..]].concat() {
        let found = products.accuracy(method);
        assert!(found > 0.95, "{method:?}: {found}");
        let none = products.loss(method, 0.0);
        assert!(
            products.loss(method, 2.0) < none,
            "{method:?}: no better than {none}"
        );
    }
}

#[test]
fn class_means_are_the_nearest() {
    let episode = episode();
    let products = Products::of(&episode, FEATURES).expect("images differ");
    let scores = products.scores(Method::Means);
    let owned: Vec<Vec<f32>> = episode
        .support
        .values
        .chunks_exact(FEATURES)
        .map(<[f32]>::to_vec)
        .collect();
    let means = patchtool::hyper::prototype::means(&owned, &episode.support.labels, CLASSES);
    for (scores, x) in scores
        .rows()
        .into_iter()
        .zip(episode.queries.values.chunks_exact(FEATURES))
    {
        let distance = |class: usize| {
            means[class]
                .iter()
                .zip(x)
                .map(|(a, b)| (a - b).powi(2))
                .sum::<f32>()
        };
        let nearest = (0..CLASSES).min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        assert_eq!(best(scores), nearest);
    }
}

#[test]
fn no_steps_know_nothing() {
    let products = Products::of(&episode(), FEATURES).expect("images differ");
    let none = Method::Sgd(Sgd {
        steps: 0,
        rate: 1.0,
    });
    assert!(products.scores(none).iter().all(|&score| score == 0.0));
    let loss = products.loss(none, 1.0);
    assert!((loss - (CLASSES as f64).ln()).abs() < 1e-6, "{loss}");
}

#[test]
fn learned_numbers_are_better_than_the_first_ones() {
    let products = [Products::of(&episode(), FEATURES).expect("images differ")];
    let first = recipe::learn(&products, 2, true, 0).loss;
    let learned = recipe::learn(&products, 2, true, 60).loss;
    assert!(learned < 0.5 * first, "{learned} of {first}");
    let found = ridge(&products, &products);
    assert!(found.loss < first, "ridge: {} of {first}", found.loss);
    let found = sgd(&products);
    assert_eq!(products[0].accuracy(Method::Sgd(found)), 1.0, "{found:?}");
}
