//! Generators with random parameters, and the operations that are more than a call of a library.

use graft_patches::Digest;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::{Arrays, maps, matrix};
use crate::hyper::config::{Config, Generates, Target};
use crate::hyper::convolution::{Convolution, EARLIER};
use crate::hyper::network::Generator;
use crate::hyper::onnx::{self, Parameters};
use crate::hyper::ops::{Ops as _, Window};
use crate::hyper::{Examples, Hyper, Outputs, Precision, Provenance};

const CNN: Target = Target {
    channels: 4,
    features: 6,
    side: 28,
};

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

/// A support set of `classes` classes; of `labels`, those that are none of them are not known.
fn support(hyper: &Hyper, classes: usize, labels: &[usize]) -> Examples {
    let values = hyper.config().target.side.pow(2);
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
    let length = |[outputs, inputs]: [usize; 2]| outputs * (inputs * 9 + EARLIER);
    let value = |at| (at % 7) as f32 / 7.0 - 0.4;
    let convolutions = hyper.config().target.convolutions().into_iter();
    convolutions
        .map(|shape| (0..length(shape)).map(value).collect())
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
fn every_kind_of_generator_is_read_back_and_runs_for_every_number_of_images_and_classes() {
    let cases: [(usize, &[usize]); 4] = [
        (1, &[0]),
        (3, &[2, 0, 1]),
        (2, &[0, 9, 1, 1, 9]),
        (6, &[0, 1, 2, 3, 4, 5]),
    ];
    let kinds = [
        (Generates::Prototypes, false),
        (Generates::All, false),
        (Generates::Prototypes, true),
        (Generates::All, true),
    ];
    for (generates, continual) in kinds {
        let hyper = hyper(generates, CNN, continual);
        let read = Hyper::from_bytes(&hyper.to_bytes()).unwrap();
        for (classes, labels) in cases {
            let support = support(&hyper, classes, labels);
            let outputs = hyper.generate(&support, &start(&hyper)).unwrap();
            assert_eq!(read.generate(&support, &start(&read)).unwrap(), outputs);
            let ports = onnx::outputs(hyper.config());
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
fn unlabelled_images_matter_to_generated_weights() {
    let hyper = hyper(Generates::All, CNN, false);
    let [without, with] = [&[0, 1][..], &[0, 1, 9, 9]].map(|labels| {
        let outputs = hyper.generate(&support(&hyper, 2, labels), &[]).unwrap();
        outputs["conv.0"].clone()
    });
    let pairs = without.iter().zip(&with);
    let differ = pairs.filter(|(a, b)| (*a - *b).abs() > 1e-4 * b.abs());
    assert!(differ.count() > without.len() / 2);
}

/// Scores tell by how much the squared distance to one class mean is less than that to another, of features.
#[test]
fn the_head_is_class_means() {
    let generator = generator(Generates::All, CNN, false);
    let hyper = hyper(Generates::All, CNN, false);
    let support = support(&hyper, 2, &[0, 1, 1]);
    let outputs = hyper.generate(&support, &[]).unwrap();
    let row = |name: String, columns| {
        let values = &outputs[&name];
        matrix([values.len() / columns, columns], values.clone())
    };
    let convolutions = CNN.convolutions().into_iter().enumerate();
    let convolutions: Vec<Convolution<Arrays>> = convolutions
        .map(|(index, [outputs, inputs])| Convolution {
            weights: row(format!("conv.{index}"), inputs * 9),
            scale: row(format!("scale.{index}"), outputs),
            bias: row(format!("bias.{index}"), outputs),
        })
        .collect();
    let images = maps([3, 1, CNN.side, CNN.side], support.images.clone());
    let features = Generator::embed(&ops(), &images, &convolutions);
    let mean = (&features.row(1) + &features.row(2)) / 2.0;
    let means = [features.row(0).to_owned(), mean];
    let factor = parameters(&generator)["factor"][0];
    for (class, mean) in means.iter().enumerate() {
        let weights = &outputs["head.weight"][class * CNN.features..][..CNN.features];
        for (found, mean) in weights.iter().zip(mean) {
            assert!((found - 2.0 * factor * mean).abs() < 1e-4, "{found} {mean}");
        }
        let bias = -factor * mean.dot(mean);
        assert!((outputs["head.bias"][class] - bias).abs() < 1e-4);
    }
}

/// No parameters, but the operations.
fn ops() -> Arrays {
    Arrays {
        parameters: Default::default(),
    }
}

/// `count` values that differ.
fn values(count: usize) -> Vec<f32> {
    let value = |at: usize| (at * 37 % 101) as f32 / 101.0 - 0.4;
    (0..count).map(value).collect()
}

#[test]
fn convolutions_are_sums_over_windows() {
    let (images, inputs, outputs, height, width) = (2, 3, 4, 7, 6);
    let x = maps(
        [images, inputs, height, width],
        values(images * inputs * height * width),
    );
    for (kernel, stride, padding) in [(3, 1, 1), (3, 2, 1), (3, 2, 0), (1, 1, 0), (2, 3, 0)] {
        let depth = inputs * kernel * kernel;
        let filters = matrix([outputs, depth], values(outputs * depth));
        let window = Window {
            kernel,
            stride,
            padding,
        };
        let found = ops().conv(&x, &filters, window);
        let side = |size: usize| (size + 2 * padding - kernel) / stride + 1;
        assert_eq!(found.dim(), (images, outputs, side(height), side(width)));
        for ((image, output, row, column), &found) in found.indexed_iter() {
            let mut expected = 0.0;
            for at in 0..depth {
                let (input, tap) = (at / (kernel * kernel), at % (kernel * kernel));
                let y = (row * stride + tap / kernel).wrapping_sub(padding);
                let x_at = (column * stride + tap % kernel).wrapping_sub(padding);
                let value = x.get((image, input, y, x_at)).copied().unwrap_or(0.0);
                expected += filters[[output, at]] * value;
            }
            assert!(
                (found - expected).abs() < 1e-5,
                "{window:?}: {found} for {expected}"
            );
        }
    }
}

#[test]
fn pools_leave_out_the_last_row_and_column_of_odd_maps() {
    let x = maps([1, 1, 3, 5], (0..15).map(|value| value as f32).collect());
    let pooled = ops().max_pool(&x);
    assert_eq!(pooled.dim(), (1, 1, 1, 2));
    assert_eq!(pooled.iter().copied().collect::<Vec<f32>>(), [6.0, 8.0]);
}

#[test]
fn what_is_no_number_stays_none() {
    let row = |values: &[f32]| matrix([1, values.len()], values.to_vec());
    let shown = |values: &mut dyn Iterator<Item = f32>| format!("{:?}", values.collect::<Vec<_>>());
    let found = ops().relu(&row(&[f32::NAN, -1.0, 2.0, -f32::INFINITY]));
    assert_eq!(shown(&mut found.iter().copied()), "[NaN, 0.0, 2.0, 0.0]");
    for at in 0..4 {
        let mut values = vec![1.0, -2.0, 3.0, 4.0];
        values[at] = f32::NAN;
        let x = maps([1, 1, 2, 2], values);
        let pooled = ops().max_pool(&x);
        assert_eq!(shown(&mut pooled.iter().copied()), "[NaN]");
        assert!(ops().relu_maps(&x).iter().nth(at).unwrap().is_nan());
    }
}

#[test]
fn statistics_are_those_of_a_channel_over_images_and_pixels() {
    let x = maps([2, 2, 1, 2], vec![1.0, 3.0, 0.0, 0.0, 5.0, 7.0, 0.0, 4.0]);
    let (mean, variance) = ops().statistics(&x);
    assert_eq!(mean, matrix([1, 2], vec![4.0, 1.0]));
    assert_eq!(variance, matrix([1, 2], vec![5.0, 3.0]));
    assert_eq!(ops().mean(&x), matrix([2, 2], vec![2.0, 0.0, 6.0, 2.0]));
}

#[test]
fn rows_are_standardized_and_softmaxes_stay_finite() {
    let rows = ops().standardize(&matrix([1, 4], vec![1.0, 1.0, 3.0, 3.0]), 0.0);
    assert_eq!(rows, matrix([1, 4], vec![-1.0, -1.0, 1.0, 1.0]));
    let shares = ops().softmax(&matrix([2, 2], vec![1000.0, 1000.0, -1000.0, 1000.0]));
    assert_eq!(shares, matrix([2, 2], vec![0.5, 0.5, 0.0, 1.0]));
}
