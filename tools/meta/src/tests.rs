//! The network that burn trains, arrays generate and the runtime runs is the same; training learns, and resumes bit for bit.

use burn_tensor::{Device, Tensor};
use graft_runtime::{Backbone, Session};

use crate::classes::{Class, Classes, Content, Image};
use crate::continual::{self, Scenario, Strategy};
use crate::episodes::{Augmentation, Sampler, Setting};
use crate::evaluate::{Accuracy, Method, accuracy};
use crate::learner::{self, Learner, Task};
use crate::run::{Data, Run, RunError, Settings};
use crate::sequence::Sequence;
use crate::tensors::values;
use graft_data::preprocess::{Channels, Filter, Preprocess, Resize};
use patchtool::hyper::convolution::EARLIER;
use patchtool::hyper::network::Generator;
use patchtool::hyper::ops::Ops as _;
use patchtool::hyper::parameter::Precision;
use patchtool::hyper::{Config, Generates, Hyper, Provenance, SupportSet, Target};

const CHANNELS: usize = 4;

fn config(generates: Generates, is_continual: bool) -> Config {
    let target = Target {
        channels: CHANNELS,
        features: CHANNELS,
        side: 28,
    };
    Config {
        transformer_layers: 2,
        ..Config::new(generates, target, is_continual)
    }
}

/// Classes that can be told apart: bars of another place and direction, each image with some noise.
fn classes(count: usize) -> Classes {
    let pixel = |class: usize, image: usize, at: usize| {
        let (row, column) = (at / 28, at % 28);
        let across = if class.is_multiple_of(2) { row } else { column };
        let noise = (at * 31 + image * 17 + class * 7) % 61;
        let bar = across.abs_diff(3 + 2 * class) < 2;
        (if bar { 20 } else { 190 }) + noise as u8
    };
    let image = |class, image| Image {
        file: format!("{image}.png"),
        content: Content::Pixels((0..28 * 28).map(|at| pixel(class, image, at)).collect()),
    };
    let class = |index| Class {
        name: format!("class {index}"),
        images: (0..8).map(|number| image(index, number)).collect(),
    };
    let preprocess = Preprocess {
        height: 28,
        width: 28,
        channels: Channels::Grey,
        resize: Resize::Stretch,
        filter: Filter::Bilinear,
        mean: [255.0; 3],
        std: [255.0; 3],
    };
    Classes::of(preprocess, (0..count).map(class).collect())
}

fn settings(config: Config, tasks: usize, steps: usize) -> Settings {
    let mut setting = Setting::new(3, 2);
    setting.queries = 3;
    Settings {
        config,
        episodes: vec![setting],
        tasks,
        augmentation: Augmentation::default(),
        related: false,
        batch: 2,
        scenario: Scenario::Tasks,
        steps,
        rate: 3e-3,
        seed: 7,
    }
}

fn data(classes: &Classes) -> Data<'_> {
    Data {
        train: classes,
        test: None,
        test_episodes: &[],
        test_tasks: 0,
    }
}

/// A learner after some steps, so that no parameter is at its start.
fn trained(config: Config, tasks: usize, classes: &Classes) -> Learner {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(config, tasks, 12);
    let mut run = Run::new(settings, data(classes), Device::flex()).unwrap();
    run.train(Some(&folder.path().join("checkpoint")), 4, |_, _| {})
        .unwrap();
    run.into_learner()
}

/// The same support set for burn and for the product, and queries.
fn example(classes: &Classes) -> (Task, SupportSet, Vec<Vec<u8>>) {
    let mut setting = Setting::new(3, 2);
    setting.queries = 4;
    let episode = Sampler::new(classes, setting, Augmentation::default(), 5)
        .unwrap()
        .episode(0);
    let pixels = |images: &crate::episodes::Images| -> Vec<Vec<u8>> {
        let places = images.labels.iter().zip(&images.indices);
        places
            .map(|(&label, &index)| {
                match &classes.all()[episode.classes[label].class].images[index].content {
                    Content::Pixels(pixels) => pixels.clone(),
                    Content::Embedding { .. } => panic!("these classes have pixels"),
                }
            })
            .collect()
    };
    let labelled = |images: &crate::episodes::Images| learner::Labelled {
        values: images.values.clone(),
        labels: images.labels.iter().copied().map(Some).collect(),
    };
    let task = Task {
        ids: vec![0, 1, 2],
        support: labelled(&episode.support),
        queries: labelled(&episode.queries),
    };
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let support = SupportSet::new(
        names,
        episode.support.labels.clone(),
        pixels(&episode.support),
    );
    (task, support.unwrap(), pixels(&episode.queries))
}

fn product(learner: &Learner, precision: Precision) -> (Backbone, Hyper) {
    let bytes = learner.backbone("test").unwrap();
    let backbone = Backbone::from_bytes(&bytes).unwrap();
    let hyper = learner
        .hyper(&backbone, precision, Provenance::default())
        .unwrap();
    let hyper = Hyper::from_bytes(&hyper.to_bytes()).unwrap();
    (backbone, hyper)
}

/// Largest difference, relative to the largest expected value.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(1e-3_f32, |most, value| most.max(value.abs()));
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0, |most: f32, (a, b)| most.max((a - b).abs())) / largest
}

#[test]
fn arrays_and_the_runtime_compute_what_burn_does() {
    let classes = classes(8);
    for (generates, precision) in [
        (Generates::All, Precision::F32),
        (Generates::All, Precision::F16),
        (Generates::Prototypes, Precision::F32),
    ] {
        let mut learner = trained(config(generates, false), 1, &classes);
        learner.round(precision);
        let (backbone, hyper) = product(&learner, precision);
        let (task, support, queries) = example(&classes);
        let tensors = learner.frozen();
        let own = learner::support(&tensors, learner.generator().config(), &task);
        let burn = learner.generator().generate(&tensors, &own, None);
        let generated = hyper
            .values("test", "test.hyper", &backbone, &support)
            .unwrap();
        assert!(difference(&generated.head.weights, &values(burn.head_weights.clone())) < 1e-4);
        assert!(difference(&generated.head.bias, &values(burn.head_bias.clone())) < 1e-4);
        for (found, expected) in generated.convolutions.iter().zip(&burn.convolutions) {
            if let Some(weights) = &found.weights {
                assert!(difference(weights, &values(expected.weights.clone())) < 1e-4);
            }
            assert!(difference(&found.scale, &values(expected.scale.clone())) < 1e-4);
            assert!(difference(&found.bias, &values(expected.bias.clone())) < 1e-4);
        }
        let images = learner::images(&tensors, learner.generator().config(), &task.queries);
        let features = Generator::embed(&tensors, &images, &burn.convolutions);
        let scores = values(learner::scores(&tensors, &features, &burn));
        let patch = generated.bind(&backbone).unwrap();
        let mut session = Session::new(&backbone).unwrap();
        for (query, expected) in queries.iter().zip(scores.chunks_exact(3)) {
            let found = session.run(&patch, &query[..]).unwrap();
            assert!(
                difference(found, expected) < 1e-4,
                "{generates:?}: {found:?} {expected:?}"
            );
        }
    }
}

#[test]
fn a_patch_goes_on_learning_as_in_training() {
    let classes = classes(9);
    let learner = trained(config(Generates::All, true), 3, &classes);
    let (backbone, hyper) = product(&learner, Precision::F32);
    let (task, support, _) = example(&classes);
    let second = SupportSet::new(
        ["d", "e", "f"].map(String::from).to_vec(),
        support.classes.clone(),
        support.images.pixels.iter().rev().cloned().collect(),
    )
    .unwrap();
    let length = 28 * 28;
    let mut other = task.clone();
    let images = task.support.values.chunks_exact(length).rev();
    other.support.values = images.flatten().copied().collect();
    let tensors = learner.frozen();
    let tasks = [task, other];
    let learn = |tasks: &[Task], scenario| {
        continual::learn(
            learner.generator(),
            &tensors,
            tasks,
            scenario,
            Strategy::Continual,
        )
    };
    let steps = learn(&tasks, Scenario::Tasks);

    let first = hyper
        .values("test", "test.hyper", &backbone, &support)
        .unwrap();
    let bytes = first
        .compile(&backbone.image(), graft_patches::records::Dtype::F32)
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let bytes = graft_runtime::ImageBytes::read(file.path()).unwrap();
    let previous =
        graft_patches::PatchImage::open(bytes.as_slice(), graft_patches::Verify::Full).unwrap();
    let next = hyper
        .learn("test.hyper", &backbone, &previous, &second)
        .unwrap();
    assert_eq!(next.labels, ["a", "b", "c", "d", "e", "f"]);
    let state = next.continual_state.clone().unwrap();
    assert_eq!((state.counter, state.tasks()), (2, 2));
    for (found, expected) in next.convolutions.iter().zip(&steps[1].values.convolutions) {
        let found = [found.weights.as_ref().unwrap(), &found.scale, &found.bias];
        let expected = [&expected.weights, &expected.scale, &expected.bias];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(difference(found, &values(expected.clone())) < 1e-4);
        }
    }
    let rows: Vec<f32> = steps[1]
        .heads
        .iter()
        .flat_map(|(weights, _)| values(weights.clone()))
        .collect();
    assert!(difference(&next.head.weights, &rows) < 1e-4);

    // Known classes are learned further: prototypes are means over all their examples.
    let again = hyper
        .learn("test.hyper", &backbone, &previous, &support)
        .unwrap();
    assert_eq!(again.labels, ["a", "b", "c"]);
    let state = again.continual_state.clone().unwrap();
    assert_eq!((state.counter, state.classes[0].examples), (2, 4));
    let slices = learn(&[tasks[0].clone(), tasks[0].clone()], Scenario::MiniBatch);
    let [(weights, bias)] = &slices[1].heads[..] else {
        panic!("{} heads", slices[1].heads.len());
    };
    assert!(difference(&again.head.weights, &values(weights.clone())) < 1e-4);
    assert!(difference(&again.head.bias, &values(bias.clone())) < 1e-4);
    let mixed = SupportSet::new(
        ["a", "x", "y"].map(String::from).to_vec(),
        support.classes.clone(),
        support.images.pixels.clone(),
    );
    let error = hyper
        .learn("test.hyper", &backbone, &previous, &mixed.unwrap())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("1 classes are in the patch already, 2 are not"),
        "{error}"
    );
}

#[test]
fn a_continual_generator_keeps_its_share_of_the_patch_before() {
    let classes = classes(9);
    let learner = trained(config(Generates::All, true), 3, &classes);
    let tensors = learner.frozen();
    let (task, _, _) = example(&classes);
    let support = learner::support(&tensors, learner.generator().config(), &task);
    let generate = |before: Option<&[Tensor<2>]>, keep: f32| -> Vec<[Vec<f32>; 3]> {
        for layer in 0..Config::CONVOLUTIONS {
            let name = format!("conv.{layer}.keep");
            tensors.set(&name, [1, CHANNELS], &[keep; CHANNELS]);
        }
        let all = learner.generator().generate(&tensors, &support, before);
        let layers = all.convolutions.into_iter();
        layers
            .map(|layer| [layer.weights, layer.scale, layer.bias].map(values))
            .collect()
    };
    let before: Vec<Tensor<2>> = (0..Config::CONVOLUTIONS)
        .map(|layer| {
            let columns = 9 * if layer == 0 { 1 } else { CHANNELS } + EARLIER;
            let value = |at: usize| match at % columns + EARLIER == columns {
                true => 1.0,
                false => ((at * 29 + layer) % 17) as f32 / 17.0 - 0.4,
            };
            let all: Vec<f32> = (0..CHANNELS * columns).map(value).collect();
            tensors.matrix([CHANNELS, columns], &all)
        })
        .collect();
    let parts = |matrix: &Tensor<2>| {
        let rows = values(matrix.clone());
        let columns = rows.len() / CHANNELS;
        let rows: Vec<&[f32]> = rows.chunks_exact(columns).collect();
        let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Vec<f32>>();
        let weights = rows.iter().flat_map(|row| &row[..columns - EARLIER]);
        [
            weights.copied().collect(),
            column(columns - 2),
            column(columns - 1),
        ]
    };

    let all = generate(Some(&before), 1.0);
    let own = generate(Some(&before), 0.0);
    let half = generate(Some(&before), 0.5);
    for (layer, before) in before.iter().enumerate() {
        for (found, expected) in all[layer].iter().zip(parts(before)) {
            assert!(difference(found, &expected) < 1e-5, "layer {layer}");
        }
    }
    assert!(difference(&own[0][0], &all[0][0]) > 1e-2);
    let middle: Vec<f32> = own[0][0]
        .iter()
        .zip(&all[0][0])
        .map(|(a, b)| (a + b) / 2.0)
        .collect();
    assert!(difference(&half[0][0], &middle) < 1e-5);

    // Where there is no patch yet, there is nothing to keep.
    let unknown: Vec<Tensor<2>> = before
        .iter()
        .map(|matrix| {
            let [_, columns] = matrix.dims();
            let weights = columns - EARLIER;
            let zeros = tensors.matrix([CHANNELS, EARLIER], &[0.0; EARLIER * CHANNELS]);
            tensors.concat_columns(&[tensors.columns(matrix, 0..weights), zeros])
        })
        .collect();
    assert_eq!(generate(Some(&unknown), 1.0), generate(Some(&unknown), 0.0));
}

#[test]
fn a_run_that_diverges_says_so() {
    let classes = classes(8);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(config(Generates::Prototypes, false), 1, 200);
    settings.rate = 1e30;
    let mut run = Run::new(settings, data(&classes), Device::flex()).unwrap();
    let error = run.train(Some(&folder.path().join("checkpoint")), 50, |_, _| {});
    assert!(matches!(error, Err(RunError::Diverged { .. })), "{error:?}");
}

#[test]
fn training_learns_and_a_resumed_run_is_the_same_run() {
    let classes = classes(8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let whole = |steps| {
        let mut settings = settings(config(Generates::All, false), 1, 60);
        settings.steps = steps;
        Run::new(settings, data(&classes), Device::flex()).unwrap()
    };
    let mut run = whole(60);
    run.train(Some(&path), 20, |_, _| {}).unwrap();
    let history = run.history();
    assert!(
        history[2].train.loss < 0.6 * history[0].train.loss,
        "{history:?}"
    );
    let history = history.to_vec();
    let learner = run.into_learner();
    every_method_gives_a_share(&learner, &classes);

    let mut resumed = whole(60);
    resumed.stop_after(25);
    resumed.train(Some(&path), 20, |_, _| {}).unwrap();
    let mut resumed = whole(60);
    resumed.resume(&path).unwrap();
    assert_eq!(resumed.step(), 25);
    resumed.train(Some(&path), 20, |_, _| {}).unwrap();
    assert_eq!(resumed.history(), history);
    assert_eq!(resumed.into_learner().state(), learner.state());
    let error = whole(61).resume(&path).unwrap_err().to_string();
    assert!(error.contains("steps was 60, now 61"), "{error}");
    let others = self::classes(9);
    let mut run = Run::new(whole(60).settings().clone(), data(&others), Device::flex()).unwrap();
    let error = run.resume(&path).unwrap_err().to_string();
    assert!(error.contains("its images are others"), "{error}");
}

fn every_method_gives_a_share(learner: &Learner, classes: &Classes) {
    let (task, ..) = example(classes);
    for method in [Method::Generated, Method::FineTuned] {
        let share = accuracy(learner, &learner.frozen(), &task, method);
        assert!(share > 1.0 / 3.0 && share <= 1.0, "{method:?}: {share}");
    }
}

/// Tasks of three classes each; as slices, they would be of the same classes.
fn tasks(classes: &Classes, scenario: Scenario) -> Vec<Task> {
    let mut setting = Setting::new(3, 2);
    setting.queries = 2;
    let sequence = Sequence {
        setting,
        scenario,
        tasks: 3,
    };
    sequence
        .draw(classes, Augmentation::default(), 20, [3, 1])
        .unwrap()
}

#[test]
fn strategies_are_what_they_are_called() {
    let classes = classes(9);
    let first = |step: &continual::Step| values(step.values.convolutions[0].weights.clone());
    let constant = trained(config(Generates::Prototypes, false), 1, &classes);
    let tensors = constant.frozen();
    let own = tasks(&classes, Scenario::Tasks);
    let steps = |scenario, tasks: &[Task], strategy| {
        continual::learn(constant.generator(), &tensors, tasks, scenario, strategy)
    };
    let fixed = steps(Scenario::Tasks, &own, Strategy::Constant);
    let scale = |step: &continual::Step| values(step.values.convolutions[3].scale.clone());
    assert!(fixed.iter().all(|step| scale(step) == scale(&fixed[0])));
    assert!(
        fixed
            .iter()
            .zip(1..)
            .all(|(step, count)| step.heads.len() == count)
    );
    let generator = constant.generator();
    let [known, _] = continual::accuracies(generator, &tensors, &own, Strategy::Constant);
    assert_eq!(continual::backward_transfer(&known), 0.0);
    let tuned = steps(Scenario::Tasks, &own, Strategy::FineTuned);
    assert_ne!(first(&tuned[0]), first(&fixed[0]));
    assert_ne!(first(&tuned[1]), first(&tuned[0]));

    let learner = trained(config(Generates::All, true), 3, &classes);
    let (generator, tensors) = (learner.generator(), learner.frozen());
    let learn = |scenario, tasks: &[Task], strategy| {
        continual::learn(generator, &tensors, tasks, scenario, strategy)
    };
    let naive = learn(Scenario::Tasks, &own, Strategy::Naive);
    let alone = learn(Scenario::Tasks, &own[2..], Strategy::Naive);
    assert_eq!(first(&naive[2]), first(&alone[0]));
    let onwards = learn(Scenario::Tasks, &own, Strategy::Continual);
    assert_eq!(first(&onwards[0]), first(&naive[0]));
    assert_ne!(first(&onwards[2]), first(&naive[2]));

    let slices = tasks(&classes, Scenario::MiniBatch);
    let merged = learn(Scenario::MiniBatch, &slices, Strategy::Merged);
    let naive = learn(Scenario::MiniBatch, &slices, Strategy::Naive);
    assert_eq!(first(&merged[0]), first(&naive[0]));
    assert_ne!(first(&merged[2]), first(&naive[2]));
    assert!(
        merged
            .iter()
            .chain(&naive)
            .all(|step| step.heads.len() == 1)
    );
    let shares = continual::slice_accuracies(generator, &tensors, &slices, Strategy::Merged);
    assert!(shares.len() == 3 && shares.iter().all(|share| (0.0..=1.0).contains(share)));
}

#[test]
fn intervals_and_backward_transfer_are_those_of_the_formulas() {
    let accuracy = Accuracy::of(&[0.5, 1.0, 0.0, 0.5]);
    assert!((accuracy.mean - 0.5).abs() < 1e-12);
    // Deviation sqrt(0.5 / 3), of the mean half of it.
    assert!((accuracy.interval - 1.96 * (0.5_f64 / 3.0).sqrt() / 2.0).abs() < 1e-12);
    let matrix = [vec![0.9], vec![0.7, 0.8], vec![0.6, 0.9, 1.0]];
    assert!((continual::backward_transfer(&matrix) - (-0.3 + 0.1) / 2.0).abs() < 1e-12);
}
