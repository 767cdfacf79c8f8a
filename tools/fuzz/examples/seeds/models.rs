//! ONNX models: a network as training frameworks write it, one with arithmetic on shapes, a quantised one.

use graft_onnx::Message as _;
use graft_onnx::build::{self, Dim, float, floats, integers, ints, raw, text};
use graft_onnx::proto::{AttributeProto, DataType, GraphProto, NodeProto, TensorProto};

use super::Seeds;

pub fn all() -> Seeds {
    vec![
        ("plain", plain()),
        ("shapes", shapes()),
        ("quantised", quantised()),
    ]
}

/// A node with one output.
fn node(op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    let inputs = inputs.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        name: format!("n_{output}"),
        output: vec![output.to_owned()],
        ..build::node(op, inputs, attributes)
    }
}

/// A model from `x`, 3 x 8 x 8, to `y`.
fn model(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> Vec<u8> {
    let dims = [Dim::Any("n"), Dim::Of(3), Dim::Of(8), Dim::Of(8)];
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        initializer: constants,
        input: vec![build::interface("x", "", &dims)],
        output: vec![build::interface("y", "", &[Dim::Any("n"), Dim::Of(2)])],
        ..GraphProto::default()
    };
    let properties = vec![build::entry("key", "value")];
    build::model("seeds", "1", graph, properties).encode_to_vec()
}

/// Values that differ from each other.
fn ramp(name: &str, dims: &[usize]) -> TensorProto {
    let count: usize = dims.iter().product();
    let values: Vec<f32> = (1..=count).map(|i| i as f32 / 8.0).collect();
    floats(name, dims, &values)
}

fn plain() -> Vec<u8> {
    let norm = ["gamma", "beta", "mean", "var"];
    let around = |window: usize, stride: usize| {
        vec![
            ints("kernel_shape", &[window; 2]),
            ints("pads", &[1; 4]),
            ints("strides", &[stride; 2]),
        ]
    };
    let deep = [around(3, 1), vec![build::int("group", 4)]].concat();
    let nodes = vec![
        node("Conv", &["x", "w"], "c", around(3, 2)),
        node(
            "BatchNormalization",
            &["c", "gamma", "beta", "mean", "var"],
            "b",
            vec![float("epsilon", 1e-3)],
        ),
        node("Clip", &["b", "zero", "six"], "r", vec![]),
        node("Conv", &["r", "deep"], "d", deep),
        node("HardSwish", &["d"], "h", vec![]),
        node("Conv", &["h", "point", "bias"], "p", vec![]),
        node("Add", &["p", "r"], "a", vec![]),
        node("MaxPool", &["a"], "m", around(3, 1)),
        node("GlobalAveragePool", &["m"], "g", vec![]),
        node("Flatten", &["g"], "f", vec![]),
        node(
            "Gemm",
            &["f", "fc", "fcb"],
            "s",
            vec![build::int("transB", 1)],
        ),
        node("Softmax", &["s"], "y", vec![]),
    ];
    let mut constants = vec![
        ramp("w", &[4, 3, 3, 3]),
        ramp("deep", &[4, 1, 3, 3]),
        ramp("point", &[4, 4, 1, 1]),
        ramp("bias", &[4]),
        ramp("fc", &[2, 4]),
        ramp("fcb", &[2]),
        floats("zero", &[], &[0.0]),
        floats("six", &[], &[6.0]),
    ];
    constants.extend(norm.map(|name| ramp(name, &[4])));
    model(nodes, constants)
}

fn shapes() -> Vec<u8> {
    let nodes = vec![
        node("Sub", &["x", "mean"], "m", vec![]),
        node("Div", &["m", "std"], "n", vec![]),
        node("Pad", &["n", "pads"], "p", vec![text("mode", "constant")]),
        node("Conv", &["p", "w"], "c", vec![ints("strides", &[2; 2])]),
        node("Mul", &["c", "scale"], "a", vec![]),
        node("Add", &["a", "offset"], "b", vec![]),
        node("HardSigmoid", &["b"], "s", vec![float("alpha", 1.0 / 6.0)]),
        node("Mul", &["s", "b"], "h", vec![]),
        node(
            "ReduceMean",
            &["h"],
            "g",
            vec![ints("axes", &[2, 3]), build::int("keepdims", 0)],
        ),
        node("Shape", &["x"], "shape", vec![]),
        node(
            "Gather",
            &["shape", "first"],
            "batch",
            vec![build::int("axis", 0)],
        ),
        node(
            "Concat",
            &["batch", "rest"],
            "target",
            vec![build::int("axis", 0)],
        ),
        node("Reshape", &["g", "target"], "f", vec![]),
        node("MatMul", &["f", "fc"], "y", vec![]),
    ];
    let constants = vec![
        ramp("mean", &[1, 3, 1, 1]),
        ramp("std", &[1, 3, 1, 1]),
        integers("pads", &[0, 0, 1, 1, 0, 0, 1, 1]),
        ramp("w", &[4, 3, 3, 3]),
        ramp("scale", &[4, 1, 1]),
        ramp("offset", &[4, 1, 1]),
        integers("first", &[0]),
        integers("rest", &[-1]),
        ramp("fc", &[4, 2]),
    ];
    model(nodes, constants)
}

/// In the QDQ format.
fn quantised() -> Vec<u8> {
    let bytes = |name: &str, dims: &[usize], values: &[i8]| {
        let values = values.iter().map(|&value| value as u8);
        raw(name, dims, DataType::Int8, values.collect())
    };
    let qdq = |from: &str, to: &str, name: &str| {
        let [scale, zero] = [format!("{name}.s"), format!("{name}.z")];
        let between = format!("{to}.q");
        [
            node("QuantizeLinear", &[from, &scale, &zero], &between, vec![]),
            node("DequantizeLinear", &[&between, &scale, &zero], to, vec![]),
        ]
    };
    let axis = || vec![build::int("axis", 0)];
    let mut nodes = Vec::from(qdq("x", "xd", "x"));
    nodes.extend([
        node("DequantizeLinear", &["w.q", "w.s", "w.z"], "wd", axis()),
        node("DequantizeLinear", &["bias", "bias.s"], "biasd", axis()),
        node("Conv", &["xd", "wd", "biasd"], "c", vec![]),
    ]);
    nodes.extend(qdq("c", "b", "c"));
    nodes.push(node("GlobalAveragePool", &["b"], "g", vec![]));
    nodes.extend(qdq("g", "gd", "g"));
    nodes.push(node("Flatten", &["gd"], "f", vec![]));
    nodes.extend(qdq("f", "fd", "g"));
    nodes.push(node("DequantizeLinear", &["fc", "fc.s"], "fcd", vec![]));
    nodes.push(node(
        "Gemm",
        &["fd", "fcd"],
        "scores",
        vec![build::int("transB", 1)],
    ));
    nodes.extend(qdq("scores", "y", "y"));
    let int32 = |values: [i32; 4]| {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    };
    let scales = [0.1, 0.02, 0.003, 0.5];
    let mut constants = vec![
        bytes(
            "w.q",
            &[4, 3, 1, 1],
            &[127, -5, 0, -127, 1, 2, 3, -4, 5, 99, -100, 101],
        ),
        floats("w.s", &[4], &scales),
        bytes("w.z", &[4], &[0; 4]),
        raw("bias", &[4], DataType::Int32, int32([100, -7, 0, -2000])),
        floats("bias.s", &[4], &scales.map(|scale| scale * 0.5)),
        bytes("fc", &[2, 4], &[127, -127, 64, 1, -2, 3, 0, 77]),
        floats("fc.s", &[], &[0.25]),
    ];
    for (name, scale, zero) in [
        ("x", 0.5, 3),
        ("c", 0.125, -128),
        ("g", 0.0625, -100),
        ("y", 2.0, 0),
    ] {
        constants.push(floats(&format!("{name}.s"), &[], &[scale]));
        constants.push(bytes(&format!("{name}.z"), &[], &[zero]));
    }
    model(nodes, constants)
}
