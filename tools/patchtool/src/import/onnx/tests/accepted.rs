//! The layers that supported nodes and patterns become.

use std::path::Path;

use graft_onnx::proto::{DataLocation, DataType, NodeProto, StringStringEntryProto};
use graft_patches::geometry::{Padding, Shape, Window};

use super::model::*;
use crate::import::graph::Op;
use crate::import::onnx::{InputAffine, import, load};

fn conv(input: &str, output: &str) -> NodeProto {
    node("Conv", &[input, "w3"], output).int("group", 4)
}

fn op<const N: usize>(op: &str, inputs: [&str; N], output: &str) -> NodeProto {
    node(op, &inputs, output)
}

/// Checks the layers between the first convolution and the classifier.
#[track_caller]
fn check(body: Vec<NodeProto>, expected: &str) {
    check_with(body, vec![], expected);
}

#[track_caller]
fn check_with(body: Vec<NodeProto>, more: Vec<graft_onnx::proto::TensorProto>, expected: &str) {
    let imported = run(&around_with(body, more)).unwrap();
    assert_eq!(summary(&imported.graph), format!("pw{expected} gap fc"));
}

#[test]
fn activations_fuse_into_the_layer_before() {
    check(vec![op("Relu", ["c"], "b")], "+relu");
    check(vec![op("Clip", ["c", "zero", "six"], "b")], "+relu6");
    check(vec![op("Clip", ["c", "", "six"], "b")], "+clamp(-inf,6)");
    let old = op("Clip", ["c"], "b").float("min", 0.0).float("max", 6.0);
    check(vec![old], "+relu6");
    check(vec![op("HardSwish", ["c"], "b")], "+hswish");
    check(vec![op("HardSigmoid", ["c"], "b")], "+hsigmoid(0.20,0.5)");
    check(
        vec![
            op("Relu", ["c"], "r"),
            op("Clip", ["r", "zero", "six"], "b"),
        ],
        "+relu6",
    );
    check(
        vec![
            op("Identity", ["c"], "i"),
            op("Dropout", ["i"], "d"),
            op("Relu", ["d"], "b"),
        ],
        "+relu",
    );
    check(
        vec![op("Add", ["c", "three"], "a"), op("Relu", ["a"], "b")],
        "+relu",
    );
}

#[test]
fn spelled_out_activations_fuse() {
    let plus = || op("Add", ["c", "three"], "p");
    let clip = || op("Clip", ["p", "zero", "six"], "q");
    check(
        vec![plus(), clip(), op("Div", ["q", "six"], "b")],
        "+hsigmoid(0.17,0.5)",
    );
    for gate in [["c", "q"], ["q", "c"]] {
        check(
            vec![
                plus(),
                clip(),
                op("Mul", gate, "m"),
                op("Div", ["m", "six"], "b"),
            ],
            "+hswish",
        );
        check(
            vec![
                plus(),
                clip(),
                op("Mul", gate, "m"),
                op("Mul", ["sixth", "m"], "b"),
            ],
            "+hswish",
        );
    }
    check(
        vec![
            plus(),
            clip(),
            op("Div", ["q", "six"], "g"),
            op("Mul", ["c", "g"], "b"),
        ],
        "+hswish",
    );
    let sigmoid = op("HardSigmoid", ["c"], "g").float("alpha", 1.0 / 6.0);
    check(vec![sigmoid, op("Mul", ["c", "g"], "b")], "+hswish");
}

#[test]
fn convolutions_are_told_apart() {
    let padded = |pads: &[i64]| conv("c", "b").ints("pads", pads);
    check(vec![padded(&[1, 1, 1, 1])], " dw");
    check(vec![conv("c", "b").text("auto_pad", "SAME_UPPER")], " dw");
    check(vec![conv("c", "b").text("auto_pad", "VALID")], " dw");
    let dense = floats("k", &[4, 4, 3, 3], ramp(144));
    check_with(vec![op("Conv", ["c", "k"], "b")], vec![dense], " conv");
    let point = floats("k", &[4, 4, 1, 1], ramp(16));
    check_with(
        vec![op("Conv", ["c", "k"], "b")],
        vec![point.clone()],
        " pw",
    );
    let strided = op("Conv", ["c", "k"], "b").ints("strides", &[2, 2]);
    check_with(vec![strided], vec![point], " conv");
}

#[test]
fn pools_and_means_are_told_apart() {
    let pool = |op_type: &str| {
        op(op_type, ["c"], "b")
            .ints("kernel_shape", &[2, 2])
            .ints("strides", &[2, 2])
    };
    check(vec![pool("AveragePool")], " avg");
    check(vec![pool("MaxPool").int("ceil_mode", 1)], " max");
    let padded = || {
        op("AveragePool", ["c"], "b")
            .ints("kernel_shape", &[3, 3])
            .ints("pads", &[1, 1, 1, 1])
    };
    check(vec![padded()], " avg");
    check(vec![padded().int("count_include_pad", 1)], " avg-counted");
    check(
        vec![op("AveragePool", ["c"], "b").ints("kernel_shape", &[8, 8])],
        " gap",
    );
    for axes in [[2, 3], [-1, -2]] {
        check(
            vec![op("ReduceMean", ["c"], "b").ints("axes", &axes)],
            " gap",
        );
        let input = vec![ints("axes", &axes)];
        check_with(vec![op("ReduceMean", ["c", "axes"], "b")], input, " gap");
    }
}

#[test]
fn two_activations_make_a_layer() {
    check(
        vec![
            op("Relu", ["c"], "r"),
            conv("r", "d").ints("pads", &[1; 4]),
            op("Add", ["d", "r"], "b"),
        ],
        "+relu dw add",
    );
    check(
        vec![op("Add", ["c", "c"], "a"), op("Relu", ["a"], "b")],
        " add+relu",
    );
    for operands in [["c", "g"], ["g", "c"]] {
        let body = vec![
            op("GlobalAveragePool", ["c"], "g"),
            op("Mul", operands, "b"),
        ];
        let graph = run(&around(body)).unwrap().graph;
        assert_eq!(summary(&graph), "pw gap mul gap fc");
        assert_eq!(
            graph.layers[2].inputs,
            [1, 2],
            "the broadcast operand comes second"
        );
    }
}

#[test]
fn batch_norm_stays_raw() {
    let norm = |input: &str, output: &str| {
        op(
            "BatchNormalization",
            [input, "v4", "v4", "v4", "v4"],
            output,
        )
    };
    let more = || {
        vec![
            floats("v4", &[4], ramp(4)),
            floats("bias", &[4], vec![1.0; 4]),
        ]
    };
    let body = vec![
        op("Add", ["c", "v"], "a"),
        norm("a", "n").float("epsilon", 0.5),
        op("Relu", ["n"], "b"),
    ];
    let graph = run(&around_with(body, more())).unwrap().graph;
    let weights = weights(&graph.layers[0].op);
    let norm_found = weights.batch_norm.as_ref().unwrap();
    assert_eq!((&norm_found.name[..], norm_found.epsilon), ("n_n", 0.5));
    assert_eq!(norm_found.gamma, ramp(4));
    assert_eq!(weights.bias, Some(ramp(4)));
    assert_eq!((&weights.name[..], &graph.layers[0].name[..]), ("w", "n_c"));
}

#[test]
fn scales_without_a_batch_norm_become_one() {
    let body = vec![op("Mul", ["c", "v"], "m"), op("Add", ["m", "v"], "b")];
    let graph = run(&around(body)).unwrap().graph;
    let norm = weights(&graph.layers[0].op).batch_norm.clone().unwrap();
    assert_eq!((norm.gamma, norm.beta), (ramp(4), ramp(4)));
    assert_eq!(
        (norm.mean, norm.var, norm.epsilon),
        (vec![0.0; 4], vec![1.0; 4], 0.0)
    );
}

#[test]
fn zero_padding_moves_into_the_window() {
    let pad = |output: &str| op("Pad", ["c", "p"], output);
    let more = || vec![ints("p", &[0, 0, 0, 0, 0, 0, 1, 1])];
    let body = vec![
        pad("q"),
        conv("q", "b")
            .ints("strides", &[2, 2])
            .ints("pads", &[1, 0, 0, 0]),
    ];
    let graph = run(&around_with(body, more())).unwrap().graph;
    let Op::Depthwise(window, _) = graph.layers[1].op else {
        panic!("{:?}", graph.layers[1].op)
    };
    let padding = Padding::Explicit {
        top: 1,
        left: 0,
        bottom: 1,
        right: 1,
    };
    assert_eq!(
        window,
        Window {
            kernel: [3, 3],
            stride: [2, 2],
            padding
        }
    );
    let pool = op("AveragePool", ["q"], "b").ints("kernel_shape", &[3, 3]);
    check_with(vec![pad("q"), pool], more(), " avg-counted");
}

#[test]
fn linear_layers_become_rows() {
    let more = || {
        vec![
            floats("m", &[4, 2], ramp(8)),
            floats("b2", &[2], vec![1.0, 2.0]),
        ]
    };
    let head = |nodes: Vec<NodeProto>| {
        let mut all = vec![
            op("Conv", ["x", "w"], "c"),
            op("ReduceMean", ["c"], "g")
                .ints("axes", &[2, 3])
                .int("keepdims", 0),
        ];
        all.extend(nodes);
        let mut constants = more();
        constants.push(floats("w", &[4, 3, 1, 1], ramp(12)));
        run(&model(&[-1, 3, 8, 8], all, constants)).unwrap()
    };
    let plain = head(vec![op("Gemm", ["g", "m", "b2"], "y")]);
    let split = head(vec![
        op("MatMul", ["g", "m"], "mm"),
        op("Add", ["b2", "mm"], "y"),
    ]);
    for imported in [plain, split] {
        let weights = weights(&imported.graph.layers[2].op);
        let [a, b, c, d] = [0.125, 0.25, 0.375, 0.5];
        assert_eq!(weights.values, [a, c, 0.625, 0.875, b, d, 0.75, 1.0]);
        assert_eq!(weights.bias, Some(vec![1.0, 2.0]));
    }
    let softmax = head(vec![
        op("MatMul", ["g", "m"], "mm"),
        op("Softmax", ["mm"], "s"),
        op("Identity", ["s"], "y"),
    ]);
    assert_eq!(summary(&softmax.graph), "pw gap fc");
    assert!(softmax.notes[0].contains("logits"), "{:?}", softmax.notes);
}

#[test]
fn shape_arithmetic_is_evaluated() {
    let more = || vec![ints("zero1", &[0]), ints("one1", &[-1])];
    let shape = vec![
        op("GlobalAveragePool", ["c"], "g"),
        op("Shape", ["g"], "s"),
        op("Gather", ["s", "zero1"], "batch"),
        op("Concat", ["batch", "one1"], "to"),
        op("Reshape", ["g", "to"], "r"),
        op("Unsqueeze", ["r", "back"], "b"),
    ];
    let mut constants = more();
    constants.push(ints("back", &[2, 3]));
    check_with(shape, constants, " gap");
    // A shape that nothing at import can know is taken for the row that it must be.
    let unknown = vec![
        op("GlobalAveragePool", ["c"], "g"),
        op("NonZero", ["zero1"], "to"),
        op("Reshape", ["g", "to"], "r"),
        op("Unsqueeze", ["r", "back"], "b"),
    ];
    let mut constants = more();
    constants.push(ints("back", &[2, 3]));
    check_with(unknown, constants, " gap");
}

#[test]
fn a_layout_change_moves_nothing() {
    let to_front = op("Transpose", ["x"], "t").ints("perm", &[0, 3, 1, 2]);
    let mut model_ = around(vec![op("Relu", ["c"], "b")]);
    let graph = model_.graph.as_mut().unwrap();
    graph.node[0].input[0] = "t".to_owned();
    graph.node.insert(0, to_front);
    graph.input = model(&[1, 8, 6, 3], vec![], vec![]).graph.unwrap().input;
    let imported = run(&model_).unwrap();
    assert_eq!(summary(&imported.graph), "pw+relu gap fc");
    assert_eq!(imported.graph.tensors[0], Shape::new(8, 6, 3));
}

#[test]
fn preprocessing_is_handed_back() {
    let mut model_ = around(vec![op("Relu", ["c"], "b")]);
    let graph = model_.graph.as_mut().unwrap();
    graph.node[0].input[0] = "d".to_owned();
    graph.node.insert(0, op("Sub", ["x", "mean"], "s"));
    graph.node.insert(1, op("Div", ["s", "std"], "d"));
    graph
        .initializer
        .push(floats("mean", &[3, 1, 1], vec![1.0, 2.0, 3.0]));
    graph.initializer.push(floats("std", &[], vec![2.0]));
    let found = run(&model_).unwrap().input_affine;
    let expected = InputAffine {
        scale: vec![0.5; 3],
        offset: vec![-0.5, -1.0, -1.5],
    };
    assert_eq!(found, Some(expected));
}

#[test]
fn the_resolution_can_be_chosen() {
    let mut dynamic = around(vec![op("Relu", ["c"], "b")]);
    for image in [[-1, 3, -1, -1], [1, 3, 8, 8]] {
        dynamic.graph.as_mut().unwrap().input = model(&image, vec![], vec![]).graph.unwrap().input;
        let graph = import(&dynamic, Path::new(""), Some([5, 7])).unwrap().graph;
        assert_eq!(graph.tensors[1], Shape::new(5, 7, 4));
    }
}

#[test]
fn unsorted_and_nameless_nodes_are_read() {
    let mut model = around(vec![op("Relu", ["c"], "b")]);
    let graph = model.graph.as_mut().unwrap();
    graph.node.reverse();
    graph
        .node
        .iter_mut()
        .for_each(|node| "same".clone_into(&mut node.name));
    let names: Vec<String> = run(&model)
        .unwrap()
        .graph
        .layers
        .into_iter()
        .map(|l| l.name)
        .collect();
    assert_eq!(names, ["same", "same_2", "same_3"]);
    let mut model = around(vec![op("Relu", ["c"], "b")]);
    model.graph.as_mut().unwrap().node[0].name.clear();
    assert_eq!(run(&model).unwrap().graph.layers[0].name, "c");
}

#[test]
fn other_float_types_convert() {
    let mut model = around(vec![op("Relu", ["c"], "b")]);
    let w = &mut model.graph.as_mut().unwrap().initializer[0];
    w.data_type = DataType::Float16 as i32;
    w.raw_data = [0x3C00u16; 12]
        .iter()
        .flat_map(|half| half.to_le_bytes())
        .collect();
    let graph = run(&model).unwrap().graph;
    assert_eq!(weights(&graph.layers[0].op).values, [1.0; 12]);
}

#[test]
fn external_data_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = around(vec![op("Relu", ["c"], "b")]);
    let w = &mut model.graph.as_mut().unwrap().initializer[0];
    w.float_data.clear();
    w.data_location = Some(DataLocation::External as i32);
    let entry = |key: &str, value: &str| StringStringEntryProto {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    w.external_data = vec![
        entry("location", "w.bin"),
        entry("offset", "4"),
        entry("length", "48"),
    ];
    let error = import(&model, folder.path(), None).unwrap_err().to_string();
    assert!(
        error.contains("w.bin") && error.contains("missing"),
        "{error}"
    );
    std::fs::write(folder.path().join("w.bin"), [0u8; 20]).unwrap();
    assert!(import(&model, folder.path(), None).is_err(), "too short");
    let bytes: Vec<u8> = (0..13).flat_map(|i| (i as f32).to_le_bytes()).collect();
    std::fs::write(folder.path().join("w.bin"), bytes).unwrap();
    let graph = import(&model, folder.path(), None).unwrap().graph;
    assert_eq!(weights(&graph.layers[0].op).values[..3], [1.0, 2.0, 3.0]);
}

#[test]
fn files_that_are_no_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.onnx");
    assert!(load(folder.path(), None).is_err());
    assert!(load(&file, None).is_err());
    for bytes in [
        &b""[..],
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PK\x03\x04",
        &[0xff; 64],
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = load(&file, None).unwrap_err();
        assert!(
            error.to_string().contains("is not an ONNX model"),
            "{error}"
        );
    }
}
