//! Models in the QDQ format: which scales, bytes and activations they become, and what is refused.

use graft_onnx::proto::{DataType, ModelProto, NodeProto, TensorProto};
use graft_patches::layout::unpack_int8_weights;
use graft_patches::metadata::BackboneMetadata;
use graft_patches::scale::Scale;
use graft_runtime::Backbone;
use proptest::prelude::*;

use super::model::*;
use crate::import::compile::{Settings, compile};
use crate::import::int8;
use crate::import::onnx::Imported;

/// Weights of the first convolution, 4 x 3, and of the classifier, 2 x 4.
pub(super) const W: [i32; 12] = [127, -5, 0, -127, 1, 2, 3, -4, 5, 99, -100, 101];
const FC: [i32; 8] = [127, -127, 64, 1, -2, 3, 0, 77];

pub(super) fn integers(name: &str, dims: &[i64], element: DataType, values: &[i32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: element as i32,
        int32_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// Q and DQ of `from`, as `to`, by the scale and zero point `NAME.s`, `NAME.z`.
pub(super) fn qdq(from: &str, to: &str, name: &str) -> [NodeProto; 2] {
    let [scale, zero] = [format!("{name}.s"), format!("{name}.z")];
    let between = format!("{to}.q");
    [
        node("QuantizeLinear", &[from, &scale, &zero], &between),
        node("DequantizeLinear", &[&between, &scale, &zero], to),
    ]
}

pub(super) fn scale(name: &str, scale: f32, zero_point: i32) -> [TensorProto; 2] {
    [
        floats(&format!("{name}.s"), &[], vec![scale]),
        integers(&format!("{name}.z"), &[], DataType::Int8, &[zero_point]),
    ]
}

/// A quantised pointwise convolution from the image to `c` (4 channels, scale `c`), the given nodes from `c` to `b`, which
/// is dequantised, and a quantised pool and classifier behind.
pub(super) fn around(body: Vec<NodeProto>, more: Vec<TensorProto>) -> ModelProto {
    let mut nodes = Vec::from(qdq("x", "xd", "x"));
    nodes.extend([
        node("DequantizeLinear", &["w_quantized", "w.s", "w.z"], "wd").int("axis", 0),
        node("DequantizeLinear", &["bias", "bias.s"], "biasd").int("axis", 0),
        node("Conv", &["xd", "wd", "biasd"], "c"),
    ]);
    nodes.extend(body);
    nodes.push(node("GlobalAveragePool", &["b"], "g"));
    nodes.extend(qdq("g", "gd", "g"));
    nodes.push(node("Flatten", &["gd"], "f"));
    nodes.extend(qdq("f", "fd", "g"));
    nodes.push(node("DequantizeLinear", &["fc", "fc.s"], "fcd"));
    nodes.push(node("Gemm", &["fd", "fcd"], "scores").int("transB", 1));
    nodes.extend(qdq("scores", "y", "y"));
    let mut constants = vec![
        integers("w_quantized", &[4, 3, 1, 1], DataType::Int8, &W),
        floats("w.s", &[4], vec![0.1, 0.02, 0.003, 7e-8]),
        integers("w.z", &[4], DataType::Int8, &[0; 4]),
        integers("bias", &[4], DataType::Int32, &[100, -7, 0, -2_147_268_960]),
        floats(
            "bias.s",
            &[4],
            [0.1, 0.02, 0.003, 7e-8].map(|s| s * 0.5).to_vec(),
        ),
        integers("fc", &[2, 4], DataType::Int8, &FC),
        floats("fc.s", &[], vec![0.25]),
    ];
    constants.extend(scale("x", 0.5, 3));
    constants.extend(scale("c", 0.125, -128));
    constants.extend(scale("g", 0.0625, -100));
    constants.extend(scale("y", 2.0, 0));
    // A test's own constants come in place of these.
    constants.retain(|tensor| more.iter().all(|own| own.name != tensor.name));
    constants.extend(more);
    model(&[1, 3, 8, 8], nodes, constants)
}

pub(super) fn plain() -> Vec<NodeProto> {
    qdq("c", "b", "c").into()
}

pub(super) fn int8(imported: &Imported) -> Backbone {
    let settings = Settings {
        mean: [0.0; 4],
        std: [1.0; 4],
        max_classes: 2,
        metadata: BackboneMetadata::default(),
    };
    let float = compile(&imported.graph, settings).unwrap();
    let float = Backbone::from_bytes(&float).unwrap();
    let quantization = imported.quantized.as_ref().unwrap();
    Backbone::from_bytes(&int8::compile(&float.image(), quantization).unwrap()).unwrap()
}

pub(super) fn outer(backbone: &Backbone) -> Vec<(f32, i8)> {
    let scales = backbone.image().scales().iter();
    scales
        .map(|record| record.get().outer)
        .map(|scale| (scale.scale, scale.zero_point))
        .collect()
}

#[test]
fn bytes_and_scales_are_those_of_the_model() {
    let imported = run(&around(plain(), vec![])).unwrap();
    assert_eq!(summary(&imported.graph), "pw+relu gap fc");
    let backbone = int8(&imported);
    let expected = [(0.5, 3), (0.125, -128), (0.0625, -100), (2.0, 0)];
    assert_eq!(outer(&backbone), expected);
    let image = backbone.image();
    let weights = |index: usize| {
        let site = image.site(index);
        let own = image.int8(&site);
        let rows = unpack_int8_weights(own.weights, site.outputs, site.depth, false);
        (rows, own.weight_scales)
    };
    let (rows, scales) = weights(0);
    assert_eq!(rows, W.map(|byte| byte as i8));
    assert_eq!(scales, [0.1, 0.02, 0.003, 7e-8]);
    let (rows, scales) = weights(1);
    assert_eq!(rows, FC.map(|byte| byte as i8));
    assert_eq!(scales, [0.25; 2]);
    let table = &image.int8(&image.site(0)).table[0];
    let sum = |row: usize| W[row * 3..][..3].iter().sum::<i32>();
    for (channel, bias) in [(0, 100), (1, -7), (2, 0)] {
        assert_eq!(table.bias[channel], bias - 3 * sum(channel));
        assert_eq!(
            table.multiplier[channel],
            0.5 * scales_of_w(channel) / 0.125
        );
    }
    let metadata = image.metadata().unwrap();
    assert_eq!(metadata.sites[0].weight, "w");
    assert!(metadata.sites.iter().all(|site| site.batch_norm.is_none()));
    assert_eq!(metadata.quantized.unwrap().calibration.method, "QDQ model");
}

fn scales_of_w(channel: usize) -> f32 {
    [0.1, 0.02, 0.003][channel]
}

#[test]
fn a_channel_that_is_always_off_stays_off() {
    let backbone = int8(&run(&around(plain(), vec![])).unwrap());
    let image = backbone.image();
    let table = &image.int8(&image.site(0)).table[0];
    // Whatever the 3 products add up to.
    let most = 3.0 * 128.0 * 127.0 * table.multiplier[3];
    let constant = table.bias[3] as f32 * table.multiplier[3];
    assert!(constant + most < 0.0, "{constant} + {most}");
}

#[test]
fn saturation_at_zero_is_a_clamp() {
    for (step, zero_point, expected) in [
        (0.125, -128, "pw+relu gap fc"),
        (6.0 / 255.0, -128, "pw+relu6 gap fc"),
        (6.01 / 255.0, -128, "pw+relu6 gap fc"),
        (6.02 / 255.0, -128, "pw+relu gap fc"),
        (6.0 / 255.0, -127, "pw gap fc"),
    ] {
        let imported = run(&around(plain(), scale("c", step, zero_point).into())).unwrap();
        assert_eq!(summary(&imported.graph), expected, "{step}");
    }
    // Scores of the calibration images may all be above zero.
    let imported = run(&around(plain(), scale("y", 2.0, -128).into())).unwrap();
    assert_eq!(summary(&imported.graph), "pw+relu gap fc");
}

#[test]
fn activations_in_the_model_fuse() {
    let relu = |before: &str| {
        let mut body = vec![node("Relu", &[before], "r")];
        body.extend(qdq("r", "b", "r"));
        body
    };
    let own = || scale("r", 0.25, -5).to_vec();
    // What stood between the layer and its clamp counts no more.
    let mut twice = Vec::from(qdq("c", "cd", "c"));
    twice.extend(relu("cd"));
    for body in [relu("c"), twice] {
        let imported = run(&around(body, own())).unwrap();
        assert_eq!(summary(&imported.graph), "pw+relu gap fc");
        assert_eq!(outer(&int8(&imported))[1], (0.25, -5));
    }
}

/// Scales of the first layer's curve, inner and outer.
pub(super) fn curve(imported: &Imported) -> [Scale; 2] {
    let scale = imported.quantized.as_ref().unwrap().tensors[1];
    [scale.inner, scale.outer]
}

pub(super) const INNER: Scale = Scale {
    scale: 0.125,
    zero_point: -20,
};
pub(super) const OUTER: Scale = Scale {
    scale: 0.0625,
    zero_point: -122,
};

pub(super) fn curve_scales() -> Vec<TensorProto> {
    let mut scales = scale("h", 1.0 / 256.0, -128).to_vec();
    scales.extend(scale("c", INNER.scale, INNER.zero_point.into()));
    scales.extend(scale("o", OUTER.scale, OUTER.zero_point.into()));
    scales
}

#[test]
fn a_curve_has_the_scales_before_and_behind_it() {
    for op in ["HardSwish", "HardSigmoid"] {
        let mut body = Vec::from(qdq("c", "cd", "c"));
        body.push(node(op, &["cd"], "h"));
        body.extend(qdq("h", "b", "o"));
        let imported = run(&around(body, curve_scales())).unwrap();
        assert_eq!(curve(&imported), [INNER, OUTER], "{op}");
        assert!(imported.notes.is_empty());
    }
}

#[test]
fn a_hard_swish_in_parts_is_one() {
    for operands in [["cd", "hd"], ["hd", "cd"]] {
        let mut body = Vec::from(qdq("c", "cd", "c"));
        body.push(node("HardSigmoid", &["cd"], "h").float("alpha", 1.0 / 6.0));
        body.extend(qdq("h", "hd", "h"));
        body.push(node("Mul", &operands, "m"));
        body.extend(qdq("m", "b", "o"));
        let imported = run(&around(body, curve_scales())).unwrap();
        assert_eq!(summary(&imported.graph), "pw+hswish gap fc");
        assert_eq!(curve(&imported), [INNER, OUTER]);
        assert!(
            imported.notes[0].contains("1 hard-swishes"),
            "{:?}",
            imported.notes
        );
    }
}

#[test]
fn sums_and_products_have_scales_of_their_own() {
    let mut body = Vec::from(qdq("c", "cd", "c"));
    body.push(node("GlobalAveragePool", &["cd"], "p"));
    body.extend(qdq("p", "pd", "h"));
    body.push(node("Mul", &["cd", "pd"], "m"));
    body.extend(qdq("m", "md", "o"));
    body.push(node("Add", &["md", "cd"], "a"));
    body.extend(qdq("a", "b", "c"));
    let imported = run(&around(body, curve_scales())).unwrap();
    assert_eq!(summary(&imported.graph), "pw gap mul add gap fc");
    let expected = [
        (0.5, 3),
        (0.125, -20),
        (1.0 / 256.0, -128),
        (0.0625, -122),
        (0.125, -20),
    ];
    assert_eq!(outer(&int8(&imported))[..5], expected);
}

#[test]
fn a_maximum_keeps_the_scale_of_its_input() {
    let pool = |input: &str, output: &str| {
        node("MaxPool", &[input], output)
            .ints("kernel_shape", &[2, 2])
            .ints("strides", &[2, 2])
    };
    let mut quantised = Vec::from(qdq("c", "cd", "c"));
    let mut passed_on = quantised.clone();
    quantised.push(pool("cd", "m"));
    quantised.extend(qdq("m", "b", "c"));
    passed_on.push(pool("cd", "b"));
    for body in [quantised, passed_on] {
        let imported = run(&around(body, vec![])).unwrap();
        assert_eq!(summary(&imported.graph), "pw+relu max gap fc");
        assert_eq!(outer(&int8(&imported))[1..3], [(0.125, -128); 2]);
    }
}

#[test]
fn one_pair_for_each_reader_is_one_scale() {
    let mut body = Vec::from(qdq("c", "c1", "c"));
    body.push(node("DequantizeLinear", &["c1.q", "c.s", "c.z"], "c2"));
    body.push(node("Add", &["c1", "c2"], "a"));
    body.extend(qdq("a", "b", "o"));
    let imported = run(&around(body, curve_scales())).unwrap();
    assert_eq!(summary(&imported.graph), "pw add gap fc");
}

#[test]
fn unsigned_activations_are_shifted() {
    let unsigned = |name: &str, zero_point| integers(name, &[], DataType::Uint8, &[zero_point]);
    let imported = run(&around(
        plain(),
        vec![unsigned("c.z", 0), unsigned("x.z", 131)],
    ))
    .unwrap();
    assert_eq!(outer(&int8(&imported))[..2], [(0.5, 3), (0.125, -128)]);
}

#[test]
fn a_softmax_does_not_scale_the_scores() {
    let mut model = around(plain(), scale("s", 1.0 / 256.0, -128).into());
    let graph = model.graph.as_mut().unwrap();
    for node in &mut graph.node {
        for name in node.input.iter_mut().chain(&mut node.output) {
            if name == "y" || name == "y.q" {
                name.insert(0, 'd');
            }
        }
    }
    graph.node.push(node("Softmax", &["dy"], "s"));
    graph.node.extend(qdq("s", "y", "s"));
    let imported = run(&model).unwrap();
    assert_eq!(outer(&int8(&imported))[3], (2.0, 0));
    assert_eq!(imported.ending_step, Some(1.0 / 256.0));
}

#[track_caller]
pub(super) fn refused(body: Vec<NodeProto>, more: Vec<TensorProto>, words: &[&str]) {
    let error = run(&around(body, more)).unwrap_err();
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    assert!(error.hint().is_some() && !text.contains('\n'));
}

#[test]
fn weights_that_no_layer_computes_with() {
    let zero_point = vec![integers("w.z", &[4], DataType::Int8, &[0, 1, 0, 0])];
    refused(
        plain(),
        vec![integers(
            "w_quantized",
            &[4, 3, 1, 1],
            DataType::Uint8,
            &W.map(i32::abs),
        )],
        &["weights", "n_c", "not int8"],
    );
    refused(plain(), zero_point, &["weights", "n_c", "asymmetric"]);
    let along_the_inputs = vec![floats("fc.s", &[4], vec![0.25; 4])];
    refused(
        plain(),
        along_the_inputs,
        &["weights", "n_scores", "another axis"],
    );
    let too_many = vec![floats("w.s", &[5], vec![0.25; 5])];
    refused(plain(), too_many, &["n_wd", "5 scales for axis 0"]);
    let zero = vec![floats("w.s", &[4], vec![0.0; 4])];
    refused(plain(), zero, &["n_wd", "above zero"]);
}

#[test]
fn models_with_a_float_part() {
    let relu = vec![node("Relu", &["c"], "b")];
    refused(relu, vec![], &["output", "n_c", "float"]);
    let mut curve = vec![node("HardSwish", &["c"], "h")];
    curve.extend(qdq("h", "b", "o"));
    refused(curve, curve_scales(), &["activation", "n_c", "float"]);
    let mut weights = Vec::from(qdq("c", "cd", "c"));
    weights.push(node("Conv", &["cd", "k"], "d"));
    weights.extend(qdq("d", "b", "c"));
    let own = vec![floats("k", &[4, 4, 1, 1], ramp(16))];
    refused(weights, own, &["weights", "n_d", "float"]);
    let mut model = around(plain(), vec![]);
    for node in &mut model.graph.as_mut().unwrap().node {
        node.input
            .iter_mut()
            .filter(|name| *name == "xd")
            .for_each(|name| *name = "x".into());
    }
    let error = run(&model).unwrap_err().to_string();
    assert!(
        error.contains("image") && error.contains("float"),
        "{error}"
    );
}

#[test]
fn scales_that_do_not_fit() {
    let dequantised = |name: &str| {
        vec![
            node("QuantizeLinear", &["c", "c.s", "c.z"], "q"),
            node("DequantizeLinear", &["q", name, "c.z"], "b"),
        ]
    };
    refused(dequantised("x.s"), vec![], &["n_b", "differ"]);
    let bare = vec![node("DequantizeLinear", &["c", "c.s", "c.z"], "b")];
    refused(bare, vec![], &["n_b", "was not quantised"]);
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-30] {
        refused(
            plain(),
            vec![floats("c.s", &[], vec![wrong])],
            &["n_b.q", "1e-12"],
        );
    }
    let wide = vec![integers("c.z", &[], DataType::Int16, &[0])];
    refused(plain(), wide, &["n_b.q", "Int16", "expected Int8"]);
    let many = vec![floats("c.s", &[4], vec![0.1; 4])];
    refused(plain(), many, &["n_b.q", "expected one value"]);
    let mut both = Vec::from(qdq("c", "c1", "c"));
    both.extend(qdq("c", "c2", "o"));
    both.push(node("Add", &["c1", "c2"], "a"));
    both.extend(qdq("a", "b", "c"));
    refused(both, curve_scales(), &["n_c2.q", "other nodes read"]);
}

/// A model with a curve, a pool and a sum.
fn rich() -> ModelProto {
    let mut body = Vec::from(qdq("c", "cd", "c"));
    body.push(node("HardSigmoid", &["cd"], "h").float("alpha", 1.0 / 6.0));
    body.extend(qdq("h", "hd", "h"));
    body.push(node("Mul", &["cd", "hd"], "m"));
    body.extend(qdq("m", "md", "o"));
    body.push(node("Add", &["md", "md"], "a"));
    body.extend(qdq("a", "b", "c"));
    around(body, curve_scales())
}

#[test]
fn the_rich_model_is_read() {
    let imported = run(&rich()).unwrap();
    assert_eq!(summary(&imported.graph), "pw+hswish add gap fc");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn exchanged_names_and_hostile_values_never_panic(
        names in prop::collection::vec(any::<(u16, u16, u16)>(), 0..3),
        values in prop::collection::vec((any::<u16>(), any::<u16>(), 0..8usize), 0..4),
    ) {
        const FLOATS: [f32; 8] = [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45, 1e-12, 1e12, f32::MAX];
        const INTEGERS: [i32; 8] = [0, -1, 127, -128, 255, 1 << 16, i32::MAX, i32::MIN];
        let mut model = rich();
        let graph = model.graph.as_mut().unwrap();
        let all: Vec<String> = graph.node.iter().flat_map(|node| node.output.clone())
            .chain(graph.initializer.iter().map(|tensor| tensor.name.clone())).collect();
        for (node, input, name) in names {
            let count = graph.node.len();
            let inputs = &mut graph.node[usize::from(node) % count].input;
            let slot = usize::from(input) % inputs.len();
            inputs[slot] = all[usize::from(name) % all.len()].clone();
        }
        for (tensor, at, value) in values {
            let count = graph.initializer.len();
            let tensor = &mut graph.initializer[usize::from(tensor) % count];
            let (floats, integers) = (tensor.float_data.len().max(1), tensor.int32_data.len().max(1));
            let at = usize::from(at);
            tensor.float_data.get_mut(at % floats).into_iter().for_each(|float| *float = FLOATS[value]);
            tensor.int32_data.get_mut(at % integers).into_iter().for_each(|integer| *integer = INTEGERS[value]);
        }
        if let Ok(imported) = run(&model)
            && imported.quantized.is_some()
        {
            int8(&imported);
        }
    }
}
