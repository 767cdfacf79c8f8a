//! Other spellings of what the runtime computes, as exporters write them.

use graft_onnx::proto::{DataType, ModelProto, NodeProto, TensorProto};
use graft_patches::geometry::{Padding, Shape, Window};

use super::model::*;
use crate::import::graph::Op;
use crate::import::onnx::{Ending, InputAffine};

/// Checks the layers between the first convolution and the classifier.
#[track_caller]
fn check(body: Vec<NodeProto>, more: Vec<TensorProto>, expected: &str) {
    let imported = run(&around_with(body, more)).unwrap();
    assert_eq!(summary(&imported.graph), format!("pw{expected} gap fc"));
}

#[test]
fn constants_that_bound() {
    let one = |op: &str, inputs: &[&str]| vec![node(op, inputs, "b")];
    for operands in [["c", "zero"], ["zero", "c"]] {
        check(one("Max", &operands), vec![], "+relu");
        let both = vec![node("Max", &operands, "m"), node("Min", &["six", "m"], "b")];
        check(both, vec![], "+relu6");
        let both = vec![
            node("Min", &["c", "six"], "m"),
            node("Max", &["m", "zero"], "b"),
        ];
        check(both, vec![], "+relu6");
    }
    check(one("Max", &["c"]), vec![], "");
    check(one("Min", &["c", "three", "six"]), vec![], "+clamp(-inf,3)");
    let zeros = || vec![floats("zeros", &[4, 1, 1], vec![0.0; 4])];
    check(one("Max", &["zeros", "c"]), zeros(), "+relu");
    let swish = vec![
        node("Add", &["c", "three"], "p"),
        node("Max", &["p", "zero"], "q"),
        node("Min", &["q", "six"], "r"),
        node("Mul", &["c", "r"], "s"),
        node("Div", &["s", "six"], "b"),
    ];
    check(swish, vec![], "+hswish");
}

#[test]
fn clamps_behind_a_maximum_pool_move_before_it() {
    let pool = |from: &str, to: &str| {
        node("MaxPool", &[from], to)
            .ints("kernel_shape", &[2, 2])
            .ints("strides", &[2, 2])
    };
    check(
        vec![pool("c", "p"), node("Relu", &["p"], "b")],
        vec![],
        "+relu max",
    );
    let twice = vec![
        node("Relu", &["c"], "r"),
        pool("r", "p"),
        pool("p", "q"),
        node("Clip", &["q", "", "six"], "b"),
    ];
    check(twice, vec![], "+relu6 max max");
}

#[test]
fn sums_of_any_number() {
    let sum = |inputs: &[&str]| {
        vec![
            node("Conv", &["c", "w3"], "d")
                .int("group", 4)
                .ints("pads", &[1; 4]),
            node("Sum", inputs, "b"),
        ]
    };
    check(vec![node("Sum", &["c"], "b")], vec![], "");
    check(vec![node("Sum", &["c", "v"], "b")], vec![], "");
    check(sum(&["c", "d"]), vec![], " dw add");
    check(sum(&["c", "d", "d"]), vec![], " dw add add");
    let imported = run(&around(sum(&["v", "d", "c"]))).unwrap();
    assert_eq!(summary(&imported.graph), "pw dw add gap fc");
    assert_eq!(weights(&imported.graph.layers[1].op).bias, Some(ramp(4)));
}

#[test]
fn means_over_one_axis_after_the_other() {
    for (first, keeps_first, second) in [
        (3, 0, 2),
        (3, 0, -1),
        (2, 0, 2),
        (2, 0, -1),
        (-1, 1, 2),
        (-2, 1, 3),
        (3, 1, -2),
    ] {
        for keeps_second in [0, 1] {
            let mean = |from: &str, to: &str, axis: i64, keeps: i64| {
                node("ReduceMean", &[from], to)
                    .ints("axes", &[axis])
                    .int("keepdims", keeps)
            };
            let body = vec![
                mean("c", "m", first, keeps_first),
                mean("m", "n", second, keeps_second),
                node("Reshape", &["n", "as image"], "b"),
            ];
            check(body, vec![ints("as image", &[1, 4, 1, 1])], " gap");
        }
    }
    let given = vec![
        node("Transpose", &["c"], "t").ints("perm", &[0, 2, 3, 1]),
        node("ReduceMean", &["t", "rows"], "m").int("keepdims", 0),
        node("Identity", &["m"], "i"),
        node("ReduceMean", &["i", "columns"], "n"),
        node("Reshape", &["n", "as image"], "b"),
    ];
    let more = vec![
        ints("rows", &[1]),
        ints("columns", &[-2]),
        ints("as image", &[1, 4, 1, 1]),
    ];
    check(given, more, " gap");
}

#[test]
fn padding_with_the_odd_row_in_front() {
    let window = |nodes: Vec<NodeProto>, more: Vec<TensorProto>| {
        let graph = run(&around_with(nodes, more)).unwrap().graph;
        let (Op::Depthwise(window, _) | Op::MaxPool(window)) = &graph.layers[1].op else {
            panic!("{:?}", graph.layers[1].op)
        };
        *window
    };
    let lower = |node: NodeProto| node.text("auto_pad", "SAME_LOWER").ints("strides", &[2, 2]);
    let explicit = |top, left, bottom, right| Window {
        kernel: [3, 3],
        stride: [2, 2],
        padding: Padding::Explicit {
            top,
            left,
            bottom,
            right,
        },
    };
    let conv = |from: &str| lower(node("Conv", &[from, "w3"], "b").int("group", 4));
    assert_eq!(window(vec![conv("c")], vec![]), explicit(1, 1, 0, 0));
    let pool = lower(node("MaxPool", &["c"], "b").ints("kernel_shape", &[3, 3]));
    assert_eq!(window(vec![pool], vec![]), explicit(1, 1, 0, 0));
    // Nine rows in all want one in front and one behind.
    let pad = || node("Pad", &["c", "p"], "q");
    let more = || vec![ints("p", &[0, 0, 1, 0, 0, 0, 0, 0])];
    let found = window(vec![pad(), conv("q")], more());
    assert_eq!(found, explicit(2, 1, 1, 0));
    let upper = node("Conv", &["q", "w3"], "b").int("group", 4);
    let upper = upper
        .text("auto_pad", "SAME_UPPER")
        .ints("strides", &[2, 2]);
    assert_eq!(window(vec![pad(), upper], more()), explicit(2, 0, 1, 1));
}

/// A classifier behind a global average pool of the image.
fn head(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> crate::import::onnx::Imported {
    let mut all = vec![
        node("GlobalAveragePool", &["x"], "p"),
        node("Flatten", &["p"], "f"),
    ];
    all.extend(nodes);
    run(&model(&[1, 3, 8, 8], all, constants)).unwrap()
}

#[test]
fn factors_of_gemm() {
    let constants = || {
        vec![
            floats("m", &[3, 2], ramp(6)),
            floats("bias", &[2], vec![1.0, 2.0]),
            ints("column", &[3, 1]),
        ]
    };
    let factors = |node: NodeProto| node.float("alpha", 0.5).float("beta", 3.0);
    let gemm = factors(node("Gemm", &["f", "m", "bias"], "y"));
    let turned = factors(node("Gemm", &["t", "m", "bias"], "y").int("transA", 1));
    for nodes in [
        vec![gemm],
        vec![node("Reshape", &["f", "column"], "t"), turned],
    ] {
        let imported = head(nodes, constants());
        let found = weights(&imported.graph.layers[1].op);
        assert_eq!(found.values, [0.0625, 0.1875, 0.3125, 0.125, 0.25, 0.375]);
        assert_eq!(found.bias, Some(vec![3.0, 6.0]));
    }
}

#[test]
fn the_function_of_the_scores_is_left_out() {
    for (op, ending, more) in [
        ("Softmax", Ending::Softmax, ""),
        ("LogSoftmax", Ending::LogSoftmax, ""),
        (
            "Sigmoid",
            Ending::Sigmoid,
            "; of several, `patchtool run` shows the softmax",
        ),
    ] {
        let nodes = vec![node("MatMul", &["f", "m"], "s"), node(op, &["s"], "y")];
        let imported = head(nodes, vec![floats("m", &[3, 2], ramp(6))]);
        assert_eq!(summary(&imported.graph), "gap fc");
        assert_eq!(imported.ending, Some(ending));
        let note = format!("the trailing {op} \"n_y\" was left out: scores are logits{more}");
        assert_eq!(imported.notes, [note]);
    }
    let both = vec![
        node("GlobalAveragePool", &["x"], "p"),
        node("Flatten", &["p"], "f"),
        node("MatMul", &["f", "m"], "s"),
        node("Sigmoid", &["s"], "t"),
        node("Softmax", &["t"], "y"),
    ];
    let constants = vec![floats("m", &[3, 2], ramp(6))];
    let error = run(&model(&[1, 3, 8, 8], both, constants))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Sigmoid") && error.contains("last operator"),
        "{error}"
    );
    let gate = vec![
        node("GlobalAveragePool", &["c"], "g"),
        node("Sigmoid", &["g"], "s"),
        node("Mul", &["c", "s"], "b"),
    ];
    let error = run(&around(gate)).unwrap_err().to_string();
    assert!(
        error.contains("Sigmoid") && error.contains("last operator"),
        "{error}"
    );
}

/// `around` with these nodes from the image to `i`, which the first convolution reads.
fn before(image: &[i64], nodes: Vec<NodeProto>, more: Vec<TensorProto>) -> ModelProto {
    let mut all = around_with(vec![node("Relu", &["c"], "b")], more);
    let graph = all.graph.as_mut().unwrap();
    graph.node[0].input[0] = "i".to_owned();
    graph.node.splice(0..0, nodes);
    graph.input = model(image, vec![], vec![]).graph.unwrap().input;
    all
}

#[test]
fn one_channel_is_moved_by_a_reshape() {
    let nodes = vec![
        node("Pad", &["x", "p"], "q"),
        node("Reshape", &["q", "to front"], "r"),
        node("Conv", &["r", "grey"], "s").ints("strides", &[2, 2]),
        node("Reshape", &["s", "to back"], "t"),
        node("Transpose", &["t"], "u").ints("perm", &[0, 3, 1, 2]),
        node("Conv", &["u", "spread"], "i"),
    ];
    let more = vec![
        ints("p", &[0, 0, 0, 0, 0, 1, 1, 0]),
        ints("to front", &[-1, 1, 9, 7]),
        ints("to back", &[-1, 4, 3, 1]),
        floats("grey", &[1, 1, 3, 3], ramp(9)),
        floats("spread", &[3, 1, 1, 1], ramp(3)),
    ];
    let graph = run(&before(&[-1, 8, 6, 1], nodes, more)).unwrap().graph;
    assert_eq!(summary(&graph), "conv pw pw+relu gap fc");
    assert_eq!(
        graph.tensors[..2],
        [Shape::new(8, 6, 1), Shape::new(4, 3, 1)]
    );
}

#[test]
fn bytes_become_floats_first() {
    let nodes = vec![
        node("Transpose", &["x"], "t").ints("perm", &[0, 3, 1, 2]),
        node("Cast", &["t"], "f").int("to", 1),
        node("Div", &["f", "six"], "i"),
    ];
    let mut model = before(&[1, 8, 6, 3], nodes, vec![]);
    let graph = model.graph.as_mut().unwrap();
    let tensor = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut();
    tensor.unwrap().elem_type = DataType::Uint8 as i32;
    let imported = run(&model).unwrap();
    assert!(imported.reads_bytes);
    assert_eq!(summary(&imported.graph), "pw+relu gap fc");
    let expected = InputAffine {
        scale: vec![1.0 / 6.0; 3],
        offset: vec![0.0; 3],
    };
    assert_eq!(imported.input_affine, Some(expected));
}
