//! Refused models, with errors that name the operator and the node.

use graft_onnx::proto::{
    DataType, FunctionProto, GraphProto, NodeProto, Segment, SparseTensorProto, TensorAnnotation,
    TensorProto,
};

use super::model::*;
use crate::import::error::ImportError;

/// Checks that a body is refused with an error that names this node and says why.
#[track_caller]
fn check(body: Vec<NodeProto>, more: Vec<TensorProto>, culprit: &str, why: &str) {
    let (op, name) = body
        .iter()
        .find(|node| node.output[0] == culprit)
        .map(|node| (node.op_type.clone(), node.name.clone()))
        .unwrap();
    let error = run(&around_with(body, more)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&op) && text.contains(&name), "{text}");
    assert!(text.contains(why), "{text}");
    assert!(error.hint().is_some() && !text.contains('\n'));
}

fn conv() -> NodeProto {
    node("Conv", &["c", "w3"], "b").int("group", 4)
}

#[test]
fn operators_without_a_layer() {
    for op in [
        "ConvTranspose",
        "LSTM",
        "Sigmoid",
        "LeakyRelu",
        "Concat",
        "Resize",
        "Sqrt",
    ] {
        check(
            vec![node(op, &["c", "w3"], "b")],
            vec![],
            "b",
            "not supported",
        );
    }
    let mut custom = node("Conv", &["c", "w3"], "b");
    custom.domain = "com.example".to_owned();
    check(vec![custom], vec![], "b", "com.example.Conv");
}

#[test]
fn quantised_models() {
    let body = |op: &str| vec![node(op, &["c", "w3"], "b")];
    for op in [
        "QLinearConv",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "ConvInteger",
    ] {
        check(body(op), vec![], "b", "QDQ");
    }
    let mut model = around(vec![node("Relu", &["c"], "b")]);
    let w = &mut model.graph.as_mut().unwrap().initializer[0];
    w.data_type = DataType::Int8 as i32;
    w.int32_data = vec![1; 12];
    let error = run(&model).unwrap_err().to_string();
    assert!(
        error.contains("\"w\"") && error.contains("quantised"),
        "{error}"
    );
}

#[test]
fn convolutions_that_no_layer_computes() {
    check(
        vec![conv().ints("dilations", &[2, 2])],
        vec![],
        "b",
        "dilated",
    );
    check(
        vec![conv().text("auto_pad", "SAME")],
        vec![],
        "b",
        "auto_pad SAME",
    );
    check(
        vec![conv().ints("strides", &[0, 1])],
        vec![],
        "b",
        "found the size 0",
    );
    check(
        vec![conv().ints("pads", &[i64::MAX, 0, 0, 0])],
        vec![],
        "b",
        "found the size",
    );
    check(
        vec![conv().ints("kernel_shape", &[5, 5])],
        vec![],
        "b",
        "kernel_shape",
    );
    check(
        vec![node("Conv", &["c", "w3"], "b")],
        vec![],
        "b",
        "4 channels in all",
    );
    check(
        vec![node("Conv", &["c", "v"], "b").int("group", -1)],
        vec![],
        "b",
        "4 channels in all",
    );
    let grouped = floats("k", &[4, 2, 1, 1], ramp(8));
    check(
        vec![node("Conv", &["c", "k"], "b").int("group", 2)],
        vec![grouped],
        "b",
        "2 groups",
    );
    let multiplied = floats("k", &[8, 1, 1, 1], ramp(8));
    check(
        vec![node("Conv", &["c", "k"], "b").int("group", 4)],
        vec![multiplied],
        "b",
        "multiplier 2",
    );
    let large = floats("k", &[4, 1, 9, 9], ramp(324));
    check(
        vec![node("Conv", &["c", "k"], "b").int("group", 4)],
        vec![large],
        "b",
        "does not fit",
    );
    check(
        vec![node("Conv", &["c", "c"], "b")],
        vec![],
        "b",
        "expected a constant",
    );
    check(vec![node("Conv", &["c"], "b")], vec![], "b", "missing");
}

#[test]
fn activations_that_nothing_can_fuse() {
    let add = node("Add", &["c", "r"], "b");
    check(
        vec![node("Relu", &["c"], "r"), add],
        vec![],
        "b",
        "has fused",
    );
    let pool = node("AveragePool", &["c"], "p").ints("kernel_shape", &[2, 2]);
    check(
        vec![pool, node("Relu", &["p"], "b")],
        vec![],
        "b",
        "follows a pool",
    );
    let pool = || node("MaxPool", &["c"], "p").ints("kernel_shape", &[1, 1]);
    check(
        vec![pool(), node("HardSwish", &["p"], "b")],
        vec![],
        "b",
        "follows a pool",
    );
    let shared = vec![
        pool(),
        node("Relu", &["p"], "r"),
        node("Add", &["c", "r"], "b"),
    ];
    check(shared, vec![], "b", "has fused");
    check(
        vec![node("HardSwish", &["c"], "h"), node("Relu", &["h"], "b")],
        vec![],
        "b",
        "already has",
    );
    let swish = vec![
        node("Clip", &["c", "zero", "six"], "q"),
        node("Mul", &["c", "q"], "b"),
    ];
    check(swish, vec![], "b", "not a clamp");
    check(
        vec![node("Mul", &["c", "zero"], "b")],
        vec![],
        "b",
        "factor 0",
    );
    check(
        vec![node("Sub", &["six", "c"], "b")],
        vec![],
        "b",
        "constant comes first",
    );
    check(vec![node("Sub", &["c", "c"], "b")], vec![], "b", "no layer");
    check(
        vec![node("Clip", &["c", "nan"], "b")],
        vec![floats("nan", &[], vec![f32::NAN])],
        "b",
        "NaN",
    );
}

#[test]
fn bounds_that_no_activation_has() {
    for op in ["Max", "Min"] {
        let each = node(op, &["v", "c"], "b");
        check(vec![each], vec![], "b", "expected one value for all");
        let two = node(op, &["c", "c"], "b");
        check(vec![two], vec![], "b", "compares activations");
        let nan = floats("nan", &[], vec![f32::NAN]);
        let body = vec![node(op, &["c", "nan"], "b")];
        check(body, vec![nan], "b", "expected one value for all");
    }
}

#[test]
fn bytes_that_are_computed_with() {
    let mut model = around(vec![node("Relu", &["c"], "b")]);
    let graph = model.graph.as_mut().unwrap();
    let tensor = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut();
    tensor.unwrap().elem_type = DataType::Uint8 as i32;
    let error = run(&model).unwrap_err().to_string();
    assert!(error.contains("Uint8") && error.contains("n_c"), "{error}");
}

#[test]
fn shapes_that_do_not_work_out() {
    check(
        vec![node("Flatten", &["c"], "b")],
        vec![],
        "b",
        "expected one pixel",
    );
    check(
        vec![node("Reshape", &["c", "to"], "b")],
        vec![ints("to", &[7, -1])],
        "b",
        "cannot reshape",
    );
    check(
        vec![node("Transpose", &["c"], "b").ints("perm", &[0, 1, 3, 2])],
        vec![],
        "b",
        "NCHW",
    );
    check(
        vec![node("Gemm", &["c", "fc"], "b")],
        vec![],
        "b",
        "one row of 4",
    );
    check(
        vec![node("ReduceMean", &["c"], "b").ints("axes", &[1])],
        vec![],
        "b",
        "height and width",
    );
    let half = node("ReduceMean", &["c"], "m").ints("axes", &[3]);
    check(
        vec![half.clone(), node("Relu", &["m"], "b")],
        vec![],
        "m",
        "other of height and width",
    );
    check(
        vec![half, node("ReduceMean", &["m"], "b").ints("axes", &[1])],
        vec![],
        "b",
        "height and width",
    );
    let pads = ints("p", &[0, 0, 1, 1, 0, 0, 1, 1]);
    let pooled = vec![
        node("Pad", &["c", "p"], "q"),
        node("MaxPool", &["q"], "b").ints("kernel_shape", &[2, 2]),
    ];
    check(pooled, vec![pads.clone()], "q", "MaxPool");
    check(
        vec![node("Pad", &["c", "p", "six"], "b")],
        vec![pads.clone()],
        "b",
        "zeros",
    );
    check(
        vec![node("Pad", &["c", "p"], "b").text("mode", "reflect")],
        vec![pads],
        "b",
        "zeros",
    );
    check(
        vec![node("Pad", &["c", "p"], "b")],
        vec![ints("p", &[0, 0, -1, 0, 0, 0, 0, 0])],
        "b",
        "crops",
    );
    let ceil = node("MaxPool", &["c"], "b")
        .ints("kernel_shape", &[3, 3])
        .ints("strides", &[2, 2])
        .int("ceil_mode", 1);
    check(vec![ceil], vec![], "b", "ceil_mode");
    check(
        vec![
            node("Softmax", &["g"], "b"),
            node("GlobalAveragePool", &["c"], "g"),
        ]
        .into_iter()
        .map(|n| n.int("axis", 1))
        .collect(),
        vec![],
        "b",
        "last operator",
    );
}

#[test]
fn malformed_graphs() {
    let body = || vec![node("Relu", &["c"], "b")];
    let broken = |change: fn(&mut GraphProto)| {
        let mut model = around(body());
        change(model.graph.as_mut().unwrap());
        run(&model).unwrap_err()
    };
    let cycle = broken(|graph| graph.node[0].input[0] = "b".to_owned());
    assert!(cycle.to_string().contains("depends on itself"), "{cycle}");
    let twice = broken(|graph| graph.node.push(node("Relu", &["x"], "b")));
    assert!(twice.to_string().contains("output of two nodes"), "{twice}");
    let missing = broken(|graph| graph.initializer.clear());
    assert!(
        matches!(missing, ImportError::MissingTensor { .. }),
        "{missing}"
    );
    let nan = broken(|graph| graph.initializer[0].float_data[0] = f32::NAN);
    assert!(nan.to_string().contains("NaN"), "{nan}");
    for dims in [
        vec![-4, 3, 1, 1],
        vec![i64::MAX; 4],
        vec![4, 3, 1],
        vec![0, i64::MAX, i64::MAX, 1],
        vec![4, 3, 1, 2],
    ] {
        let mut model = around(body());
        model.graph.as_mut().unwrap().initializer[0].dims = dims.clone();
        assert!(run(&model).is_err(), "{dims:?}");
    }
    let short = broken(|graph| graph.initializer[0].raw_data = vec![0; 7]);
    assert!(matches!(short, ImportError::Tensor { .. }), "{short}");
    let text = broken(|graph| {
        graph.initializer[0].data_type = DataType::String as i32;
        graph.initializer[0].raw_data = vec![0; 7];
    });
    assert!(matches!(text, ImportError::Tensor { .. }), "{text}");
    assert!(run(&model(&[1, 3, 8, 8], vec![], vec![])).is_err());
    assert!(
        run(&model(
            &[1, 3, 8, 8],
            vec![node("Relu", &["x"], "y")],
            vec![]
        ))
        .is_err()
    );
}

#[test]
fn inputs_and_outputs() {
    let mut many = around(vec![node("Relu", &["c"], "b")]);
    let graph = many.graph.as_mut().unwrap();
    let mut second = graph.input[0].clone();
    second.name = "w".to_owned();
    graph.input.push(second.clone());
    assert!(run(&many).is_ok(), "old models list initialisers as inputs");
    second.name = "mask".to_owned();
    many.graph.as_mut().unwrap().input.push(second);
    assert!(run(&many).unwrap_err().to_string().contains("2 inputs"));
    for (image, found) in [
        (&[1, 3, -1, -1][..], "dynamic"),
        (&[2, 3, 8, 8], "[2, 3, 8, 8]"),
        (&[1, 16, 8, 8], "[1, 16, 8, 8]"),
        (&[1, 4, 8, 8], "[1, 4, 8, 8]"),
        (&[1, 8, 8, 4], "[1, 8, 8, 4]"),
        (&[1, 3, 8], "[1, 3, 8]"),
        (&[1, 3, i64::MAX, 8], "image of"),
    ] {
        let mut wrong = around(vec![node("Relu", &["c"], "b")]);
        wrong.graph.as_mut().unwrap().input = model(image, vec![], vec![]).graph.unwrap().input;
        let error = run(&wrong).unwrap_err();
        assert!(error.to_string().contains(found), "{error}");
    }
    let mut outputs = around(vec![node("Relu", &["c"], "b")]);
    let graph = outputs.graph.as_mut().unwrap();
    graph.output.push(graph.output[0].clone());
    assert!(run(&outputs).unwrap_err().to_string().contains("2 outputs"));
}

#[test]
fn what_nodes_do_not_show() {
    let mut sparse = around(vec![node("Relu", &["c"], "b")]);
    let graph = sparse.graph.as_mut().unwrap();
    let values = graph.initializer.remove(0);
    graph.sparse_initializer.push(SparseTensorProto {
        values: Some(values),
    });
    let error = run(&sparse).unwrap_err().to_string();
    assert!(
        error.contains("\"w\"") && error.contains("sparse"),
        "{error}"
    );

    for (domain, is_used) in [("", true), ("ai.onnx", true), ("com.example", false)] {
        let mut own = around(vec![node("Relu", &["c"], "b")]);
        own.functions.push(FunctionProto {
            name: "Relu".to_owned(),
            domain: domain.to_owned(),
        });
        let found = run(&own);
        assert_eq!(found.is_err(), is_used, "{domain}");
        if let Err(error) = found {
            assert!(error.to_string().contains("n_b"), "{error}");
        }
    }

    let mut reference = node("Clip", &["c"], "b").float("min", 0.0);
    reference.attribute[0].ref_attr_name = "low".to_owned();
    let mut old = around(vec![reference]);
    old.opset_import[0].version = 6;
    let error = run(&old).unwrap_err().to_string();
    assert!(error.contains("n_b") && error.contains("min"), "{error}");

    let mut part = around(vec![node("Relu", &["c"], "b")]);
    part.graph.as_mut().unwrap().initializer[0].segment = Some(Segment { begin: 0, end: 12 });
    let error = run(&part).unwrap_err().to_string();
    assert!(error.contains("segment"), "{error}");

    let mut annotated = around(vec![node("Relu", &["c"], "b")]);
    let annotation = TensorAnnotation {
        tensor_name: "c".to_owned(),
        ..TensorAnnotation::default()
    };
    let graph = annotated.graph.as_mut().unwrap();
    graph.quantization_annotation.push(annotation);
    let notes = run(&annotated).unwrap().notes;
    assert!(notes[0].contains("1 quantization annotations"), "{notes:?}");
}
