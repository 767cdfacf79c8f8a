//! Affine maps that no layer before can take: in the weights of the layer behind, or as a layer. Scores beside those of the
//! plain computation.

use graft_onnx::proto::{NodeProto, TensorProto};
use graft_patches::metadata::BackboneMetadata;
use graft_runtime::{Backbone, Session};

use super::model::*;
use crate::import::compile::{Settings, compile};
use crate::import::graph::Graph;

const SIDE: usize = 8;
const MEAN: f32 = 127.0;
const STD: f32 = 64.0;

/// One plane of pixels for each channel.
type Planes = Vec<Vec<f32>>;

/// Values of both signs that differ from each other.
fn mixed(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7 + 3) % 11) as f32 / 8.0 - 0.6)
        .collect()
}

fn pixels() -> Vec<u8> {
    (0..SIDE * SIDE * 3).map(|i| (i * 89 % 251) as u8).collect()
}

fn image() -> Planes {
    let channel = |c| pixels().into_iter().skip(c).step_by(3);
    (0..3)
        .map(|c| channel(c).map(|p| (f32::from(p) - MEAN) / STD).collect())
        .collect()
}

fn scores(graph: &Graph) -> Vec<f32> {
    let settings = Settings {
        mean: [MEAN; 4],
        std: [STD; 4],
        max_classes: 10,
        metadata: BackboneMetadata::default(),
    };
    let backbone = Backbone::from_bytes(&compile(graph, settings).unwrap()).unwrap();
    let mut session = Session::new(&backbone).unwrap();
    session
        .run(&backbone.identity(), &pixels())
        .unwrap()
        .to_vec()
}

/// A convolution of `kernel` x `kernel` with this many zeros around the input.
fn convolve(input: &Planes, weights: &[f32], groups: usize, kernel: usize, pad: usize) -> Planes {
    let depth = input.len() / groups;
    let outputs = weights.len() / (depth * kernel * kernel);
    let size = SIDE + 2 * pad + 1 - kernel;
    let at = |channel: usize, row: usize, column: usize| {
        let row = row.checked_sub(pad).filter(|&row| row < SIDE)?;
        let column = column.checked_sub(pad).filter(|&column| column < SIDE)?;
        Some(input[channel][row * SIDE + column])
    };
    let value = |output: usize, row: usize, column: usize| {
        let first = output * groups / outputs * depth;
        let mut sum = 0.0;
        for input in 0..depth {
            for tap in 0..kernel * kernel {
                let (down, across) = (tap / kernel, tap % kernel);
                let weight = weights[(output * depth + input) * kernel * kernel + tap];
                sum += weight * at(first + input, row + down, column + across).unwrap_or(0.0);
            }
        }
        sum
    };
    let plane = |output| {
        (0..size * size)
            .map(move |i| value(output, i / size, i % size))
            .collect()
    };
    (0..outputs).map(plane).collect()
}

/// `relu(c) * scale + shift`, of the first convolution of [`around`].
fn mapped() -> Planes {
    let (scale, shift) = (scale(), shift());
    let planes = convolve(&image(), &mixed(12), 1, 1, 0)
        .into_iter()
        .enumerate();
    let map = |(c, plane): (usize, Vec<f32>)| {
        let each = plane.into_iter();
        each.map(|value| value.max(0.0) * scale[c] + shift[c])
            .collect()
    };
    planes.map(map).collect()
}

fn scale() -> Vec<f32> {
    vec![0.5, -1.5, 2.0, 0.25]
}

fn shift() -> Vec<f32> {
    vec![1.0, 0.5, -2.0, 0.75]
}

/// Means, then the classifier of [`around`].
fn classify(planes: &Planes) -> Vec<f32> {
    let means = planes
        .iter()
        .map(|plane| plane.iter().sum::<f32>() / plane.len() as f32);
    let means: Vec<f32> = means.collect();
    let row = |class: usize| {
        (0..4)
            .map(|c| means[c] * ramp(40)[c * 10 + class])
            .sum::<f32>()
    };
    (0..10).map(|class| row(class) + ramp(10)[class]).collect()
}

/// Imports the map and what is behind it, from `m` to `b`.
fn import(behind: Vec<NodeProto>, more: Vec<TensorProto>) -> Graph {
    let mut nodes = vec![
        node("Relu", &["c"], "r"),
        node("Mul", &["r", "scale"], "s"),
        node("Add", &["s", "shift"], "m"),
    ];
    nodes.extend(behind);
    let mut model = around_with(nodes, more);
    let constants = &mut model.graph.as_mut().unwrap().initializer;
    constants.extend([
        floats("scale", &[1, 4, 1, 1], scale()),
        floats("shift", &[4, 1, 1], shift()),
    ]);
    let first = constants.iter_mut().find(|tensor| tensor.name == "w");
    first.unwrap().float_data = mixed(12);
    run(&model).unwrap().graph
}

#[track_caller]
fn check(graph: &Graph, layers: &str, expected: &Planes) {
    assert_eq!(summary(graph), layers);
    let (found, expected) = (scores(graph), classify(expected));
    for (found, expected) in found.iter().zip(&expected) {
        let difference = (found - expected).abs();
        assert!(
            difference < 1e-4 * expected.abs().max(1.0),
            "{found} {expected}"
        );
    }
}

#[test]
fn a_map_before_a_convolution_moves_into_its_weights() {
    let conv = |group| node("Conv", &["m", "k"], "b").int("group", group);
    let dense = || vec![floats("k", &[4, 4, 3, 3], mixed(144))];
    let expected = convolve(&mapped(), &mixed(144), 1, 3, 0);
    check(
        &import(vec![conv(1)], dense()),
        "pw+relu conv gap fc",
        &expected,
    );
    let point = vec![floats("k", &[4, 4, 1, 1], mixed(16))];
    let expected = convolve(&mapped(), &mixed(16), 1, 1, 0);
    check(
        &import(vec![conv(1)], point),
        "pw+relu pw gap fc",
        &expected,
    );
    let depthwise = vec![floats("k", &[4, 1, 3, 3], mixed(36))];
    let expected = convolve(&mapped(), &mixed(36), 4, 3, 0);
    check(
        &import(vec![conv(4)], depthwise),
        "pw+relu dw gap fc",
        &expected,
    );
}

#[test]
fn a_map_before_padding_is_a_layer() {
    // The zeros are not shifted: at the borders the weights and bias of the convolution cannot do it.
    let conv = |group| {
        node("Conv", &["m", "k"], "b")
            .int("group", group)
            .ints("pads", &[1; 4])
    };
    let dense = || vec![floats("k", &[4, 4, 3, 3], mixed(144))];
    let expected = convolve(&mapped(), &mixed(144), 1, 3, 1);
    let graph = import(vec![conv(1)], dense());
    check(&graph, "pw+relu dw conv gap fc", &expected);
    assert_eq!(graph.layers[1].name, "n_m");
    let pad = vec![
        node("Pad", &["m", "p"], "q"),
        node("Conv", &["q", "k"], "b"),
    ];
    let more = [dense(), vec![ints("p", &[0, 0, 1, 1, 0, 0, 1, 1])]].concat();
    check(&import(pad, more), "pw+relu dw conv gap fc", &expected);
    // A factor leaves them as they are.
    let mut model = around_with(
        vec![
            node("Relu", &["c"], "r"),
            node("Mul", &["r", "v"], "m"),
            conv(1),
        ],
        dense(),
    );
    let graph = run(&model).unwrap().graph;
    assert_eq!(summary(&graph), "pw+relu conv gap fc");
    let weights = weights(&graph.layers[1].op);
    let factor = |i: usize| ramp(4)[i / 9 % 4];
    let expected = mixed(144).into_iter().enumerate();
    assert_eq!(
        weights.values,
        expected.map(|(i, w)| w * factor(i)).collect::<Vec<_>>()
    );
    // Where others read the map, it is a layer for all of them.
    let nodes = &mut model.graph.as_mut().unwrap().node;
    nodes.retain(|node| node.output[0] != "b");
    nodes.insert(3, node("Add", &["m", "m"], "b"));
    assert_eq!(
        summary(&run(&model).unwrap().graph),
        "pw+relu dw add gap fc"
    );
}

#[test]
fn means_hand_a_map_on_to_the_classifier() {
    let graph = import(vec![node("Identity", &["m"], "b")], vec![]);
    check(&graph, "pw+relu gap fc", &mapped());
    let fc = weights(&graph.layers[2].op);
    assert_eq!(fc.values[..4], [0.0625, -1.5 * 1.375, 5.25, 0.25 * 3.875]);
    let bias = 0.125 + 0.125 + 0.5 * 1.375 - 2.0 * 2.625 + 0.75 * 3.875;
    assert!((fc.bias.as_ref().unwrap()[0] - bias).abs() < 1e-6);
    // The greatest of some values is the greatest of their images only where no factor is below zero.
    let pool = || node("MaxPool", &["m"], "b").ints("kernel_shape", &[1, 1]);
    check(
        &import(vec![pool()], vec![]),
        "pw+relu dw max gap fc",
        &mapped(),
    );
    let average = node("AveragePool", &["m"], "b").ints("kernel_shape", &[1, 1]);
    check(
        &import(vec![average], vec![]),
        "pw+relu avg gap fc",
        &mapped(),
    );
}

#[test]
fn batch_norm_and_activation_become_a_layer() {
    // A residual network that normalises first: both the shortcut and the batch norm read the sum.
    let norm =
        node("BatchNormalization", &["c", "g", "h", "zeros", "ones"], "n").float("epsilon", 0.0);
    let nodes = vec![
        norm,
        node("Relu", &["n"], "r"),
        node("Add", &["r", "c"], "b"),
    ];
    let more = vec![
        floats("g", &[4], scale()),
        floats("h", &[4], shift()),
        floats("zeros", &[4], vec![0.0; 4]),
        floats("ones", &[4], vec![1.0; 4]),
    ];
    let mut model = around_with(nodes, more);
    let constants = &mut model.graph.as_mut().unwrap().initializer;
    constants[0].float_data = mixed(12);
    let graph = run(&model).unwrap().graph;
    let plain = convolve(&image(), &mixed(12), 1, 1, 0)
        .into_iter()
        .enumerate();
    let sum = |(c, plane): (usize, Vec<f32>)| {
        let each = plane.into_iter();
        each.map(|x| (x * scale()[c] + shift()[c]).max(0.0) + x)
            .collect()
    };
    check(&graph, "pw dw+relu add gap fc", &plain.map(sum).collect());
}
