//! Good imports pass, wrong ones do not: the judge sees what is wrong with them.

use std::path::PathBuf;

use graft_onnx::Message as _;
use graft_onnx::build::{self, Dim, floats, interface, ints};
use graft_onnx::proto::{DataType, GraphProto, ModelProto, NodeProto, TensorProto};
use graft_patches::metadata::BackboneMetadata;
use graft_runtime::Backbone;
use graft_tests::Random;
use tempfile::TempDir;

use super::{Comparison, Original, Verifier, VerifyError};
use crate::export::{WeightsFile, qdq, write};
use crate::import::compile::{Settings, compile};
use crate::import::graph::{Graph, Op};
use crate::import::int8;
use crate::import::onnx::{self, Ending, Imported};
use crate::testing::{self, trained};
use crate::trained::TrainKind;

const MEAN: [f32; 4] = [127.0; 4];
const STD: [f32; 4] = [64.0; 4];
/// Tolerance in steps for random weights, which leave many products between two steps.
const RANDOM: f32 = 3.0;

fn compare(
    original: &Original<'_>,
    backbone: &Backbone,
    images: &[Vec<u8>],
) -> Result<Comparison, VerifyError> {
    let mut verifier = Verifier::new(original, backbone)?;
    for pixels in images {
        verifier.image(pixels)?;
    }
    verifier.finish()
}

/// A model in a folder of its own, and what is said of it.
struct Model {
    _folder: TempDir,
    path: PathBuf,
    imported: Imported,
}

impl Model {
    fn new(bytes: &[u8], weights: Option<&WeightsFile>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, bytes).expect("room on the disk");
        if let Some(weights) = weights {
            weights
                .write(folder.path(), false)
                .expect("room on the disk");
        }
        Self {
            imported: onnx::load(&path, None).expect("it can be read"),
            path,
            _folder: folder,
        }
    }

    /// Every operator, in floats, with a task that this seed trained.
    fn float(seed: u64) -> Self {
        let backbone = testing::backbone(1);
        let weights = WeightsFile::new(&backbone.image()).expect("it has metadata");
        let trained = trained(&backbone.image(), TrainKind::BN_HEAD, seed);
        let bytes = write(&backbone.image(), &trained, &weights).expect("it fits");
        Self::new(&bytes, Some(&weights))
    }

    fn quantised() -> Self {
        Self::new(&Self::quantised_bytes(), None)
    }

    fn quantised_bytes() -> Vec<u8> {
        let float = testing::backbone(1);
        let own = Backbone::from_bytes(&graft_tests::int8::backbone(&float)).expect("it is valid");
        qdq::write(&own.image(), None).expect("it is int8")
    }

    /// The quantised model with a softmax behind it, whose probabilities are quantised where `is_quantised`.
    fn quantised_softmax(is_quantised: bool) -> Self {
        let bytes = Self::quantised_bytes();
        let mut model = ModelProto::decode(&bytes[..]).expect("it is a model");
        let graph = model.graph.as_mut().expect("it has a graph");
        let logits = graph.output[0].name.clone();
        let softmax = build::node("Softmax", vec![logits], vec![build::int("axis", 1)]);
        let mut nodes = vec![("p", softmax)];
        if is_quantised {
            let inputs = |from: &str| [from, "p.step", "p.zero"].map(str::to_owned).into();
            nodes.push(("q", build::node("QuantizeLinear", inputs("p"), Vec::new())));
            nodes.push((
                "d",
                build::node("DequantizeLinear", inputs("q"), Vec::new()),
            ));
            let zero = i8::MIN.to_le_bytes().to_vec();
            graph
                .initializer
                .push(floats("p.step", &[], &[1.0 / 256.0]));
            graph
                .initializer
                .push(build::raw("p.zero", &[], DataType::Int8, zero));
        }
        for (name, node) in nodes {
            graph.node.push(NodeProto {
                name: name.to_owned(),
                output: vec![name.to_owned()],
                ..node
            });
            graph.output[0].name = name.to_owned();
        }
        Self::new(&model.encode_to_vec(), None)
    }

    /// The backbone of a graph of this model, as `import` makes it.
    fn backbone(&self, graph: &Graph, mean: [f32; 4]) -> Backbone {
        let (mut mean, mut std) = (mean, STD);
        if let Some(affine) = &self.imported.input_affine {
            affine.compose(&mut mean, &mut std);
        }
        let settings = Settings {
            mean,
            std,
            max_classes: 64,
            metadata: BackboneMetadata::default(),
        };
        let image = compile(graph, settings).expect("it fits the format");
        let float = Backbone::from_bytes(&image).expect("it is valid");
        let Some(quantization) = &self.imported.quantized else {
            return float;
        };
        let image = int8::compile(&float.image(), quantization).expect("it fits the format");
        Backbone::from_bytes(&image).expect("it is valid")
    }

    fn judge(&self, backbone: &Backbone) -> Result<Comparison, VerifyError> {
        let original = Original {
            path: &self.path,
            mean: MEAN,
            std: STD,
            ending: self.imported.ending,
            ending_step: self.imported.ending_step,
        };
        compare(&original, backbone, &images(backbone, 8))
    }

    fn verdict(&self, graph: &Graph, mean: [f32; 4]) -> Comparison {
        let found = self.judge(&self.backbone(graph, mean));
        found.expect("tract runs it")
    }
}

fn images(backbone: &Backbone, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let length = backbone.image().input().shape.len();
    let mut image = || {
        let values = random.values(length, 1.0).into_iter();
        values.map(|value| (127.5 + 127.5 * value) as u8).collect()
    };
    (0..count).map(|_| image()).collect()
}

fn passes(found: &Comparison) -> bool {
    found.passes(None)
}

/// Changes the weights of the first pointwise layer.
fn change(graph: &mut Graph, change: impl Fn(&mut Vec<f32>)) {
    for layer in &mut graph.layers {
        if let Op::Pointwise(weights) = &mut layer.op {
            return change(&mut weights.values);
        }
    }
    panic!("a pointwise layer");
}

#[test]
fn a_good_import_passes() {
    for (model, tolerance) in [(Model::float(5), None), (Model::quantised(), Some(RANDOM))] {
        let found = model.verdict(&model.imported.graph, MEAN);
        assert!(found.passes(tolerance), "{found:?}");
        assert_eq!(found.images, 8);
        assert_eq!(
            found.mean_steps.is_some(),
            model.imported.quantized.is_some()
        );
    }
}

#[test]
fn a_wrong_import_does_not() {
    let model = Model::float(5);
    let mean = model.verdict(&model.imported.graph, [0.0; 4]);
    assert!(!passes(&mean), "{mean:?}");
    let mut wrong = model.imported.graph.clone();
    change(&mut wrong, |values| values.reverse());
    let weights = model.verdict(&wrong, MEAN);
    assert!(!passes(&weights), "{weights:?}");
    let other = Model::float(6);
    let other = model.verdict(&other.imported.graph, MEAN);
    assert!(!passes(&other), "{other:?}");
    let classes = model.judge(&testing::backbone(1));
    let classes = classes.expect_err("it has another number of classes");
    assert!(matches!(classes, VerifyError::Scores { .. }), "{classes}");
}

#[test]
fn a_small_fault_of_a_deeper_network_is_seen() {
    let model = deeper();
    let good = model.verdict(&model.imported.graph, MEAN);
    assert!(passes(&good), "{good:?}");
    let mean = model.verdict(&model.imported.graph, [124.0, 127.0, 127.0, 127.0]);
    assert!(!passes(&mean), "{mean:?}");
    for wrong in [
        |values: &mut Vec<f32>| values[3] += 0.05,
        |values: &mut Vec<f32>| values.swap(0, 1),
    ] {
        let mut graph = model.imported.graph.clone();
        change(&mut graph, wrong);
        let weight = model.verdict(&graph, MEAN);
        assert!(!passes(&weight), "{weight:?}");
    }
}

#[test]
fn a_wrong_quantised_import_does_not() {
    for (model, tolerance) in [
        (Model::quantised(), RANDOM),
        (Model::quantised_softmax(false), Comparison::INT8_TOLERANCE),
        (Model::quantised_softmax(true), Comparison::INT8_TOLERANCE),
    ] {
        let step = model.imported.ending_step;
        let good = model.verdict(&model.imported.graph, MEAN);
        assert!(good.passes(Some(RANDOM)), "{step:?}: {good:?}");
        let mean = model.verdict(&model.imported.graph, [60.0, 127.0, 127.0, 127.0]);
        assert!(
            !passes(&mean) && !mean.passes(Some(tolerance)),
            "{step:?}: {mean:?}"
        );
        let mut wrong = model.imported.graph.clone();
        for layer in &mut wrong.layers {
            if let Op::Linear(weights) = &mut layer.op {
                weights.values.reverse();
            }
        }
        let head = model.verdict(&wrong, MEAN);
        assert!(
            !passes(&head) && !head.passes(Some(tolerance)),
            "{step:?}: {head:?}"
        );
    }
}

#[test]
fn another_best_class_is_seen_unless_the_tolerance_is_given() {
    let found = Comparison {
        images: 100,
        max_difference: 0.1,
        max_relative: 0.1,
        mean_steps: Some(0.1),
        equal_top1: 0.98,
    };
    assert!(!found.passes(None) && found.passes(Some(0.5)));
    let equal = Comparison {
        equal_top1: 0.99,
        ..found
    };
    assert!(equal.passes(None));
}

#[test]
fn scores_that_are_no_numbers_never_pass() {
    let found = Comparison {
        images: 1,
        max_difference: f32::NAN,
        max_relative: f32::NAN,
        mean_steps: None,
        equal_top1: 1.0,
    };
    assert!(!found.passes(Some(f32::INFINITY)));
    let found = Comparison {
        mean_steps: Some(f32::NAN),
        ..found
    };
    assert!(!found.passes(Some(f32::INFINITY)));
}

#[test]
fn a_score_that_is_no_number_is_an_error() {
    for end in ["Flatten", "Softmax", "LogSoftmax"] {
        let model = classifier(end);
        let good = model.backbone(&model.imported.graph, MEAN);
        let mut graph = model.imported.graph.clone();
        change(&mut graph, |values| values.fill(f32::MAX));
        let backbone = model.backbone(&graph, MEAN);
        let error = model.judge(&backbone).expect_err("the backbone overflows");
        assert!(
            matches!(
                error,
                VerifyError::NotFinite {
                    side: "the backbone",
                    image: 1,
                    ..
                }
            ),
            "{end}: {error}"
        );
        let mut original = Original {
            path: &model.path,
            mean: MEAN,
            std: STD,
            ending: model.imported.ending,
            ending_step: None,
        };
        original.std = [0.0; 4];
        let error = compare(&original, &good, &images(&good, 1));
        let error = error.expect_err("the original overflows");
        assert!(
            matches!(
                error,
                VerifyError::NotFinite {
                    side: "the original model",
                    image: 1,
                    ..
                }
            ),
            "{end}: {error}"
        );
    }
}

/// Chains nodes from `x` to `y`; each reads the one before, then the named constants.
fn chain(steps: Vec<(&str, &[&str], NodeProto)>) -> Vec<NodeProto> {
    let count = steps.len();
    let mut before = "x".to_owned();
    let each = steps.into_iter().enumerate().map(|(at, (op, more, node))| {
        let output = match at + 1 == count {
            true => "y".to_owned(),
            false => format!("v{at}"),
        };
        let first = std::mem::replace(&mut before, output.clone());
        let more = more.iter().map(|&name| name.to_owned());
        NodeProto {
            op_type: op.to_owned(),
            name: format!("node {at}"),
            input: [first].into_iter().chain(more).collect(),
            output: vec![output],
            ..node
        }
    });
    each.collect()
}

fn model(image: [usize; 4], nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> Vec<u8> {
    let graph = GraphProto {
        name: "test".to_owned(),
        node: nodes,
        initializer: constants,
        input: vec![interface("x", "", &image.map(Dim::Of))],
        output: vec![interface("y", "", &[Dim::Of(1), Dim::Of(5)])],
        ..GraphProto::default()
    };
    build::model("test", "1", graph, Vec::new()).encode_to_vec()
}

/// Channels last, its own preprocessing, and a softmax: all that the network leaves out.
fn classifier(end: &str) -> Model {
    let mut random = Random(3);
    let mut values = |count| random.values(count, 1.0);
    let plain = NodeProto::default;
    let with = |attribute| NodeProto {
        attribute: vec![attribute],
        ..NodeProto::default()
    };
    let over_classes = match end {
        "Sigmoid" => plain(),
        _ => with(build::int("axis", 1)),
    };
    let nodes = chain(vec![
        ("Transpose", &[], with(ints("perm", &[0, 3, 1, 2]))),
        ("Mul", &["scale"], plain()),
        ("Sub", &["shift"], plain()),
        ("Conv", &["w", "b"], plain()),
        ("Relu", &[], plain()),
        ("GlobalAveragePool", &[], plain()),
        ("Flatten", &[], plain()),
        ("Gemm", &["fc"], plain()),
        (end, &[], over_classes),
    ]);
    let constants = vec![
        floats("scale", &[1, 3, 1, 1], &[0.5, 1.0, 2.0]),
        floats("shift", &[1, 3, 1, 1], &[0.25, -0.5, 0.125]),
        floats("w", &[8, 3, 1, 1], &values(24)),
        floats("b", &[8], &values(8)),
        floats("fc", &[8, 5], &values(40)),
    ];
    Model::new(&model([1, 8, 6, 3], nodes, constants), None)
}

/// Four pointwise layers of random weights that keep the variance through a ReLU.
fn deeper() -> Model {
    let mut random = Random(4);
    let (mut nodes, mut constants) = (Vec::new(), Vec::new());
    let names = ["w0", "w1", "w2", "w3"];
    for (at, name) in names.iter().enumerate() {
        let inputs = if at == 0 { 3 } else { 16 };
        let values = random.values(16 * inputs, (6.0 / inputs as f32).sqrt());
        constants.push(floats(name, &[16, inputs, 1, 1], &values));
        nodes.push(("Conv", std::slice::from_ref(name), NodeProto::default()));
        nodes.push(("Relu", &[][..], NodeProto::default()));
    }
    constants.push(floats("fc", &[16, 5], &random.values(80, 1.0)));
    nodes.push(("GlobalAveragePool", &[], NodeProto::default()));
    nodes.push(("Flatten", &[], NodeProto::default()));
    nodes.push(("Gemm", &["fc"], NodeProto::default()));
    Model::new(&model([1, 3, 8, 6], chain(nodes), constants), None)
}

#[test]
fn parts_that_the_network_leaves_out_are_taken_into_account() {
    for (end, ending) in [
        ("Softmax", Ending::Softmax),
        ("LogSoftmax", Ending::LogSoftmax),
        ("Sigmoid", Ending::Sigmoid),
    ] {
        let model = classifier(end);
        assert_eq!(model.imported.ending, Some(ending));
        let found = model.verdict(&model.imported.graph, MEAN);
        assert!(passes(&found) && found.equal_top1 == 1.0, "{found:?}");
        let mean = model.verdict(&model.imported.graph, [126.0, 127.0, 127.0, 127.0]);
        assert!(!passes(&mean), "{end}: {mean:?}");
        for wrong in [
            |values: &mut Vec<f32>| values[3] += 0.01,
            |values: &mut Vec<f32>| values.swap(0, 1),
        ] {
            let mut graph = model.imported.graph.clone();
            change(&mut graph, wrong);
            let weight = model.verdict(&graph, MEAN);
            assert!(!passes(&weight), "{end}: {weight:?}");
        }
        let mut wrong = classifier(end);
        wrong.imported.input_affine = None;
        let found = wrong.verdict(&wrong.imported.graph, MEAN);
        assert!(!passes(&found), "{end}: {found:?}");
    }
}

#[test]
fn models_that_tract_cannot_run_are_named() {
    let good = Model::float(5);
    let backbone = good.backbone(&good.imported.graph, MEAN);
    let judge = |bytes: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, bytes).expect("room on the disk");
        let original = Original {
            path: &path,
            mean: MEAN,
            std: STD,
            ending: None,
            ending_step: None,
        };
        compare(&original, &backbone, &images(&backbone, 1)).expect_err("it cannot run")
    };
    let nodes = chain(vec![("Strange", &[], NodeProto::default())]);
    let side = testing::SIDE;
    let unknown = judge(&model([1, 3, side, side], nodes, Vec::new()));
    let text = unknown.to_string();
    assert!(
        matches!(unknown, VerifyError::Operators { .. })
            && text.contains("Strange (node \"node 0\")"),
        "{text}"
    );
    let broken = judge(b"no model");
    assert!(matches!(broken, VerifyError::Tract { .. }), "{broken}");
    let nodes = chain(vec![("Flatten", &[], NodeProto::default())]);
    let other = judge(&model([1, 3, side, side], nodes, Vec::new()));
    assert!(
        matches!(
            other,
            VerifyError::Scores { .. } | VerifyError::Tract { .. }
        ),
        "{other}"
    );
    let none = Original {
        path: &good.path,
        mean: MEAN,
        std: STD,
        ending: None,
        ending_step: None,
    };
    let none = compare(&none, &backbone, &[]).expect_err("there is no image");
    assert!(matches!(none, VerifyError::NoImages), "{none}");
}
