//! Work that is folded past a Q/DQ pair, and constants that QuantizeLinear makes integers of.

use graft_onnx::proto::{DataType, NodeProto, TensorProto};
use graft_patches::geometry::Activation;
use graft_patches::layout::unpack_int8_weights;

use super::model::*;
use super::quantised::{
    INNER, OUTER, W, around, curve, curve_scales, int8, integers, outer, plain, qdq, refused, scale,
};
use crate::import::graph::Op;

/// `c` quantised, an operator behind it, and its output quantised by scale `o`.
fn behind(operator: NodeProto) -> Vec<NodeProto> {
    let mut body = Vec::from(qdq("c", "cd", "c"));
    body.push(operator);
    body.extend(qdq("n", "b", "o"));
    body
}

/// Constants of the operators behind `c`, whose scale is this one.
fn constants(step: f32, zero_point: i32) -> Vec<TensorProto> {
    let mut all = curve_scales();
    all.retain(|tensor| !tensor.name.starts_with("c."));
    all.extend(scale("c", step, zero_point));
    all.push(floats("two", &[], vec![2.0]));
    let each = |name, values: [f32; 4]| floats(name, &[4], values.to_vec());
    all.push(floats("factors", &[4, 1, 1], vec![2.0, 3.0, 0.5, 1.0]));
    all.push(each("gamma", [2.0, -1.0, 0.5, 1.0]));
    all.extend(["beta", "mean", "var"].map(|name| each(name, [1.0; 4])));
    all
}

fn per_channel() -> [NodeProto; 2] {
    let norm = ["cd", "gamma", "beta", "mean", "var"];
    [
        node("Mul", &["cd", "factors"], "n"),
        node("BatchNormalization", &norm, "n"),
    ]
}

#[test]
fn what_saturation_clamps_no_fold_gets_past() {
    for operator in per_channel() {
        // A ReLU, its mirror image, and Clips from -1 to 1, from -1 to 0.5 and from -0.25 to 0.25.
        for (step, zero_point) in [
            (0.125, -128),
            (0.125, 127),
            (2.0 / 255.0, 0),
            (1.5 / 255.0, 42),
            (0.5 / 255.0, -1),
        ] {
            let words = ["n_n", "the quantiser left out"];
            refused(
                behind(operator.clone()),
                constants(step, zero_point),
                &words,
            );
        }
    }
    // With one number for all channels, clamp and number trade places.
    let twice = behind(node("Mul", &["cd", "two"], "n"));
    let imported = run(&around(twice, constants(0.125, -128))).unwrap();
    assert_eq!(summary(&imported.graph), "pw+relu gap fc");
    let Op::Pointwise(weights) = &imported.graph.layers[0].op else {
        panic!("a pointwise convolution");
    };
    assert_eq!(weights.batch_norm.as_ref().unwrap().gamma, [2.0; 4]);
}

#[test]
fn a_fold_past_rounding_is_told() {
    for operator in per_channel() {
        let imported = run(&around(behind(operator), constants(0.12, -100))).unwrap();
        assert_eq!(summary(&imported.graph), "pw gap fc");
        let [note] = imported.notes.as_slice() else {
            panic!("{:?}", imported.notes);
        };
        assert!(note.contains("node \"n_n\" went"), "{note}");
    }
    // Values that are rounded to the same steps again are the same.
    let mut again = behind(node("Relu", &["cd"], "n"));
    for (step, notes) in [("o", 1), ("c", 0)] {
        again.truncate(3);
        again.extend(qdq("n", "b", step));
        let imported = run(&around(again.clone(), constants(0.12, -100))).unwrap();
        assert_eq!(imported.notes.len(), notes, "{:?}", imported.notes);
    }
}

/// The first layer of a hard-swish whose Clip the quantiser dropped: `x * (x + 3)`, quantised from 0 to 6, over 6.
#[test]
fn a_dropped_clip_completes_a_hard_swish() {
    let mut body = Vec::from(qdq("c", "cd", "c"));
    body.push(node("Add", &["cd", "three"], "a"));
    body.extend(qdq("a", "ad", "six"));
    body.push(node("Mul", &["cd", "ad"], "m"));
    body.extend(qdq("m", "md", "m"));
    body.push(node("Div", &["md", "sixth"], "n"));
    body.extend(qdq("n", "b", "o"));
    let mut own = constants(0.125, -20);
    own.extend(scale("six", 6.0 / 255.0, -128));
    own.extend(scale("m", 0.25, -90));
    own.push(floats("three", &[], vec![3.0]));
    own.push(floats("sixth", &[], vec![6.0]));
    let imported = run(&around(body, own)).unwrap();
    assert_eq!(summary(&imported.graph), "pw+hswish gap fc");
    assert_eq!(curve(&imported), [INNER, OUTER]);
    assert!(
        imported.notes[0].contains("1 hard-swishes"),
        "{:?}",
        imported.notes
    );
}

#[test]
fn a_bound_behind_a_dropped_clip_keeps_its_clamp() {
    let mut body = vec![node("Add", &["c", "minus"], "a")];
    body.extend(qdq("a", "ad", "three"));
    body.push(node("Min", &["ad", "one"], "m"));
    body.push(node("Add", &["m", "one"], "n"));
    body.extend(qdq("n", "b", "o"));
    let mut own = constants(0.125, -20);
    // From 0 to 3.
    own.extend(scale("three", 3.0 / 255.0, -128));
    own.push(floats("minus", &[], vec![-1.0]));
    own.push(floats("one", &[], vec![1.0]));
    let imported = run(&around(body, own)).unwrap();
    let clamp = Activation::Clamp { min: 1.0, max: 2.0 };
    assert_eq!(imported.graph.layers[0].activation, clamp);
}

#[test]
fn integers_are_cast_to_their_own_type_only() {
    let body = |to: DataType| {
        vec![
            node("QuantizeLinear", &["c", "c.s", "c.z"], "q"),
            node("Cast", &["q"], "k").int("to", to as i64),
            node("DequantizeLinear", &["k", "c.s", "c.z"], "b"),
        ]
    };
    let imported = run(&around(body(DataType::Int8), vec![])).unwrap();
    assert_eq!(
        outer(&int8(&imported)),
        outer(&int8(&run(&around(plain(), vec![])).unwrap()))
    );
    refused(body(DataType::Uint8), vec![], &["n_k", "other numbers"]);
    let bare = vec![
        node("QuantizeLinear", &["c", "c.s", "c.z"], "q"),
        node("Relu", &["q"], "b"),
    ];
    refused(bare, vec![], &["n_b", "integers", "DequantizeLinear"]);
}

#[test]
fn weights_of_minus_128_become_minus_127_and_are_counted() {
    let mut values = W;
    (values[0], values[3]) = (-128, -128);
    let lowest = integers("w_quantized", &[4, 3, 1, 1], DataType::Int8, &values);
    let imported = run(&around(plain(), vec![lowest])).unwrap();
    assert_eq!(imported.quantized.as_ref().unwrap().lowest, 2);
    let backbone = int8(&imported);
    let site = backbone.image().site(0);
    let image = backbone.image();
    let rows = unpack_int8_weights(image.int8(&site).weights, site.outputs, site.depth, false);
    assert_eq!([rows[0], rows[3]], [-127, -127]);
}

/// Float weights behind QuantizeLinear, as quantisation-aware training exports them.
#[test]
fn float_weights_are_quantised_at_import() {
    let mut model = around(plain(), vec![]);
    let graph = model.graph.as_mut().unwrap();
    // Halves go to the even integer, and what is too large to the largest.
    let mut values: Vec<f32> = W.iter().map(|&byte| byte as f32 * 0.5).collect();
    (values[0], values[1], values[2]) = (1000.0, -2.75, 1.25);
    graph
        .initializer
        .retain(|tensor| !["w_quantized", "w.s"].contains(&tensor.name.as_str()));
    graph.initializer.push(floats("w", &[4, 3, 1, 1], values));
    graph.initializer.push(floats("w.s", &[4], vec![0.5; 4]));
    let quantise = node("QuantizeLinear", &["w", "w.s", "w.z"], "w_quantized").int("axis", 0);
    graph.node.insert(0, quantise);
    let backbone = int8(&run(&model).unwrap());
    let image = backbone.image();
    let site = image.site(0);
    let rows = unpack_int8_weights(image.int8(&site).weights, site.outputs, site.depth, false);
    let mut expected = W.map(|byte| byte as i8);
    (expected[0], expected[1], expected[2]) = (127, -6, 2);
    assert_eq!(rows, expected);
}
