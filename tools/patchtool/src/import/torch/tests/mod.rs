//! A narrow MobileNetV2 in PyTorch's legacy format, and everything that can be wrong with it.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use self::file::{Element, Tensor, Value, saved};
use super::{Arch, load};
use crate::import::error::ImportError;
use crate::import::graph::{Graph, Op};

mod checkpoints;
mod file;

type Shapes = BTreeMap<String, Vec<usize>>;

/// Keys and shapes of a MobileNetV2 with 8 channels everywhere and 5 classes.
fn narrow() -> Shapes {
    let mut shapes = Shapes::new();
    let mut add = |conv: String, norm: String, shape: [usize; 4]| {
        shapes.insert(format!("{conv}.weight"), shape.to_vec());
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.insert(format!("{norm}.{part}"), vec![shape[0]]);
        }
    };
    add("features.0.0".into(), "features.0.1".into(), [8, 3, 3, 3]);
    for block in 1..18 {
        let name = |part: &str| format!("features.{block}.conv.{part}");
        let (first, hidden) = if block == 1 { (0, 8) } else { (1, 48) };
        if block > 1 {
            add(name("0.0"), name("0.1"), [48, 8, 1, 1]);
        }
        let at = |i: usize| name(&(first + i).to_string());
        add(
            format!("{}.0", at(0)),
            format!("{}.1", at(0)),
            [hidden, 1, 3, 3],
        );
        add(at(1), at(2), [8, hidden, 1, 1]);
    }
    add("features.18.0".into(), "features.18.1".into(), [8, 8, 1, 1]);
    shapes.insert("classifier.1.weight".into(), vec![5, 8]);
    shapes.insert("classifier.1.bias".into(), vec![5]);
    shapes
}

/// A file with this state dict, whose values count up.
fn legacy(shapes: &Shapes) -> Vec<u8> {
    let entries = shapes.iter().map(|(key, shape)| {
        let tensor = Tensor {
            shape: shape.clone(),
            element: Element::F32,
            first: 0.0,
        };
        (key.clone(), Value::Tensor(tensor))
    });
    saved(&Value::Dictionary(entries.collect()))
}

fn read(bytes: &[u8], arch: Arch, resolution: Option<usize>) -> Result<Graph, ImportError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Ok(load(file.path(), arch, resolution, None)?.graph)
}

fn changed(change: impl Fn(&mut Shapes)) -> String {
    let mut shapes = narrow();
    change(&mut shapes);
    let error = read(&legacy(&shapes), Arch::MobileNetV2, None).unwrap_err();
    assert!(error.hint().is_some());
    error.to_string()
}

#[test]
fn a_whole_model_is_no_state_dict() {
    // What `torch.save(model)` writes.
    let mut model = Value::Tensor(Tensor {
        shape: vec![8, 3, 3, 3],
        element: Element::F32,
        first: 0.0,
    });
    for name in ["weight", "0", "0", "features"] {
        model = Value::Module(vec![(name.to_owned(), model)]);
    }
    let file = saved(&model);
    let error = read(&file, Arch::MobileNetV2, None).unwrap_err();
    assert!(matches!(error, ImportError::WholeModel { .. }), "{error}");
    assert!(error.hint().unwrap().contains("model.state_dict()"));
    let checkpoint = saved(&file::dictionary([("model", model)]));
    let error = read(&checkpoint, Arch::MobileNetV2, None).unwrap_err();
    assert!(matches!(error, ImportError::WholeModel { .. }), "{error}");
}

#[test]
fn widths_come_from_the_weights() {
    let graph = read(&legacy(&narrow()), Arch::MobileNetV2, Some(96)).unwrap();
    let adds = graph
        .layers
        .iter()
        .filter(|layer| matches!(layer.op, Op::Add))
        .count();
    assert_eq!(
        adds, 13,
        "every block of stride 1 has a shortcut where all widths are equal"
    );
    assert_eq!(graph.tensors[0].height, 96);
    assert_eq!(graph.layers.last().unwrap().name, "classifier.1");
    let Op::Conv(_, weights) = &graph.layers[0].op else {
        panic!("{:?}", graph.layers[0].op)
    };
    assert_eq!(
        (&weights.name[..], weights.values[3]),
        ("features.0.0.weight", 3.0)
    );
    assert_eq!(weights.batch_norm.as_ref().unwrap().epsilon, 1e-5);
}

#[test]
fn every_key_must_fit() {
    let missing = changed(|shapes| drop(shapes.remove("features.7.conv.1.1.running_var")));
    assert!(
        missing.contains("features.7.conv.1.1.running_var") && missing.contains("missing"),
        "{missing}"
    );
    let wrong = changed(|shapes| {
        drop(shapes.insert("features.7.conv.1.0.weight".into(), vec![48, 1, 5, 5]))
    });
    assert!(
        wrong.contains("found F32 [48, 1, 5, 5], expected F32 [48, 1, 3, 3]"),
        "{wrong}"
    );
    let unused = changed(|shapes| drop(shapes.insert("extra.weight".into(), vec![1])));
    assert!(
        unused.contains("1 tensors") && unused.contains("extra.weight"),
        "{unused}"
    );
    let other = read(&legacy(&narrow()), Arch::EfficientNetLite0, None).unwrap_err();
    assert!(other.to_string().contains("_conv_stem.weight"), "{other}");
}

#[test]
fn wrappers_and_counters_are_ignored() {
    let mut shapes: Shapes = narrow()
        .into_iter()
        .map(|(key, shape)| (format!("state_dict.module.{key}"), shape))
        .collect();
    shapes.insert(
        "state_dict.module.features.0.1.num_batches_tracked".into(),
        vec![1],
    );
    assert!(read(&legacy(&shapes), Arch::MobileNetV2, None).is_ok());
}

#[test]
fn other_files_are_refused() {
    for bytes in [
        &b""[..],
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PK\x03\x04",
        b"\x80\x02}.",
        &[0xff; 64],
    ] {
        let error = read(bytes, Arch::MobileNetV2, None).unwrap_err();
        assert!(matches!(error, ImportError::WrongFile { .. }), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(load(&std::env::temp_dir(), Arch::MobileNetV2, None, None).is_err());
    assert!(load(Path::new("/no/such/file"), Arch::MobileNetV2, None, None).is_err());
    for resolution in [0, 1 << 20, usize::MAX] {
        assert!(read(&legacy(&narrow()), Arch::MobileNetV2, Some(resolution)).is_err());
    }
}

#[test]
fn names_of_architectures_parse() {
    for arch in Arch::ALL {
        assert_eq!(arch.to_string().parse::<Arch>().unwrap(), arch);
    }
    let error = "vgg".parse::<Arch>().unwrap_err().to_string();
    assert!(
        error.contains("vgg") && error.contains("mobilenet-v2"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_files_never_panic(at in any::<prop::sample::Index>(), value in any::<u8>(), length in any::<prop::sample::Index>(), in_head in any::<bool>()) {
        let mut bytes = legacy(&narrow());
        // The storages are most of the file; the pickles before them are what can go wrong.
        let range = if in_head { 2000 } else { bytes.len() };
        bytes[at.index(range)] = value;
        let _ = read(&bytes, Arch::MobileNetV2, None);
        bytes.truncate(length.index(bytes.len()));
        let _ = read(&bytes, Arch::MobileNetV2, None);
    }
}
