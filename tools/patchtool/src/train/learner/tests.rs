//! Learners learn, stop and go on.

use super::*;
use graft_tests::Random;

const SIDE: usize = 16;
const CLASSES: usize = 3;

const SETTINGS: Settings = Settings {
    kind: TrainKind::BN_HEAD,
    algorithm: Algorithm::Adam,
    weight_decay: 0.01,
    scale_lr_multiplier: 1.0,
    batch_norm: BatchNormMode::Batch,
    smoothing: 0.05,
    from_layer: 0,
    seed: 4,
};

fn learner(kind: TrainKind) -> Learner {
    let backbone = graft_tests::backbone(SIDE, 3);
    let settings = Settings { kind, ..SETTINGS };
    Learner::new(&backbone, Shape::new(SIDE, SIDE, 3), CLASSES, settings).unwrap()
}

/// Images of noise.
fn batch(seed: u64) -> (Vec<f32>, Vec<usize>) {
    let targets = (0..12).map(|image| image % CLASSES).collect();
    (Random(seed).values(12 * SIDE * SIDE * 3, 1.0), targets)
}

#[test]
fn every_kind_learns_a_batch_by_heart() {
    let (inputs, targets) = batch(1);
    let mut last = Vec::new();
    for kind in [
        TrainKind::HEAD,
        TrainKind::RandomHead,
        TrainKind::DW_HEAD,
        TrainKind::BN_HEAD,
        TrainKind::BN_DW_HEAD,
        TrainKind::Full,
    ] {
        let mut learner = learner(kind);
        let losses: Vec<f64> = (0..60)
            .map(|_| learner.step(0.01, &inputs, &targets).mean)
            .collect();
        assert!(
            (losses[0] - (CLASSES as f64).ln()).abs() < 1e-3,
            "{kind}: a head of zeros knows nothing"
        );
        assert!(losses[59] < 0.8 * losses[0], "{kind}: {losses:?}");
        last.push(losses[59]);
    }
    assert!(
        last[5] < last[0],
        "all weights learn more than the last layer: {last:?}"
    );
}

#[test]
fn a_class_of_weight_zero_is_not_learned() {
    let (inputs, targets) = batch(1);
    let mut plain = learner(TrainKind::HEAD);
    let mut weighted = learner(TrainKind::HEAD).with_class_weights(Some(vec![1.5, 0.0, 1.5]));
    for _ in 0..60 {
        plain.step(0.01, &inputs, &targets);
        weighted.step(0.01, &inputs, &targets);
    }
    let loss_of_class_1 = |learner: &mut Learner| {
        let (scores, weights) = (learner.scores(&inputs), [0.0, 1.0, 0.0]);
        let mut gradient = vec![0.0; scores.len()];
        cross_entropy(scores, &targets, 0.0, Some(&weights), &mut gradient).mean
    };
    assert!(loss_of_class_1(&mut weighted) > 2.0 * loss_of_class_1(&mut plain));
}

#[test]
fn a_restored_state_goes_on_alike() {
    let mut first = learner(TrainKind::BN_DW_HEAD);
    let (inputs, targets) = batch(1);
    first.step(0.01, &inputs, &targets);
    let state = first.state();
    let mut second = learner(TrainKind::BN_DW_HEAD);
    second.restore(state.clone()).unwrap();
    for seed in 2..5 {
        let (inputs, targets) = batch(seed);
        let losses =
            [&mut first, &mut second].map(|learner| learner.step(0.01, &inputs, &targets).mean);
        assert_eq!(losses[0].to_bits(), losses[1].to_bits());
    }
    assert_eq!(first.trained(), second.trained());
    assert!(learner(TrainKind::HEAD).restore(state).is_err());
}

#[test]
fn values_come_and_go_and_statistics_are_measured_for_them() {
    let backbone = Backbone::from_bytes(&graft_tests::operators::with_batch_norm()).unwrap();
    let shape = backbone.image().input().shape;
    let mut learner = Learner::new(&backbone, shape, CLASSES, SETTINGS).unwrap();
    assert!(learner.measures_statistics());
    let targets = batch(1).1;
    let [inputs, other] = [1, 2].map(|seed| Random(seed).values(targets.len() * shape.len(), 1.0));
    let start = learner.values();
    learner.step(0.01, &inputs, &targets);
    let stepped = learner.state();
    learner.set_values(&start);
    assert_eq!(learner.values(), start);
    // The mean of the statistics of two batches, whatever was there before.
    let mut measured = |batches: [&[f32]; 2], before: &State| {
        learner.restore(before.clone()).unwrap();
        for (at, inputs) in batches.iter().enumerate() {
            learner.measure_statistics(inputs, 1.0 / (at + 1) as f32);
        }
        learner.state().statistics.concat()
    };
    let moved = State {
        statistics: stepped
            .statistics
            .iter()
            .map(|s| vec![0.5; s.len()])
            .collect(),
        ..stepped.clone()
    };
    let [one, two, both] = [[&inputs[..]; 2], [&other[..]; 2], [&inputs, &other]]
        .map(|batches| measured(batches, &stepped));
    let again = measured([&other, &inputs], &moved);
    for ((one, two), (both, again)) in one.iter().zip(&two).zip(both.iter().zip(&again)) {
        let expected = 0.5 * (one + two);
        assert!(
            (both - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "{both} {expected}"
        );
        assert!(
            (again - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "{again} {expected}"
        );
    }
}

#[test]
fn the_control_trains_as_many_values_as_bn_and_leaves_the_others() {
    let mut bn = learner(TrainKind::BN_HEAD);
    let mut control = learner(TrainKind::RandomHead);
    assert_eq!(control.trainable(), bn.trainable());
    let before = control.state();
    let (inputs, targets) = batch(1);
    for _ in 0..3 {
        control.step(0.01, &inputs, &targets);
    }
    let after = control.state();
    let changed = before.parameters.iter().zip(&after.parameters);
    let changed: usize = changed
        .map(|(a, b)| a.iter().zip(b).filter(|(a, b)| a != b).count())
        .sum();
    assert!(changed <= control.trainable(), "{changed} values changed");
    assert!(
        changed > control.trainable() / 2,
        "{changed} values changed"
    );
}

#[test]
fn what_is_shared_is_trained_by_all_and_what_is_not_by_its_own() {
    let backbone = graft_tests::backbone(SIDE, 3);
    let image = backbone.image();
    let sharing = |kind| learner(TrainKind::Full).sharing(&image, kind, false);
    let (inputs, targets) = batch(1);
    // Alone it learns the same as one that shares nothing.
    let mut plain = learner(TrainKind::Full);
    let mut one = sharing(TrainKind::BN_HEAD);
    for _ in 0..3 {
        plain.step(0.01, &inputs, &targets);
        one.step(0.01, &inputs, &targets);
    }
    assert_eq!(plain.values(), one.values());
    assert_eq!(one.shared() + one.trainable(), plain.trainable());
    let mut other = sharing(TrainKind::BN_HEAD);
    let own = other.trained();
    other.take_shared(&mut one);
    let (one_trained, taken) = (one.trained(), other.trained());
    for (index, values) in &taken {
        assert_eq!(values.norm, own[index].norm, "site {index}");
        let from = if image.site(*index).is_head {
            &own
        } else {
            &one_trained
        };
        assert_eq!(values.weights, from[index].weights, "site {index}");
    }
    // The optimiser went with it, here and in what is saved.
    assert!(one.state().shared.is_none() && other.state().shared.is_some());
    let mut resumed = sharing(TrainKind::BN_HEAD);
    resumed.restore(other.state()).unwrap();
    other.step(0.01, &inputs, &targets);
    resumed.step(0.01, &inputs, &targets);
    assert_eq!(resumed.values(), other.values());
    assert_eq!(resumed.state(), other.state());
    let error = learner(TrainKind::Full).restore(other.state());
    assert!(error.is_err(), "it shares nothing");
    // Of batch norms that are shared, the statistics are, too.
    let mut head = sharing(TrainKind::HEAD);
    head.step(0.01, &inputs, &targets);
    let mut next = sharing(TrainKind::HEAD);
    next.take_shared(&mut head);
    assert_eq!(next.state().statistics, head.state().statistics);
}
