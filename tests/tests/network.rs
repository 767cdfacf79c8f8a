//! A network in training: what it refuses, and its state from step to step.

use graft_patches::ImageError;
use graft_patches::geometry::Shape;
use graft_patches::layout::unpack_weights;
use graft_runtime::gradient::{BatchNorm, BatchNormMode, Network, Norm, Parameter, Trainable};
use graft_runtime::{Backbone, Error};
use graft_tests::operators::{INPUT, operators, with_dead_site, with_metadata};
use graft_tests::training::{ALL, CLASSES, gradients, setup};
use graft_tests::{backbone, without_head, without_pool};

const HEAD: Trainable = Trainable {
    batch_norm: BatchNormMode::Batch,
    norm: false,
    depthwise: false,
    dense: false,
    head: true,
    from_layer: 0,
};

fn refused(backbone: &Backbone, input: Shape, classes: usize, trainable: Trainable) -> Error {
    let error = Network::new(backbone, input, classes, trainable).err();
    let error = error.expect("the network was refused");
    assert!(!error.hint().is_empty());
    error
}

fn named(name: &str, batch_norm: bool) -> Backbone {
    let mut all = operators(batch_norm).into_iter();
    let (_, backbone) = all.find(|&(found, _)| found == name).expect("a known name");
    backbone
}

fn step(network: &mut Network, batch: &[f32], loss: &[f32]) -> Vec<Vec<f32>> {
    network.forward(batch);
    network.backward(loss);
    gradients(network)
}

fn assert_close(name: &str, found: &[Vec<f32>], expected: &[Vec<f32>], tolerance: f32) {
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let largest = expected.iter().fold(0.0f32, |most, g| most.max(g.abs()));
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs();
            assert!(
                error <= tolerance * largest + 1e-6,
                "{name}, parameter {at}: {found}, not {expected}"
            );
        }
    }
}

#[test]
fn a_backbone_without_a_head_is_refused() {
    let input = Shape::new(8, 8, 3);
    assert!(matches!(
        refused(&without_head(), input, 4, ALL),
        Error::NoHead
    ));
    assert!(matches!(
        Network::head(&without_head(), 4),
        Err(Error::NoHead)
    ));
}

#[test]
fn a_head_of_several_pixels_is_refused() {
    let error = refused(&without_pool(), Shape::new(8, 8, 3), 4, ALL);
    assert!(matches!(error, Error::HeadPixels { found: 64 }), "{error}");
    let head = Network::head(&without_pool(), 4);
    assert!(matches!(head, Err(Error::HeadPixels { found: 64 })));
    assert!(Network::new(&without_pool(), Shape::new(1, 1, 3), 4, ALL).is_ok());
}

#[test]
fn wrong_numbers_of_classes_are_refused() {
    let (backbone, input) = (backbone(24, 3), Shape::new(24, 24, 3));
    for trainable in [ALL, Trainable::default()] {
        assert!(matches!(
            refused(&backbone, input, 0, trainable),
            Error::NoClasses
        ));
    }
    let many = refused(&backbone, input, 65, HEAD);
    let expected = ImageError::TooManyClasses {
        found: 65,
        expected: 64,
    };
    assert!(
        matches!(many, Error::Image(error) if error == expected),
        "{many}"
    );
    let frozen = refused(&backbone, input, 9, Trainable { head: false, ..ALL });
    assert!(
        matches!(
            frozen,
            Error::FrozenHead {
                found: 9,
                expected: 10
            }
        ),
        "{frozen}"
    );
    assert!(Network::new(&backbone, input, 10, Trainable::default()).is_ok());
    assert!(Network::new(&backbone, input, 64, HEAD).is_ok());
}

#[test]
fn batch_norms_that_do_not_fit_are_refused() {
    let broken = |change: &dyn Fn(&mut BatchNorm)| {
        with_metadata(|site| change(site.batch_norm.as_mut().expect("it has one")))
    };
    let wrong = [
        broken(&|norm| norm.gamma.clear()),
        broken(&|norm| norm.beta.push(0.0)),
        broken(&|norm| norm.mean.truncate(3)),
        broken(&|norm| norm.var.clear()),
        with_metadata(|site| site.bias = Some(vec![0.0; 2])),
    ];
    for backbone in wrong {
        let error = refused(&backbone, INPUT, CLASSES, ALL);
        let length = matches!(
            error,
            Error::Image(ImageError::NormLength {
                site: 0,
                expected: 6,
                ..
            })
        );
        assert!(length, "{error}");
        assert!(
            Network::new(&backbone, INPUT, CLASSES, HEAD).is_ok(),
            "only the norms need them"
        );
    }
    let wrong = [
        broken(&|norm| norm.mean[2] = f32::NAN),
        broken(&|norm| norm.var[2] = -1.0),
        broken(&|norm| norm.epsilon = f32::NAN),
    ];
    for backbone in wrong {
        let error = refused(&backbone, INPUT, CLASSES, ALL);
        assert!(
            matches!(error, Error::Image(ImageError::NormValue { site: 0, .. })),
            "{error}"
        );
    }
}

/// With a plain scale no image sees the others; the batches that a run of images is cut into do not matter.
#[test]
fn the_gradient_of_a_batch_is_the_sum_of_its_parts() {
    for (name, backbone) in operators(false) {
        let (mut network, batch, loss) = setup(&backbone, INPUT, ALL, 35);
        let expected = step(&mut network, &batch, &loss);
        let mut sums: Vec<Vec<f32>> = expected.iter().map(|g| vec![0.0; g.len()]).collect();
        let mut first = 0;
        for images in [17, 1, 2, 15] {
            let part = |values: &[f32], len: usize| values[first * len..][..images * len].to_vec();
            let (batch, loss) = (part(&batch, INPUT.len()), part(&loss, CLASSES));
            first += images;
            for (sums, part) in sums.iter_mut().zip(step(&mut network, &batch, &loss)) {
                sums.iter_mut()
                    .zip(part)
                    .for_each(|(sum, part)| *sum += part);
            }
        }
        assert_eq!(first, 35);
        assert_close(name, &sums, &expected, 1e-4);
    }
}

#[test]
fn one_image_is_a_batch() {
    for (name, backbone) in operators(true) {
        let (mut network, batch, loss) = setup(&backbone, INPUT, ALL, 1);
        let gradients = step(&mut network, &batch, &loss);
        assert!(gradients.iter().flatten().all(|g| g.is_finite()), "{name}");
        let all = network
            .statistics()
            .iter()
            .flat_map(|s| s.to_vec())
            .collect::<Vec<_>>();
        assert!(all.iter().all(|s| s.is_finite()), "{name}");
    }
}

#[test]
fn a_smaller_batch_after_a_larger_one_is_as_on_its_own() {
    let input = Shape::new(24, 24, 3);
    let (mut network, batch, loss) = setup(&backbone(24, 3), input, ALL, 20);
    let (few, few_loss) = (&batch[..3 * input.len()], &loss[..3 * CLASSES]);
    step(&mut network, &batch, &loss);
    let found = step(&mut network, few, few_loss);
    let (mut fresh, ..) = setup(&backbone(24, 3), input, ALL, 1);
    assert_close("smaller", &found, &step(&mut fresh, few, few_loss), 1e-4);
}

#[test]
fn backward_twice_gives_the_same() {
    let (mut network, batch, loss) = setup(&backbone(24, 3), Shape::new(24, 24, 3), ALL, 9);
    let expected = step(&mut network, &batch, &loss);
    network.backward(&loss);
    assert!(gradients(&mut network) == expected);
}

#[test]
fn changed_weights_are_seen_by_the_next_step() {
    let input = Shape::new(24, 24, 3);
    let (mut network, batch, loss) = setup(&backbone(24, 3), input, ALL, 9);
    let before = step(&mut network, &batch, &loss);
    for parameter in network.parameters() {
        for (value, gradient) in parameter.values.iter_mut().zip(parameter.gradient) {
            *value -= 1e-3 * gradient;
        }
    }
    let found = step(&mut network, &batch, &loss);
    assert!(found != before);
    let (mut fresh, ..) = setup(&backbone(24, 3), input, ALL, 1);
    for (to, from) in fresh.parameters().into_iter().zip(network.parameters()) {
        to.values.copy_from_slice(from.values);
    }
    assert_close("changed", &found, &step(&mut fresh, &batch, &loss), 1e-4);
}

#[test]
fn a_dead_site_has_a_gradient_of_zero() {
    let (mut network, batch, loss) = setup(&with_dead_site(), INPUT, ALL, 5);
    step(&mut network, &batch, &loss);
    for parameter in network.parameters() {
        let is_zero = parameter.gradient.iter().all(|&g| g == 0.0);
        assert_eq!(is_zero, parameter.site == 1, "site {}", parameter.site);
    }
}

#[test]
#[should_panic(expected = "forward comes first")]
fn backward_needs_a_forward_pass() {
    let (mut network, ..) = setup(&backbone(24, 3), Shape::new(24, 24, 3), ALL, 1);
    network.backward(&[]);
}

#[test]
fn one_step_moves_running_statistics_by_a_tenth() {
    let backbone = named("pointwise", true);
    let metadata = backbone.image().metadata().expect("metadata");
    let site = &metadata.sites[0];
    let (start, own) = (
        site.batch_norm.as_ref().expect("a norm"),
        site.bias.as_ref().expect("a bias"),
    );
    let (mut network, batch, _) = setup(&backbone, INPUT, ALL, 7);
    network.forward(&batch);
    let Some(Norm::Batch(norm)) = &network.trained()[0].1.norm else {
        panic!("raw batch norm")
    };
    let image = backbone.image();
    let weights = unpack_weights(image.weights(&image.site(0)), 6, 3, false);
    for c in 0..6 {
        let dot = |x: &[f32]| -> f64 {
            let products = x.iter().zip(&weights[c * 3..]);
            products.map(|(&x, &w)| f64::from(x) * f64::from(w)).sum()
        };
        let values: Vec<f64> = batch
            .chunks_exact(3)
            .map(|x| dot(x) + f64::from(own[c]))
            .collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let var = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let moved = |old: f32, new: f64| 0.9 * f64::from(old) + 0.1 * new;
        let found = [norm.mean[c], norm.var[c]].map(f64::from);
        for (found, expected) in found
            .into_iter()
            .zip([moved(start.mean[c], mean), moved(start.var[c], var)])
        {
            assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        }
    }
}

#[test]
fn one_value_a_channel_leaves_running_statistics_alone() {
    let (mut network, batch, _) = setup(&named("linear", true), INPUT, ALL, 1);
    let copy = |network: &mut Network| -> Vec<Vec<f32>> {
        network
            .statistics()
            .iter()
            .map(|values| values.to_vec())
            .collect()
    };
    let before = copy(&mut network);
    network.forward(&batch);
    let after = copy(&mut network);
    // Mean and variance of each site: only the second one follows the pool.
    let is_same: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a == b).collect();
    assert_eq!(is_same, [false, false, true, true, true, true]);
}

/// Batch norm takes away what is added to all accumulators.
#[test]
fn an_offset_far_larger_than_the_deviation_changes_no_gradient() {
    const OFFSET: f32 = 1000.0;
    let backbone = named("pointwise", true);
    let trainable = Trainable { norm: true, ..HEAD };
    let (mut network, mut batch, loss) = setup(&backbone, INPUT, trainable, 32);
    // Values that stay exact with the offset.
    batch
        .iter_mut()
        .for_each(|x| *x = (*x * 1024.0).round() / 1024.0);
    let expected = step(&mut network, &batch, &loss);
    let image = backbone.image();
    let weights = unpack_weights(image.weights(&image.site(0)), 6, 3, false);
    let (mut network, ..) = setup(&backbone, INPUT, trainable, 1);
    for (mean, weights) in network.statistics()[0]
        .iter_mut()
        .zip(weights.chunks_exact(3))
    {
        *mean = weights.iter().sum::<f32>() * OFFSET;
    }
    batch.iter_mut().for_each(|x| *x += OFFSET);
    assert_close("", &step(&mut network, &batch, &loss), &expected, 2e-3);
}

#[test]
fn from_a_layer_on_gradients_are_those_of_the_whole_network() {
    let backbone = graft_tests::backbone(16, 3);
    let input = Shape::new(16, 16, 3);
    let gradients = |from_layer: usize| {
        let trainable = Trainable { from_layer, ..ALL };
        let (mut network, batch, loss) = setup(&backbone, input, trainable, 4);
        step(&mut network, &batch, &loss);
        let parameters = network.parameters();
        let of = |own: &Parameter<'_>| (own.site, own.role as u8, own.gradient.to_vec());
        let gradients: Vec<_> = parameters.iter().map(of).collect();
        let sites = network.trained().into_iter().map(|(site, _)| site);
        (gradients, sites.min())
    };
    let image = backbone.image();
    let (whole, _) = gradients(0);
    for layer in 1..image.layer_count() {
        let (part, first) = gradients(layer);
        let is_trained = |site: usize| image.site(site).layer >= layer;
        let expected: Vec<_> = whole
            .iter()
            .filter(|own| is_trained(own.0))
            .cloned()
            .collect();
        assert_eq!(part, expected, "from layer {layer} on");
        assert_eq!(
            first,
            (0..image.site_count()).find(|&site| is_trained(site))
        );
    }
}
