//! Arithmetic on constants and shapes: the values that it gives, and the node that is named where it cannot be followed.

use graft_onnx::proto::{DataType, NodeProto, TensorProto};
use graft_patches::geometry::{Padding, Window};

use super::model::*;
use crate::import::graph::Op;

/// The values that nodes compute from `k` and more constants, as the bias of the first convolution: four, named `a`.
#[track_caller]
fn bias(mut nodes: Vec<NodeProto>, k: TensorProto, mut more: Vec<TensorProto>) -> Vec<f32> {
    nodes.push(node("Reshape", &["a", "as bias"], "bias"));
    nodes.push(node("Add", &["c", "bias"], "b"));
    more.extend([k, ints("as bias", &[1, 4, 1, 1])]);
    let imported = run(&around_with(nodes, more)).unwrap();
    weights(&imported.graph.layers[0].op).bias.clone().unwrap()
}

fn vector(values: [f32; 4]) -> TensorProto {
    floats("k", &[4], values.to_vec())
}

#[test]
fn functions_of_one_value() {
    let k = [-1.5, 0.25, 2.5, 4.0];
    for (op, expected) in [
        ("Neg", [1.5, -0.25, -2.5, -4.0]),
        ("Abs", [1.5, 0.25, 2.5, 4.0]),
        ("Sign", [-1.0, 1.0, 1.0, 1.0]),
        ("Relu", [0.0, 0.25, 2.5, 4.0]),
        ("Ceil", [-1.0, 1.0, 3.0, 4.0]),
        ("Floor", [-2.0, 0.0, 2.0, 4.0]),
        ("Round", [-2.0, 0.0, 2.0, 4.0]),
        ("Reciprocal", [-1.0 / 1.5, 4.0, 0.4, 0.25]),
    ] {
        let found = bias(vec![node(op, &["k"], "a")], vector(k), vec![]);
        assert_eq!(found, expected, "{op}");
    }
    let found = bias(
        vec![node("Sqrt", &["k"], "a")],
        vector([0.0, 1.0, 4.0, 6.25]),
        vec![],
    );
    assert_eq!(found, [0.0, 1.0, 2.0, 2.5]);
}

#[test]
fn functions_of_two_values_broadcast() {
    let k = [-1.5, 0.25, 2.5, 4.0];
    let two = || floats("two", &[1], vec![2.0]);
    for (op, expected) in [
        ("Add", [0.5, 2.25, 4.5, 6.0]),
        ("Sub", [-3.5, -1.75, 0.5, 2.0]),
        ("Mul", [-3.0, 0.5, 5.0, 8.0]),
        ("Div", [-0.75, 0.125, 1.25, 2.0]),
        ("Max", [2.0, 2.0, 2.5, 4.0]),
        ("Min", [-1.5, 0.25, 2.0, 2.0]),
        ("Pow", [2.25, 0.0625, 6.25, 16.0]),
    ] {
        let found = bias(vec![node(op, &["k", "two"], "a")], vector(k), vec![two()]);
        assert_eq!(found, expected, "{op}");
    }
    let nodes = vec![node("Clip", &["k", "", "two"], "a")];
    assert_eq!(bias(nodes, vector(k), vec![two()]), [-1.5, 0.25, 2.0, 2.0]);
    let nodes = vec![node("Sum", &["k", "two", "k"], "a")];
    assert_eq!(bias(nodes, vector(k), vec![two()]), [-1.0, 2.5, 7.0, 10.0]);
    let nodes = vec![
        node("Less", &["k", "two"], "is"),
        node("Where", &["is", "two", "k"], "a"),
    ];
    assert_eq!(bias(nodes, vector(k), vec![two()]), [2.0, 2.0, 2.5, 4.0]);
    // One row and one column make all pairs.
    let nodes = vec![node("Add", &["k", "row"], "a")];
    let column = floats("k", &[2, 1], vec![10.0, 20.0]);
    let row = floats("row", &[2], vec![1.0, 2.0]);
    assert_eq!(bias(nodes, column, vec![row]), [11.0, 12.0, 21.0, 22.0]);
}

#[test]
fn integers_follow_their_own_rules() {
    let float = |from: &str| node("Cast", &[from], "a").int("to", 1);
    let three = || ints("three", &[3]);
    let k = || ints("k", &[-7, -1, 4, 8]);
    for (found, expected) in [
        (node("Div", &["k", "three"], "i"), [-2.0, 0.0, 1.0, 2.0]),
        (node("Mod", &["k", "three"], "i"), [2.0, 2.0, 1.0, 2.0]),
        (
            node("Mod", &["k", "three"], "i").int("fmod", 1),
            [-1.0, -1.0, 1.0, 2.0],
        ),
        (node("Max", &["k", "three"], "i"), [3.0, 3.0, 4.0, 8.0]),
        (
            node("Clip", &["k", "", "three"], "i"),
            [-7.0, -1.0, 3.0, 3.0],
        ),
        (node("Equal", &["k", "three"], "i"), [0.0; 4]),
    ] {
        let op = found.op_type.clone();
        assert_eq!(
            bias(vec![found, float("i")], k(), vec![three()]),
            expected,
            "{op}"
        );
    }
    // To the integer nearest to zero.
    let nodes = vec![node("Cast", &["k"], "i").int("to", 7), float("i")];
    assert_eq!(
        bias(nodes, vector([-1.5, 0.9, 2.5, 4.0]), vec![]),
        [-1.0, 0.0, 2.0, 4.0]
    );
}

#[test]
fn values_are_picked_and_put_together() {
    let k = || floats("k", &[2, 2], vec![1.0, 2.0, 3.0, 4.0]);
    let gather = node("Gather", &["k", "at"], "a").int("axis", 1);
    let at = || vec![ints("at", &[-1, 0])];
    assert_eq!(bias(vec![gather], k(), at()), [2.0, 1.0, 4.0, 3.0]);
    let old = node("Slice", &["k"], "s")
        .ints("starts", &[1])
        .ints("ends", &[2])
        .ints("axes", &[0]);
    let nodes = vec![old, node("Concat", &["s", "s"], "a").int("axis", 0)];
    assert_eq!(bias(nodes, k(), vec![]), [3.0, 4.0, 3.0, 4.0]);
    let nodes = vec![
        node("Transpose", &["k"], "t"),
        node("Slice", &["t", "zero i", "one i", "one i"], "s"),
        node("Slice", &["k", "one i", "two i", "one i"], "r"),
        node("Concat", &["s", "r"], "a").int("axis", -1),
    ];
    let more = vec![
        ints("zero i", &[0]),
        ints("one i", &[1]),
        ints("two i", &[2]),
    ];
    assert_eq!(bias(nodes, k(), more), [1.0, 2.0, 2.0, 4.0]);
    let nodes = vec![
        node("ReduceSum", &["k", "axes"], "s").int("keepdims", 0),
        node("ReduceMean", &["k"], "m")
            .ints("axes", &[1])
            .int("keepdims", 0),
        node("Concat", &["s", "m"], "a").int("axis", 0),
    ];
    assert_eq!(
        bias(nodes, k(), vec![ints("axes", &[0])]),
        [4.0, 6.0, 1.5, 3.5]
    );
    let nodes = vec![
        node("Range", &["start", "limit", "step"], "i"),
        node("Cast", &["i"], "a").int("to", 1),
    ];
    let more = vec![
        ints("start", &[9]),
        ints("limit", &[-2]),
        ints("step", &[-3]),
    ];
    let four = bias(nodes, k(), more);
    assert_eq!(four, [9.0, 6.0, 3.0, 0.0]);
}

#[test]
fn quantised_constants_are_rounded() {
    let zero = TensorProto {
        data_type: DataType::Uint8 as i32,
        int32_data: vec![3],
        int64_data: vec![],
        ..ints("z", &[0])
    };
    let nodes = vec![
        node("QuantizeLinear", &["k", "s", "z"], "q"),
        node("DequantizeLinear", &["q", "s", "z"], "a"),
    ];
    let more = vec![
        floats("s", &[], vec![0.5]),
        TensorProto {
            dims: vec![],
            ..zero
        },
    ];
    // Half a step goes to the even neighbour; below -3 and above 252 steps there is nothing.
    let found = bias(nodes, vector([-9.0, 0.25, 0.8, 200.0]), more);
    assert_eq!(found, [-1.5, 0.0, 1.0, 126.0]);
}

/// The padding of TensorFlow, as timm's networks compute it in the graph: `(ceil(size / 2) - 1) * 2 + 3 - size`, at least
/// zero, with the smaller half in front.
fn same_padding(first: NodeProto) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let nodes = vec![
        first,
        node("Gather", &["size", "three i"], "width"),
        node("Cast", &["width"], "w0").int("to", 1),
        node("Div", &["w0", "stride"], "w1"),
        node("Ceil", &["w1"], "w2"),
        node("Sub", &["w2", "one"], "w4"),
        node("Mul", &["w4", "stride"], "w5"),
        node("Add", &["w5", "three"], "w6"),
        node("Sub", &["w6", "w0"], "w7"),
        node("Clip", &["w7", "zero"], "w8"),
        node("Cast", &["w8"], "all").int("to", 7),
        node("Div", &["all", "two i"], "before"),
        node("Sub", &["all", "before"], "after"),
        node(
            "Concat",
            &["none", "before", "before", "none", "after", "after"],
            "pads",
        )
        .int("axis", 0),
        node("Pad", &["c", "pads"], "p"),
        node("Conv", &["p", "w3"], "b")
            .int("group", 4)
            .ints("strides", &[2, 2]),
    ];
    let more = vec![
        ints("three i", &[3]),
        ints("two i", &[2]),
        ints("none", &[0, 0]),
        floats("one", &[], vec![1.0]),
        floats("stride", &[], vec![2.0]),
    ];
    (nodes, more)
}

#[test]
fn padding_that_the_graph_computes() {
    let (nodes, more) = same_padding(node("Shape", &["c"], "size"));
    let graph = run(&around_with(nodes, more)).unwrap().graph;
    let Op::Depthwise(window, _) = &graph.layers[1].op else {
        panic!("{:?}", graph.layers[1].op)
    };
    let padding = Padding::Explicit {
        top: 0,
        left: 0,
        bottom: 1,
        right: 1,
    };
    assert_eq!(
        *window,
        Window {
            kernel: [3, 3],
            stride: [2, 2],
            padding
        }
    );
}

#[test]
fn the_first_node_that_cannot_be_followed_is_named() {
    let (nodes, more) = same_padding(node("RandomUniform", &[], "size").ints("shape", &[4]));
    let error = run(&around_with(nodes, more)).unwrap_err().to_string();
    assert!(
        error.contains("RandomUniform") && error.contains("n_size"),
        "{error}"
    );
}
