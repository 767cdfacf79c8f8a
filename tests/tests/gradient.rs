//! The gradients of training against finite differences, and its forward pass against the runtime's.

use graft_patches::geometry::Shape;
use graft_patches::records::{Dtype, Kinds};
use graft_runtime::gradient::{BatchNormMode, Network, Norm, Role, Trainable};
use graft_runtime::{Backbone, Image, Patch, Session, kernel_names};
use graft_tests::operators::{INPUT, operators};
use graft_tests::training::{ALL, gradients, setup, trained_elements};
use graft_tests::{Random, identity_patch};

const IMAGES: usize = 9;
/// The part of a difference that the scores' rounding makes.
const ROUNDING: f32 = 1e-3;

fn loss(network: &mut Network, batch: &[f32], loss: &[f32]) -> f64 {
    let scores = network.forward(batch);
    scores
        .iter()
        .zip(loss)
        .map(|(&score, &loss)| f64::from(score) * f64::from(loss))
        .sum()
}

/// Every element of every parameter, and the zeros of its padding.
fn check_gradients(name: &str, backbone: &Backbone, input: Shape, trainable: Trainable) {
    let (mut network, batch, factors) = setup(backbone, input, trainable, IMAGES);
    network.forward(&batch);
    network.backward(&factors);
    for (at, gradient) in gradients(&mut network).iter().enumerate() {
        let largest = gradient.iter().fold(0.0f32, |most, g| most.max(g.abs()));
        // A tolerance that would pass anything is refused; batch norm takes away all of a plain bias in front of it.
        let is_none = largest < 1e-5;
        assert!(
            is_none || largest > 3.0 * ROUNDING,
            "{name}: parameter {at}: {largest}"
        );
        let parameter = &network.parameters()[at];
        let elements = trained_elements(backbone, parameter);
        assert_eq!(elements.len(), parameter.trained, "{name}");
        let nonzero = |values: &mut dyn Iterator<Item = f32>| values.filter(|&g| g != 0.0).count();
        let trained = nonzero(&mut elements.iter().map(|&i| gradient[i]));
        assert_eq!(
            nonzero(&mut gradient.iter().copied()),
            trained,
            "{name}: padding has a gradient"
        );
        for element in elements {
            let start = network.parameters()[at].values[element];
            let expected = gradient[element];
            let mut at_step = |step: f32| {
                network.parameters()[at].values[element] = start + step;
                loss(&mut network, &batch, &factors)
            };
            // A corner of an activation spoils long steps, rounding spoils short ones.
            let differences = [1e-3, 2e-4]
                .map(|step: f32| (at_step(step) - at_step(-step)) / f64::from(2.0 * step));
            let error = differences
                .map(|difference| (difference - f64::from(expected)).abs())
                .into_iter()
                .fold(f64::MAX, f64::min);
            network.parameters()[at].values[element] = start;
            let parameter = &network.parameters()[at];
            assert!(
                error <= f64::from(0.01 * largest + ROUNDING),
                "{name}: {:?} {element} of site {}: {expected}, by differences {differences:?}",
                parameter.role,
                parameter.site,
            );
        }
    }
}

#[test]
fn finite_differences_of_every_operator_with_batch_norm() {
    for (name, backbone) in operators(true) {
        check_gradients(name, &backbone, INPUT, ALL);
    }
}

#[test]
fn finite_differences_of_every_operator_with_a_plain_scale() {
    for (name, backbone) in operators(false) {
        check_gradients(name, &backbone, INPUT, ALL);
    }
}

#[test]
fn finite_differences_of_every_kind() {
    let depthwise = Trainable {
        depthwise: true,
        ..Trainable::default()
    };
    for (name, backbone) in operators(true) {
        let trainable = Trainable {
            head: true,
            ..depthwise
        };
        check_gradients(name, &backbone, INPUT, trainable);
        for batch_norm in [BatchNormMode::Batch, BatchNormMode::Frozen] {
            check_gradients(
                name,
                &backbone,
                INPUT,
                Trainable {
                    norm: true,
                    batch_norm,
                    ..trainable
                },
            );
        }
        check_gradients(
            name,
            &backbone,
            INPUT,
            Trainable {
                norm: true,
                ..Trainable::default()
            },
        );
        check_gradients(
            name,
            &backbone,
            INPUT,
            Trainable {
                head: true,
                ..Trainable::default()
            },
        );
    }
}

#[test]
fn finite_differences_of_a_whole_network() {
    check_gradients(
        "all operators",
        &graft_tests::backbone(16, 3),
        Shape::new(16, 16, 3),
        ALL,
    );
}

#[test]
fn frozen_batch_norm_starts_from_the_backbones_own_scores() {
    let trainable = Trainable {
        batch_norm: BatchNormMode::Frozen,
        ..ALL
    };
    let frozen = Trainable {
        head: true,
        ..Trainable::default()
    };
    for (name, backbone) in operators(true) {
        let (network, ..) = setup(&backbone, INPUT, trainable, IMAGES);
        let metadata = backbone.image().metadata().expect("it is readable");
        for (site, values) in network.trained() {
            if let Some(Norm::Batch(norm)) = values.norm {
                let own = metadata.sites[site].batch_norm.as_ref();
                assert_eq!(Some(&norm), own, "{name}: constants stay to the bit");
            }
        }
        let [trained, frozen] = [trainable, frozen].map(|trainable| {
            let (mut network, batch, _) = setup(&backbone, INPUT, trainable, IMAGES);
            network.forward(&batch).to_vec()
        });
        let largest = frozen
            .iter()
            .fold(0.0f32, |most, score| most.max(score.abs()));
        for (trained, frozen) in trained.iter().zip(&frozen) {
            assert!(
                (trained - frozen).abs() <= 1e-5 * largest,
                "{name}: {trained}, not {frozen}"
            );
        }
    }
}

#[test]
fn kernels_agree() {
    let backbone = graft_tests::backbone(24, 3);
    let input = Shape::new(24, 24, 3);
    let run = |name| {
        let (mut network, batch, factors) = setup(&backbone, input, ALL, IMAGES);
        network.use_kernels(name).expect("it is named");
        network.forward(&batch);
        network.backward(&factors);
        gradients(&mut network)
    };
    let mut all = kernel_names(Dtype::F32).into_iter();
    let expected = run(all.next().expect("the reference is always there"));
    for name in all {
        for (expected, found) in expected.iter().zip(run(name)) {
            let largest = expected.iter().fold(0.0f32, |most, g| most.max(g.abs()));
            for (expected, found) in expected.iter().zip(found) {
                assert!(
                    (expected - found).abs() <= 1e-3 * largest,
                    "{name}: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn a_result_does_not_depend_on_threads() {
    let backbone = graft_tests::backbone(24, 3);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads start");
        pool.install(|| {
            let (mut network, batch, factors) = setup(&backbone, Shape::new(24, 24, 3), ALL, 35);
            let mut bits: Vec<u32> = network
                .forward(&batch)
                .iter()
                .map(|x| x.to_bits())
                .collect();
            network.backward(&factors);
            for parameter in network.parameters() {
                bits.extend(parameter.gradient.iter().map(|x| x.to_bits()));
            }
            bits
        })
    };
    let expected = run(1);
    assert!(run(2) == expected && run(5) == expected && run(20) == expected);
}

#[test]
fn frozen_layers_run_as_in_the_runtime() {
    let backbone = graft_tests::backbone(24, 3);
    let patch = Patch::from_bytes(&identity_patch(&backbone, Kinds::HEAD), &backbone)
        .expect("the patch fits");
    let head = backbone.image().head().expect("a head");
    let site = backbone.image().site(head);
    let trainable = Trainable {
        head: true,
        ..Trainable::default()
    };
    let mut network =
        Network::new(&backbone, Shape::new(24, 24, 3), 10, trainable).expect("a head");
    let mut only_head = Network::head(&backbone, 10).expect("a head");
    let mut session = Session::new(&backbone).expect("kernels are there");
    let inputs = Random(5).values(3 * network.input_len(), 1.0);
    for network in [&mut network, &mut only_head] {
        for parameter in network.parameters() {
            match parameter.role {
                Role::Weights => parameter
                    .values
                    .copy_from_slice(backbone.image().weights(&site)),
                Role::Scale | Role::Bias => parameter.values.fill(0.25),
            }
        }
    }
    let scores = network.forward(&inputs).to_vec();
    let last = backbone.image().layer_count() - 1;
    let mut embeddings = Vec::new();
    let (scale, bias) =
        graft_patches::layout::unpack_epilogue(backbone.image().epilogue(&site), 10);
    for (image, scores) in inputs
        .chunks_exact(network.input_len())
        .zip(scores.chunks_exact(10))
    {
        let run = session.run_observed(&patch, Image::Values(image), |layer, values| {
            if layer + 1 == last {
                embeddings.extend(values.to_vec());
            }
        });
        for (c, (&found, &score)) in run.expect("it runs").iter().zip(scores).enumerate() {
            let plain = (found - bias[c]) / scale[c] + 0.25;
            assert!(
                (plain - score).abs() < 1e-4,
                "{score} in training, {plain} in the runtime"
            );
        }
    }
    for (a, b) in only_head.forward(&embeddings).iter().zip(&scores) {
        assert!((a - b).abs() < 1e-4, "{a} from embeddings, {b} from images");
    }
}

#[test]
fn running_statistics_follow_the_batch() {
    let (_, backbone) = operators(true).swap_remove(0);
    let (mut network, batch, _) = setup(&backbone, INPUT, ALL, IMAGES);
    // Batch norm of a constant layer: the mean moves towards it, the variance towards zero.
    let constant = vec![0.5; batch.len()];
    for _ in 0..200 {
        network.forward(&constant);
    }
    let trained = network.trained();
    let Some(graft_runtime::gradient::Norm::Batch(norm)) = &trained[0].1.norm else {
        panic!("raw batch norm")
    };
    let metadata = backbone.image().metadata().expect("metadata");
    let own = metadata.sites[0].bias.as_ref().expect("a bias");
    let weights = graft_patches::layout::unpack_weights(
        backbone.image().weights(&backbone.image().site(0)),
        6,
        3,
        false,
    );
    for c in 0..6 {
        let value: f32 = weights[c * 3..][..3].iter().map(|w| w * 0.5).sum::<f32>() + own[c];
        assert!(
            (norm.mean[c] - value).abs() < 1e-4,
            "mean {}, not {value}",
            norm.mean[c]
        );
        assert!(norm.var[c] < 1e-6, "variance {}", norm.var[c]);
    }
}
