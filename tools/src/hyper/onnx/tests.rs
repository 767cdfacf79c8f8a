//! Generators with random parameters through tract.

use graft_patches::Digest;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::Parameters;
use crate::hyper::config::{Config, Generates, Target};
use crate::hyper::network::Generator;
use crate::hyper::{Examples, Hyper, Outputs, Precision, Provenance};

const CNN: Target = Target::Cnn {
    channels: 4,
    side: 28,
};
const FROZEN: Target = Target::Frozen { features: 24 };

/// A small generator.
pub(in crate::hyper) fn generator(
    generates: Generates,
    target: Target,
    continual: bool,
) -> Generator {
    Generator::new(&Config {
        max_ways: 6,
        embedding: 8,
        shared: 8,
        transformer_layers: 2,
        ..Config::new(generates, target, continual)
    })
}

pub(in crate::hyper) fn parameters(generator: &Generator) -> Parameters {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let all = generator.parameters().into_iter();
    all.map(|own| (own.name.clone(), own.start(&mut random)))
        .collect()
}

pub(in crate::hyper) fn hyper(generates: Generates, target: Target, continual: bool) -> Hyper {
    let generator = generator(generates, target, continual);
    let id = Digest::of(b"backbone");
    Hyper::new(
        &generator,
        &parameters(&generator),
        Precision::F32,
        id,
        Provenance::default(),
    )
    .unwrap()
}

/// A support set of so many classes; of `labels`, those that are none of them are not known.
fn support(hyper: &Hyper, classes: usize, labels: &[usize]) -> Examples {
    let values = match hyper.config().target {
        Target::Cnn { side, .. } => side * side,
        Target::Frozen { features } => features,
    };
    let image = |index: usize| {
        (0..values).map(move |at| ((at * 37 + index * 911) % 101) as f32 / 101.0 - 1.0)
    };
    Examples {
        images: (0..labels.len()).flat_map(image).collect(),
        labels: labels
            .iter()
            .map(|&label| Some(label).filter(|&label| label < classes))
            .collect(),
        classes,
    }
}

fn start(hyper: &Hyper) -> Vec<Vec<f32>> {
    if !hyper.config().continual {
        return Vec::new();
    }
    let length = |index| if index == 0 { 4 * 9 } else { 4 * 4 * 9 };
    let value = |at| (at % 7) as f32 / 7.0 - 0.4;
    (0..Config::CONVOLUTIONS)
        .map(|index| (0..length(index)).map(value).collect())
        .collect()
}

fn assert_close(found: &Outputs, expected: &Outputs, within: f32) {
    assert!(found.keys().eq(expected.keys()));
    for (name, expected) in expected {
        for (a, b) in found[name].iter().zip(expected) {
            let error = (a - b).abs();
            assert!(error <= within * (1.0 + b.abs()), "{name}: {a} for {b}");
        }
    }
}

#[test]
fn every_kind_of_generator_runs_for_every_number_of_images_and_classes() {
    let cases: [(usize, &[usize]); 4] = [
        (1, &[0]),
        (3, &[2, 0, 1]),
        (2, &[0, 9, 1, 1, 9]),
        (6, &[0, 1, 2, 3, 4, 5]),
    ];
    let kinds = [
        (Generates::Prototypes, CNN, false),
        (Generates::Head, CNN, false),
        (Generates::All, CNN, false),
        (Generates::All, CNN, true),
        (Generates::Prototypes, FROZEN, false),
        (Generates::Head, FROZEN, false),
    ];
    for (generates, target, continual) in kinds {
        let hyper = hyper(generates, target, continual);
        for (classes, labels) in cases {
            let support = support(&hyper, classes, labels);
            let outputs = hyper.generate(&support, &start(&hyper)).unwrap();
            let ports = super::outputs(hyper.config());
            assert_eq!(outputs.len(), ports.len());
            for port in ports {
                let values = &outputs[&port.name];
                let length: usize = port.shape(labels.len(), classes).iter().product();
                assert_eq!(values.len(), length, "{}", port.name);
                assert!(values.iter().all(|value| value.is_finite()));
            }
        }
    }
}

#[test]
fn the_order_of_images_does_not_matter_and_repeating_gives_the_same() {
    let hyper = hyper(Generates::All, CNN, false);
    let straight = support(&hyper, 2, &[0, 1, 9, 1]);
    let mut reversed = straight.clone();
    reversed.labels.reverse();
    let values = straight.images.len() / straight.labels.len();
    let images = straight.images.chunks(values).rev();
    reversed.images = images.flatten().copied().collect();
    let first = hyper.generate(&straight, &[]).unwrap();
    assert_eq!(first, hyper.generate(&straight, &[]).unwrap());
    assert_close(&hyper.generate(&reversed, &[]).unwrap(), &first, 1e-4);
}

#[test]
fn unlabelled_images_matter_to_transformers_and_not_to_prototypes() {
    for (generates, matters) in [(Generates::Prototypes, false), (Generates::Head, true)] {
        let hyper = hyper(generates, FROZEN, false);
        let [without, with] = [&[0, 1][..], &[0, 1, 9, 9]].map(|labels| {
            let outputs = hyper.generate(&support(&hyper, 2, labels), &[]).unwrap();
            outputs["head.weight"].clone()
        });
        let pairs = without.iter().zip(&with);
        let differ = pairs.filter(|(a, b)| (*a - *b).abs() > 1e-4 * b.abs());
        assert_eq!(differ.count() > without.len() / 2, matters);
    }
}

/// Weights `2 c P^T` and bias `-|c|^2` of class means c in the projected space.
#[test]
fn prototypes_are_class_means() {
    let generator = generator(Generates::Prototypes, FROZEN, false);
    let projection = &parameters(&generator)["projection"];
    let hyper = hyper(Generates::Prototypes, FROZEN, false);
    let support = support(&hyper, 2, &[0, 1, 1]);
    let width = Generator::PROJECTION;
    let project = |x: &[f32]| -> Vec<f32> {
        let column = |j| (0..24).map(|i| x[i] * projection[i * width + j]).sum();
        (0..width).map(column).collect()
    };
    let images: Vec<Vec<f32>> = support.images.chunks(24).map(project).collect();
    let second = images[1].iter().zip(&images[2]).map(|(a, b)| (a + b) / 2.0);
    let means = [images[0].clone(), second.collect()];
    let mut expected = Outputs::new();
    let weight = |mean: &Vec<f32>, i: usize| -> f32 {
        let row = &projection[i * width..][..width];
        row.iter().zip(mean).map(|(p, c)| 2.0 * c * p).sum()
    };
    let weights = means
        .iter()
        .flat_map(|mean| (0..24).map(move |i| weight(mean, i)));
    expected.insert("head.weight".into(), weights.collect());
    let bias = means
        .iter()
        .map(|mean| -mean.iter().map(|c| c * c).sum::<f32>());
    expected.insert("head.bias".into(), bias.collect());
    assert_close(&hyper.generate(&support, &[]).unwrap(), &expected, 1e-5);
}
