//! Generated values become patches that compute what the values say, in f32 and in int8.

use crate::bar::Bar;
use graft_patches::layout::unpack_weights;
use graft_patches::records::{Dtype, Kinds, What};
use graft_patches::{ContinualClass, ContinualState, ImageError};
use graft_runtime::{Backbone, Image, Patch, Session};
use graft_tests::Random;

use super::{Convolution, Generated, GeneratedError, Head, SupportSet, prototype, target};
use crate::quantize::{self, Images, Method};

const SIDE: usize = 28;

fn convolutions(channels: usize, seed: u64) -> Vec<Convolution> {
    let mut random = Random(seed);
    let one = |layer| {
        let depth = 9 * if layer == 0 { 1 } else { channels };
        let scale = random.values(channels, 0.3).into_iter();
        Convolution {
            weights: Some(random.values(channels * depth, (6.0 / depth as f32).sqrt())),
            scale: scale.map(|value| 1.0 + value).collect(),
            bias: random.values(channels, 0.2),
        }
    };
    (0..4).map(one).collect()
}

fn backbone(channels: usize) -> Backbone {
    let bytes = target::backbone("target", "a test", SIDE, &convolutions(channels, 1));
    Backbone::from_bytes(&bytes.expect("it fits")).expect("it is valid")
}

fn generated(channels: usize, classes: usize, seed: u64) -> Generated {
    let mut random = Random(seed + 100);
    Generated {
        name: "letters".into(),
        source: Generated::source(5, classes, 0, "test.hyper"),
        convolutions: convolutions(channels, seed),
        head: Head {
            weights: random.values(classes * channels, 1.0),
            bias: random.values(classes, 0.5),
        },
        labels: (0..classes)
            .map(|class| format!("letter {class}"))
            .collect(),
        continual_state: None,
    }
}

/// Random strokes on paper.
fn images(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    let mut image = || {
        let mut pixels = vec![255; SIDE * SIDE];
        for _ in 0..4 {
            let mut at = [0; 2].map(|_: i32| 14.0 + 12.0 * random.value());
            let step = [0; 2].map(|_: i32| random.value());
            for _ in 0..20 {
                let [row, column] = at.map(|x| (x as usize).min(SIDE - 1));
                pixels[row * SIDE + column] = 0;
                at = [at[0] + step[0], at[1] + step[1]];
            }
        }
        pixels
    };
    (0..count).map(|_| image()).collect()
}

/// The target CNN written down plainly, channels first.
fn expected(values: &Generated, pixels: &[u8]) -> Vec<f32> {
    let mut side = SIDE;
    let mut maps = vec![
        pixels
            .iter()
            .map(|&x| (f32::from(x) - 255.0) / 255.0)
            .collect::<Vec<_>>(),
    ];
    for layer in &values.convolutions {
        let weights = layer.weights.as_ref().expect("it is generated");
        let inputs = maps.len();
        let sum = |output: usize, row: usize, column: usize| -> f32 {
            let mut sum = 0.0;
            for (input, map) in maps.iter().enumerate() {
                for (ky, kx) in (0..9).map(|tap| (tap / 3, tap % 3)) {
                    let (y, x) = ((row + ky).wrapping_sub(1), (column + kx).wrapping_sub(1));
                    if y < side && x < side {
                        sum += weights[(output * inputs + input) * 9 + ky * 3 + kx]
                            * map[y * side + x];
                    }
                }
            }
            (layer.scale[output] * sum + layer.bias[output]).max(0.0)
        };
        let half = side / 2;
        let pooled = |output: usize| -> Vec<f32> {
            let most = |at: usize| {
                let (row, column) = (2 * (at / half), 2 * (at % half));
                let window = [(0, 0), (0, 1), (1, 0), (1, 1)];
                window
                    .map(|(y, x)| sum(output, row + y, column + x))
                    .into_iter()
                    .fold(0.0, f32::max)
            };
            (0..half * half).map(most).collect()
        };
        maps = (0..layer.scale.len()).map(pooled).collect();
        side = half;
    }
    let features: Vec<f32> = maps.concat();
    let rows = values.head.weights.chunks_exact(features.len());
    rows.zip(&values.head.bias)
        .map(|(row, bias)| bias + row.iter().zip(&features).map(|(w, x)| w * x).sum::<f32>())
        .collect()
}

fn greatest(scores: &[f32]) -> usize {
    let order = |a: &usize, b: &usize| scores[*a].total_cmp(&scores[*b]);
    (0..scores.len()).max_by(order).expect("there are some")
}

#[test]
fn a_generated_patch_computes_the_target_cnn() {
    for channels in [4, 8, 17] {
        let backbone = backbone(channels);
        let values = generated(channels, 5, 7);
        let patch = values.bind(&backbone).expect("it fits");
        assert_eq!(patch.receipt().kinds, Kinds::GENERATED);
        let mut session = Session::new(&backbone).expect("kernels are there");
        for pixels in images(4, 3) {
            let found = session.run(&patch, &pixels).expect("it runs");
            for (found, expected) in found.iter().zip(expected(&values, &pixels)) {
                let error = (found - expected).abs();
                assert!(
                    error <= 1e-4 * expected.abs().max(1.0),
                    "{channels}: {found}, {expected}"
                );
            }
        }
    }
}

#[test]
fn a_target_is_a_backbone_with_room_for_many_tasks() {
    let own = backbone(8);
    let image = own.image();
    let metadata = image.metadata().expect("it has metadata");
    assert_eq!((image.layer_count(), image.site_count()), (9, 5));
    assert_eq!(metadata.layers.len(), 9);
    assert_eq!(metadata.sites.len(), 5);
    assert_eq!(metadata.resize.to_string(), "stretch:bilinear");
    let mut session = Session::new(&own).expect("kernels are there");
    let scores = session
        .run(&own.identity(), &images(1, 1)[0])
        .expect("it runs");
    assert_eq!(scores, [0.0]);
    assert!(generated(8, target::MAX_CLASSES, 2).bind(&own).is_ok());
    let error = generated(8, target::MAX_CLASSES + 1, 2)
        .bind(&own)
        .expect_err("too many");
    let GeneratedError::Runtime(graft_runtime::Error::Image(error)) = error else {
        panic!("{error}");
    };
    assert!(
        matches!(error, ImageError::TooManyClasses { .. }),
        "{error}"
    );
    // 32 pixels leave more than one: the head cannot read them.
    assert!(target::backbone("target", "a test", 32, &convolutions(8, 1)).is_err());
}

#[test]
fn kinds_follow_from_what_is_generated() {
    let backbone = backbone(8);
    let mut values = generated(8, 3, 5);
    values.continual_state = Some(ContinualState {
        counter: 2,
        classes: [0, 1, 1]
            .map(|task| ContinualClass { task, examples: 1 })
            .to_vec(),
    });
    for convolution in &mut values.convolutions {
        convolution.weights = None;
    }
    let patch = values.bind(&backbone).expect("it fits");
    assert_eq!(patch.receipt().kinds, Kinds::BN.with(Kinds::HEAD));
    let image = patch.image().expect("it has a file");
    let metadata = image.metadata().expect("it has metadata");
    assert_eq!(image.continual_state(), Ok(values.continual_state.clone()));
    assert_eq!(metadata.labels, values.labels);
    assert_eq!(
        metadata.source,
        "generated from 5 images of 3 classes by test.hyper"
    );
    assert_eq!(metadata.resize.to_string(), "stretch:bilinear");
    values.convolutions.clear();
    let patch = values.bind(&backbone).expect("it fits");
    assert_eq!(patch.receipt().kinds, Kinds::HEAD);
    let half = values
        .compile(&backbone.image(), Dtype::F16)
        .expect("it fits");
    assert!(Patch::from_bytes(&half, &backbone).is_ok());
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let backbone = backbone(8);
    let refused = |change: &dyn Fn(&mut Generated)| {
        let mut values = generated(8, 3, 5);
        change(&mut values);
        values
            .bind(&backbone)
            .expect_err("it does not fit")
            .to_string()
    };
    let weights = |values: &mut Generated| values.convolutions[1].weights.take().expect("some");
    for (change, words) in [
        (
            &(|v: &mut Generated| drop(v.convolutions.pop())) as &dyn Fn(&mut Generated),
            "3 convolutions",
        ),
        (&|v| v.convolutions[2].scale.truncate(7), "7 scales"),
        (&|v| v.convolutions[2].bias.push(0.0), "9 biases"),
        (
            &|v| v.convolutions[1].weights = Some(weights(v)[1..].to_vec()),
            "575 weights of a convolution",
        ),
        (
            &|v| v.convolutions[3].bias[1] = f32::NAN,
            "site 3: generated NaN",
        ),
        (
            &|v| v.head.weights[5] = f32::INFINITY,
            "site 4: generated inf",
        ),
        (&|v| v.head.weights.truncate(8), "8 weights of the head"),
        (&|v| drop(v.labels.pop()), "3 biases of classes, expected 2"),
        (
            &|v| {
                *v = Generated {
                    labels: vec![],
                    head: Head::default(),
                    ..v.clone()
                }
            },
            "0 biases",
        ),
    ] {
        let error = refused(change);
        assert!(error.contains(words), "{words}: {error}");
    }
    let headless = graft_tests::without_head();
    let error = generated(8, 3, 5)
        .bind(&headless)
        .expect_err("it has no head");
    assert!(matches!(error, GeneratedError::NoHead), "{error}");
}

/// The int8 twin of a target CNN, as `patchtool quantize` makes it.
fn twin(float: &Backbone) -> Backbone {
    let images = Images::new(images(20, 11)).expect("there are some");
    let settings = quantize::Settings {
        method: Method::default(),
        keep_means: true,
    };
    let twin = quantize::backbone(float, &images, settings, &Bar::hidden());
    Backbone::from_bytes(&twin.expect("it can be quantised").bytes).expect("it is valid")
}

#[test]
fn int8_is_near_f32() {
    for (channels, dtype) in [
        (4, Dtype::I8),
        (8, Dtype::I8),
        (8, Dtype::I8Half),
        (32, Dtype::I8),
    ] {
        let float = backbone(channels);
        let int8 = twin(&float);
        let values = generated(channels, 20, 9);
        let support = Images::new(images(5, 21)).expect("there are some");
        let quantized = values.quantize(&int8, &support, dtype).expect("it fits");
        let patches = [
            values.bind(&float).expect("it fits"),
            Patch::from_bytes(&quantized.bytes, &int8).expect("it fits"),
        ];
        assert_eq!(patches[1].receipt().kinds, Kinds::GENERATED);
        assert_eq!(patches[1].image().expect("it has a file").dtype(), dtype);
        let mut sessions = [&float, &int8].map(|own| Session::new(own).expect("kernels are there"));
        let (mut signal, mut noise, mut same) = (0.0, 0.0, 0);
        let queries = images(40, 31);
        for pixels in &queries {
            let [found, near] = [0, 1].map(|at| {
                sessions[at]
                    .run(&patches[at], pixels)
                    .expect("it runs")
                    .to_vec()
            });
            same += usize::from(greatest(&found) == greatest(&near));
            for (a, b) in found.iter().zip(&near) {
                signal += f64::from(a * a);
                noise += f64::from((a - b) * (a - b));
            }
        }
        let ratio = 10.0 * (signal / noise).log10();
        println!("{channels} channels, {dtype}: {ratio:.1} dB, {same} of 40 the same");
        assert!(ratio > 20.0, "{channels} channels, {dtype}: {ratio} dB");
        assert!(
            same >= 34,
            "{channels} channels, {dtype}: {same} of 40 are the same"
        );
    }
}

#[test]
fn every_set_of_kernels_has_the_same_int8_scores() {
    let int8 = twin(&backbone(8));
    let support = Images::new(images(5, 21)).expect("there are some");
    let patch = generated(8, 5, 9)
        .quantize(&int8, &support, Dtype::I8)
        .expect("it fits");
    let patch = Patch::from_bytes(&patch.bytes, &int8).expect("it fits");
    let mut session = Session::new(&int8).expect("kernels are there");
    for pixels in images(4, 5) {
        session.use_kernels("reference").expect("always there");
        let expected = session.run(&patch, &pixels).expect("it runs").to_vec();
        for name in graft_runtime::kernel_names(Dtype::I8) {
            session.use_kernels(name).expect("it is named");
            assert_eq!(
                session.run(&patch, &pixels).expect("it runs"),
                expected,
                "{name}"
            );
        }
    }
}

fn support(count: usize, each: usize) -> SupportSet {
    let labels = (0..count).map(|class| format!("letter {class}")).collect();
    let classes = (0..count * each).map(|image| image % count).collect();
    SupportSet::new(labels, classes, images(count * each, 41)).expect("it is whole")
}

#[test]
fn the_nearest_class_mean_has_the_greatest_score() {
    let float = backbone(16);
    for (own, each) in [(&float, 1), (&float, 3), (&twin(&float), 3)] {
        let support = support(4, each);
        let values = prototype::generate("letters", own, &support).expect("it fits");
        let queries = images(20, 51);
        let [learnt, asked] = [&support.images.pixels, &queries]
            .map(|images| prototype::features(own, &own.identity(), images).expect("it runs"));
        let means = prototype::means(&learnt, &support.classes, 4);
        let rows = values.head.weights.chunks_exact(16).zip(&values.head.bias);
        let scores = |features: &[f32]| -> Vec<f32> {
            let dot = |row: &[f32]| row.iter().zip(features).map(|(w, x)| w * x).sum::<f32>();
            rows.clone().map(|(row, bias)| dot(row) + bias).collect()
        };
        // How much better a class scores at its own mean than another there, over all pairs.
        let margins = (0..16).filter(|pair| pair / 4 != pair % 4).map(|pair| {
            let scores = scores(&means[pair / 4]);
            scores[pair / 4] - scores[pair % 4]
        });
        let apart = margins.sum::<f32>() / 12.0;
        assert!((apart - 4.0).abs() < 1e-3, "{apart}");
        for features in &asked {
            let scores = scores(features);
            let distance = |mean: &Vec<f32>| {
                let off = mean.iter().zip(features).map(|(m, x)| (m - x) * (m - x));
                -off.sum::<f32>()
            };
            let near: Vec<f32> = means.iter().map(distance).collect();
            let margin = near[greatest(&near)] - near[greatest(&scores)];
            assert!(margin <= 1e-4, "{margin}");
        }
    }
}

#[test]
fn features_are_what_the_head_reads() {
    let own = backbone(8);
    let values = generated(8, 3, 5);
    let patch = values.bind(&own).expect("it fits");
    let queries = images(9, 3);
    let features = prototype::features(&own, &patch, &queries).expect("it runs");
    let image = patch.image().expect("it has a file");
    let head = image.find(4, What::Weights).expect("it has a head");
    let rows = unpack_weights(&head.values.to_vec(), 3, 8, false);
    let mut session = Session::new(&own).expect("kernels are there");
    for (features, pixels) in features.iter().zip(&queries) {
        let scores = session.run(&patch, Image::Pixels(pixels)).expect("it runs");
        for (class, row) in rows.chunks_exact(8).enumerate() {
            let dot: f32 = row.iter().zip(features).map(|(w, x)| w * x).sum();
            let expected = dot + values.head.bias[class];
            assert!((scores[class] - expected).abs() < 1e-4);
        }
    }
    let error = prototype::features(&own, &patch, &[vec![0; 9]]).expect_err("too small");
    assert!(matches!(error, GeneratedError::Runtime(_)), "{error}");
}

#[test]
fn a_support_set_is_whole_or_refused() {
    let labels = || vec![String::from("a"), String::from("b")];
    let refused = |classes: Vec<usize>, count| {
        let error = SupportSet::new(labels(), classes, images(count, 1));
        error.expect_err("it is not whole").to_string()
    };
    assert_eq!(refused(vec![0, 0], 2), "class \"b\" has no image");
    assert_eq!(
        refused(vec![0, 1, 2], 3),
        "an image of class 2, there are 2"
    );
    assert_eq!(refused(vec![0, 1], 3), "2 classes for 3 images");
    let none = SupportSet::new(vec![], vec![], vec![]).expect_err("nothing");
    assert_eq!(none.to_string(), "no image to calibrate with");
    assert!(SupportSet::new(labels(), vec![1, 0, 1], images(3, 1)).is_ok());
    // One class is enough.
    let one = support(1, 2);
    assert!(
        prototype::generate("one", &backbone(4), &one)
            .expect("it fits")
            .bind(&backbone(4))
            .is_ok()
    );
}
