//! State dicts as people save them: within checkpoints, wrapped, in other precisions, with another classifier.

use super::file::{Element, Tensor, Value, dictionary, saved};
use super::{Shapes, narrow};
use crate::import::error::ImportError;
use crate::import::graph::Op;
use crate::import::onnx::Imported;
use crate::import::torch::{Arch, load};

/// The narrow network with other keys and types; its values begin with `first`.
fn state_dict(rename: impl Fn(&str) -> String, element: Element, first: f32) -> Value {
    let tensor = |shape| {
        Value::Tensor(Tensor {
            shape,
            element,
            first,
        })
    };
    let shapes = narrow().into_iter();
    Value::Dictionary(
        shapes
            .map(|(key, shape)| (rename(&key), tensor(shape)))
            .collect(),
    )
}

fn behind(prefix: &'static str) -> Value {
    state_dict(|key| format!("{prefix}{key}"), Element::F32, 0.0)
}

/// A dictionary with one more entry.
fn with(dictionary: Value, key: &str, value: Value) -> Value {
    let Value::Dictionary(mut entries) = dictionary else {
        panic!("not a dictionary")
    };
    entries.push((key.to_owned(), value));
    Value::Dictionary(entries)
}

fn floats(shape: &[usize]) -> Value {
    Value::Tensor(Tensor {
        shape: shape.into(),
        element: Element::F32,
        first: 0.0,
    })
}

fn counter() -> Value {
    Value::Tensor(Tensor {
        shape: Vec::new(),
        element: Element::I64,
        first: 7.0,
    })
}

fn import(value: &Value, key: Option<&str>) -> Result<Imported, ImportError> {
    import_bytes(&saved(value), key)
}

fn import_bytes(bytes: &[u8], key: Option<&str>) -> Result<Imported, ImportError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    load(file.path(), Arch::MobileNetV2, None, key)
}

/// The network of a plain state dict.
fn plain() -> String {
    network(&import(&behind(""), None).unwrap())
}

fn network(imported: &Imported) -> String {
    format!("{:?}", imported.graph)
}

#[track_caller]
fn refusal(value: &Value, key: Option<&str>) -> String {
    let error = import(value, key).unwrap_err();
    let hint = error.hint().unwrap();
    format!("{error}\n{hint}")
}

#[test]
fn a_checkpoint_is_searched_for_its_state_dict() {
    let optimizer = dictionary([("state", dictionary([("0", floats(&[8, 3, 3, 3]))]))]);
    for (key, prefix) in [
        ("model", ""),
        ("state_dict", "module."),
        ("model_state_dict", ""),
        ("net", "_orig_mod."),
        ("ema", "module._orig_mod."),
        ("model_ema", "module."),
        ("any_key", "_orig_mod.module.model."),
    ] {
        let checkpoint = dictionary([
            ("epoch", Value::Int(90)),
            ("args", Value::Namespace),
            ("optimizer", optimizer.clone()),
            (key, with(behind(prefix), "n_averaged", counter())),
        ]);
        let imported = import(&checkpoint, None).unwrap();
        assert_eq!(network(&imported), plain(), "{key}");
        assert_eq!(imported.notes, [""; 0], "{key}");
    }
    // Deeper, and beside a pickled module, which is not looked at.
    let module = Value::Module(vec![("weight".to_owned(), floats(&[3]))]);
    let deep = dictionary([
        ("module", module),
        ("saved", dictionary([("model", behind(""))])),
    ]);
    assert_eq!(network(&import(&deep, None).unwrap()), plain());
}

#[test]
fn of_two_the_moving_average_is_taken_and_the_other_named() {
    let trained = state_dict(str::to_owned, Element::F32, 1.0);
    let average = with(behind("module."), "n_averaged", counter());
    let both = dictionary([("model", trained), ("model_ema", average)]);
    let imported = import(&both, None).unwrap();
    assert_eq!(network(&imported), plain());
    let [note] = &imported.notes[..] else {
        panic!("{:?}", imported.notes)
    };
    assert!(
        note.contains("\"model_ema.module\"") && note.contains("--key takes another: \"model\""),
        "{note}"
    );
    let other = import(&both, Some("model")).unwrap();
    assert!(network(&other) != plain() && other.notes.is_empty());
    let average = import(&both, Some("model_ema")).unwrap();
    assert_eq!(network(&average), plain());
    let refused = refusal(&both, Some("swa"));
    assert!(
        refused.contains("\"model\", \"model_ema.module\"") && refused.contains("\"swa\""),
        "{refused}"
    );
    let equals = dictionary([("student", behind("")), ("teacher", behind(""))]);
    let refused = refusal(&equals, None);
    assert!(
        refused.contains("\"student\", \"teacher\"") && refused.contains("--key"),
        "{refused}"
    );
}

#[test]
fn an_object_that_cannot_be_read_is_named() {
    let Value::Dictionary(entries) = behind("") else {
        panic!("not a dictionary")
    };
    let ema = Value::Object(entries);
    let refused = refusal(&dictionary([("model", behind("")), ("ema", ema)]), None);
    assert!(
        refused.contains("'__main__.Net'") && refused.contains("save the state dict alone"),
        "{refused}"
    );
}

#[test]
fn a_long_key_over_many_values_takes_no_memory() {
    let values = |count: usize| {
        let entries = (0..count).map(|i| (i.to_string(), Value::Dictionary(Vec::new())));
        Value::Dictionary(entries.collect())
    };
    let key = "k".repeat(1 << 16);
    let error = refusal(&dictionary([(&key, values(1030))]), None);
    assert!(error.contains("its names take"), "{error}");
    let error = refusal(&dictionary([(&key, values(1000))]), None);
    assert!(error.contains("no tensors"), "{error}");
}

/// A zip archive with this pickle, compressed.
fn zipped(pickle: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file("archive/data.pkl", options).unwrap();
    std::io::Write::write_all(&mut writer, pickle).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_compressed_pickle_takes_no_more_memory_than_a_large_one() {
    let nones = |count: usize| {
        let pickle = [b"\x80\x02](", "N".repeat(count).as_bytes(), b"e."].concat();
        import_bytes(&zipped(&pickle), None)
            .unwrap_err()
            .to_string()
    };
    let error = nones(9 << 20);
    assert!(error.contains("its pickled objects take"), "{error}");
    let error = nones(1000);
    assert!(!error.contains("take"), "{error}");
}

#[test]
fn a_tensor_of_one_value_takes_no_more_memory_than_its_file() {
    let mut bytes = saved(&dictionary([(
        "features.0.0.weight",
        floats(&[8, 3, 3, 3]),
    )]));
    // Its strides: one value stands for all.
    let strides = b"(J\x1b\0\0\0J\x09\0\0\0J\x03\0\0\0J\x01\0\0\0t";
    let at = bytes
        .windows(strides.len())
        .position(|found| found == strides);
    let at = at.unwrap();
    for number in bytes[at + 1..at + strides.len() - 1].chunks_mut(5) {
        number[1..].fill(0);
    }
    // And its outputs, in the tuple before.
    bytes[at - 20..at - 16].copy_from_slice(&1000_u32.to_le_bytes());
    let error = import_bytes(&bytes, None).unwrap_err().to_string();
    assert!(error.contains("its tensors take 108000 bytes"), "{error}");
}

#[test]
fn every_float_becomes_f32() {
    for element in [Element::F16, Element::BF16, Element::F64] {
        let imported = import(&state_dict(str::to_owned, element, -3.5), None).unwrap_err();
        // Variances below zero have come through all of it.
        assert!(imported.to_string().contains("running_var"), "{imported}");
        let imported = import(&state_dict(str::to_owned, element, 0.5), None).unwrap();
        let Op::Conv(_, weights) = &imported.graph.layers[0].op else {
            panic!("{:?}", imported.graph.layers[0].op)
        };
        assert_eq!(weights.values[..3], [0.5, 1.5, 2.5]);
    }
    let whole = import(&state_dict(str::to_owned, Element::I64, 0.0), None).unwrap_err();
    assert!(
        whole.to_string().contains("found I64 [8, 3, 3, 3]"),
        "{whole}"
    );
}

#[test]
fn a_replaced_classifier_is_found() {
    let renamed = |name: &'static str| {
        let rename = move |key: &str| key.replace("classifier.1", name);
        import(&state_dict(rename, Element::F32, 0.0), None).unwrap()
    };
    for (name, notes) in [
        ("classifier", 0),
        ("classifier.0", 0),
        ("classifier.3", 1),
        ("classifier.fc", 1),
    ] {
        let imported = renamed(name);
        assert_eq!(network(&imported).replace(name, "classifier.1"), plain());
        assert_eq!(imported.notes.len(), notes, "{name}");
    }
    // Without a bias.
    let Value::Dictionary(mut entries) = behind("") else {
        panic!("not a dictionary")
    };
    entries.retain(|(key, _)| key != "classifier.1.bias");
    let imported = import(&Value::Dictionary(entries), None).unwrap();
    let Op::Linear(weights) = &imported.graph.layers.last().unwrap().op else {
        panic!("{:?}", imported.graph.layers.last())
    };
    assert!(weights.bias.is_none());
    let two = with(behind(""), "classifier.4.weight", floats(&[2, 5]));
    let refused = refusal(&two, None);
    assert!(
        refused.contains("2 linear layers: classifier.1, classifier.4"),
        "{refused}"
    );
}

#[test]
fn what_computes_around_the_network_is_refused() {
    let normalised = with(behind("1."), "0.mean", floats(&[3]));
    let refused = refusal(&normalised, None);
    assert!(
        refused.contains("1 tensors") && refused.contains("\"0.mean\""),
        "{refused}"
    );
    // A loss computes no scores.
    let trained = with(behind("model."), "criterion.weight", floats(&[5]));
    assert_eq!(network(&import(&trained, None).unwrap()), plain());
    let wrapped = import(&behind("encoder."), None).unwrap();
    assert!(wrapped.notes[0].contains("encoder."), "{:?}", wrapped.notes);
}

#[test]
fn a_state_dict_of_another_network_is_described() {
    let other = dictionary([(
        "state_dict",
        dictionary([
            ("conv1.weight", floats(&[64, 3, 7, 7])),
            ("fc.weight", floats(&[10, 64])),
        ]),
    )]);
    let refused = refusal(&other, None);
    for part in [
        "mobilenet-v2",
        "\"features.0.0.weight\" or \"conv_stem.weight\"",
        "2 tensors: \"state_dict.conv1.weight\", \"state_dict.fc.weight\"",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    let lite = dictionary([("_conv_stem.weight", floats(&[32, 3, 3, 3]))]);
    let refused = refusal(&lite, None);
    assert!(
        refused.contains("choose --arch efficientnet-lite0"),
        "{refused}"
    );
    let start = dictionary([("features.0.0.weight", floats(&[8, 3, 3, 3]))]);
    let refused = refusal(&start, None);
    assert!(
        refused.contains("\"features.0.1.weight\" is missing, expected F32 [8] of mobilenet-v2")
            && refused.contains("1 tensors: \"features.0.0.weight\""),
        "{refused}"
    );
}

/// The keys that timm gives to the same network.
fn timm(key: &str) -> String {
    let (module, parameter) = key.rsplit_once('.').unwrap();
    let names: Vec<&str> = module.splitn(4, '.').collect();
    let module = match names[..] {
        ["features", "0", "0"] => "conv_stem".to_owned(),
        ["features", "0", "1"] => "bn1".to_owned(),
        ["features", "18", "0"] => "conv_head".to_owned(),
        ["features", "18", "1"] => "bn2".to_owned(),
        ["features", block, "conv", part] => {
            let mut at = block.parse::<usize>().unwrap() - 1;
            let mut stage = 0;
            for repeats in [1, 2, 3, 4, 3, 3, 1] {
                if at < repeats {
                    break;
                }
                at -= repeats;
                stage += 1;
            }
            let part = match (stage, part) {
                (0, "0.0") | (1.., "1.0") => "conv_dw",
                (0, "1") | (1.., "0.0") => "conv_pw",
                (0, "0.1") | (1.., "0.1") => "bn1",
                (0, "2") | (1.., "1.1") => "bn2",
                (1.., "2") => "conv_pwl",
                (1.., "3") => "bn3",
                _ => panic!("{key}"),
            };
            format!("blocks.{stage}.{at}.{part}")
        }
        _ => "classifier".to_owned(),
    };
    format!("{module}.{parameter}")
}

/// A safetensors file.
fn safetensors(shapes: &Shapes) -> Vec<u8> {
    let tensors = shapes.iter().map(|(key, shape)| {
        let tensor = Tensor {
            shape: shape.clone(),
            element: Element::F32,
            first: 0.0,
        };
        (key, tensor.bytes(), shape)
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(key, bytes, shape)| {
        let shape = shape.to_vec();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes);
        (*key, view.unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn names_of_timm_are_those_of_the_same_network() {
    let torchvision = import(&behind(""), None).unwrap().graph;
    let graph = import(&state_dict(timm, Element::F32, 0.0), None)
        .unwrap()
        .graph;
    assert_eq!(graph.tensors, torchvision.tensors);
    let weights = |op: &Op| match op {
        Op::Conv(_, weights) | Op::Depthwise(_, weights) => Some(weights.clone()),
        Op::Pointwise(weights) | Op::Linear(weights) => Some(weights.clone()),
        Op::Add | Op::Multiply | Op::AveragePool(..) | Op::MaxPool(_) | Op::GlobalAveragePool => {
            None
        }
    };
    let mut pairs = 0;
    for (ours, theirs) in graph.layers.iter().zip(&torchvision.layers) {
        let (Some(ours), Some(theirs)) = (weights(&ours.op), weights(&theirs.op)) else {
            continue;
        };
        assert_eq!(ours.name, timm(&theirs.name));
        assert_eq!(ours.values, theirs.values);
        if let (Some(ours), Some(theirs)) = (ours.batch_norm, theirs.batch_norm) {
            assert_eq!(ours.name + ".bias", timm(&(theirs.name + ".bias")));
            pairs += 1;
        }
    }
    assert_eq!(pairs, 52);
}

#[test]
fn safetensors_hold_state_dicts() {
    let file = safetensors(&narrow());
    assert_eq!(network(&import_bytes(&file, None).unwrap()), plain());
    let renamed = narrow();
    let renamed = renamed.into_iter().map(|(key, shape)| (timm(&key), shape));
    let imported = import_bytes(&safetensors(&renamed.collect()), None).unwrap();
    assert_eq!(imported.graph.layers[1].name, "blocks.0.0.conv_dw");
    for length in [9, 100, file.len() - 1] {
        let error = import_bytes(&file[..length], None).unwrap_err();
        assert!(matches!(error, ImportError::WrongFile { .. }), "{error}");
    }
}
