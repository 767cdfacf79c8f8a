//! Files that are read back, and files that are not.

use graft_onnx::Message as _;
use graft_onnx::proto::{GraphProto, ModelProto, TensorProto};

use super::{CONFIG_KEY, DIGEST_KEY, Hyper, VERSION_KEY, digest};
use crate::hyper::arrays::tests::{generator, hyper, parameters};
use crate::hyper::onnx::Parameters;
use crate::hyper::{Examples, ExamplesError, Generates, HyperError, Precision, Provenance, Target};

const TARGET: Target = Target {
    channels: 2,
    features: 3,
    side: 16,
};
/// Values of an image.
const VALUES: usize = 256;

fn small() -> Hyper {
    hyper(Generates::All, TARGET, false)
}

fn support(labels: &[usize]) -> Examples {
    Examples {
        images: (0..labels.len() * VALUES)
            .map(|at| (at % 7) as f32 / 10.0)
            .collect(),
        labels: labels.iter().copied().map(Some).collect(),
        classes: labels.iter().max().unwrap() + 1,
    }
}

/// With some change to its model.
fn changed(change: impl FnOnce(&mut ModelProto)) -> Result<Hyper, HyperError> {
    let mut model = ModelProto::decode(&small().to_bytes()[..]).unwrap();
    change(&mut model);
    Hyper::from_bytes(&model.encode_to_vec())
}

#[test]
fn a_written_generator_is_the_same_when_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hyper");
    let written = small();
    written.write(&path, false).unwrap();
    let read = Hyper::open(&path).unwrap();
    assert_eq!(read.config(), written.config());
    assert_eq!(read.backbone(), written.backbone());
    assert_eq!(read.provenance(), written.provenance());
    let support = support(&[0, 1]);
    assert_eq!(
        read.generate(&support, &[]).unwrap(),
        written.generate(&support, &[]).unwrap()
    );
    assert!(matches!(
        written.write(&path, false),
        Err(HyperError::Output(_))
    ));
}

#[test]
fn no_part_of_a_file_is_read_as_a_whole() {
    let bytes = small().to_bytes();
    let step = bytes.len() / 50;
    let inside = (1..bytes.len()).step_by(step);
    for length in inside.chain(bytes.len() - 400..bytes.len()) {
        let error = Hyper::from_bytes(&bytes[..length]).unwrap_err();
        assert!(
            matches!(
                error,
                HyperError::Damaged { .. } | HyperError::NotAGenerator { .. }
            ),
            "{length} of {}: {error}",
            bytes.len()
        );
    }
    assert!(matches!(Hyper::from_bytes(&[]), Err(HyperError::NotOnnx)));
    let text = b"not a model".repeat(20);
    assert!(matches!(Hyper::from_bytes(&text), Err(HyperError::NotOnnx)));
}

#[test]
fn a_changed_weight_is_found() {
    let error = changed(|model| {
        let graph = model.graph.as_mut().unwrap();
        graph.initializer[0].raw_data[1] ^= 1;
    });
    assert!(matches!(error, Err(HyperError::Damaged { .. })));
}

#[test]
fn other_models_are_refused() {
    let other = changed(|model| model.metadata_props.clear());
    assert!(matches!(
        other,
        Err(HyperError::NotAGenerator { key: VERSION_KEY })
    ));
    // Version 1 had generators of heads, for any backbone.
    for version in ["1", "3"] {
        let other = changed(|model| model.metadata_props[0].value = version.into());
        let error = other.unwrap_err();
        assert!(matches!(&error, HyperError::Version { found, .. } if found == version));
        assert!(error.hint().contains("patchtool generate --method"));
    }
    let config = changed(|model| model.metadata_props[1].value = "{}".into());
    assert!(matches!(
        config,
        Err(HyperError::Property {
            key: CONFIG_KEY,
            ..
        })
    ));
    let continual = hyper(Generates::All, TARGET, true);
    let config = serde_json::to_string(continual.config()).unwrap();
    let interface = changed(|model| model.metadata_props[1].value = config);
    assert!(matches!(
        interface,
        Err(HyperError::Interface { what: "inputs", .. })
    ));
}

#[test]
fn parameters_must_fit() {
    let generator = generator(Generates::All, TARGET, false);
    let mut parameters = parameters(&generator);
    parameters.remove("shared.1.weight");
    let id = small().backbone();
    let error = Hyper::new(
        &generator,
        &parameters,
        Precision::F32,
        id,
        Provenance::default(),
    );
    assert!(matches!(
        error,
        Err(HyperError::Parameter { name, found: 0, .. }) if name == "shared.1.weight"
    ));
}

#[test]
fn half_precision_generates_what_rounded_parameters_do_from_half_of_the_file() {
    let generator = generator(Generates::All, TARGET, false);
    let exact = parameters(&generator);
    let id = small().backbone();
    let store = |parameters: &Parameters, precision| {
        Hyper::new(&generator, parameters, precision, id, Provenance::default())
    };
    let mut rounded = exact.clone();
    for value in rounded.values_mut().flatten() {
        *value = Precision::F16.round(*value);
    }
    assert_ne!(rounded, exact);
    let half = store(&exact, Precision::F16).unwrap().to_bytes();
    let full = store(&rounded, Precision::F32).unwrap();
    let count: usize = exact.values().map(Vec::len).sum();
    let saved = full.to_bytes().len() as f64 - half.len() as f64;
    assert!(saved > 1.5 * count as f64, "{saved} of {count} parameters");
    let support = support(&[0, 1, 1]);
    assert_eq!(
        Hyper::from_bytes(&half)
            .unwrap()
            .generate(&support, &[])
            .unwrap(),
        full.generate(&support, &[]).unwrap()
    );

    let mut large = exact;
    large.get_mut("shared.1.weight").unwrap()[1] = 1e5;
    assert!(store(&large, Precision::F32).is_ok());
    assert!(matches!(
        store(&large, Precision::F16),
        Err(HyperError::NotFinite { name, value: 1e5 }) if name == "shared.1.weight"
    ));
}

#[test]
fn support_sets_that_do_not_fit_are_refused() {
    let hyper = small();
    let refused = |support: &Examples| match hyper.generate(support, &[]) {
        Err(HyperError::Examples(error)) => error,
        other => panic!("{other:?}"),
    };
    let mut set = support(&[0, 1]);
    set.labels[1] = None;
    assert_eq!(refused(&set), ExamplesError::NoExample { class: 1 });
    set.labels[1] = Some(2);
    assert!(matches!(
        refused(&set),
        ExamplesError::Label { image: 1, .. }
    ));
    set = support(&[0, 1]);
    set.images[VALUES] = f32::NAN;
    assert_eq!(refused(&set), ExamplesError::NotFinite { image: 1 });
    set.images.pop();
    assert!(matches!(
        refused(&set),
        ExamplesError::Size { found: 511, .. }
    ));
    let many = support(&[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(refused(&many), ExamplesError::Classes { found: 7, most: 6 });
    assert_eq!(refused(&Examples::default()), ExamplesError::Empty);
    assert!(matches!(
        hyper.generate(&support(&[0]), &[vec![0.0]]),
        Err(HyperError::Start { .. })
    ));
}

/// With some change to its graph, as another program might have written it: the digest is that of the changed graph.
fn written_otherwise(change: impl FnOnce(&mut GraphProto)) -> Result<Hyper, HyperError> {
    changed(|model| {
        let graph = model.graph.as_mut().unwrap();
        change(graph);
        let own = digest(graph).to_string();
        let properties = &mut model.metadata_props;
        let entry = properties.iter_mut().find(|entry| entry.key == DIGEST_KEY);
        entry.unwrap().value = own;
    })
}

#[test]
fn a_graph_that_this_code_would_not_write_is_refused() {
    type Change = fn(&mut GraphProto);
    let others: [Change; 6] = [
        |graph| graph.node[0].op_type = "Sub".into(),
        |graph| graph.node[1].input.swap(0, 1),
        |graph| drop(graph.node.pop()),
        |graph| graph.output[0].r#type = None,
        |graph| {
            let mut constants = graph.initializer.iter_mut();
            let constant = constants.find(|tensor| tensor.name.starts_with("graft.number"));
            constant.unwrap().raw_data[0] ^= 1;
        },
        |graph| {
            let mut parameters = graph.initializer.iter_mut();
            let matrix = parameters.find(|tensor| tensor.name == "parameter.shared.1.weight");
            matrix.unwrap().dims.reverse();
        },
    ];
    for (index, change) in others.into_iter().enumerate() {
        let error = written_otherwise(change).unwrap_err();
        assert!(
            matches!(error, HyperError::OtherGraph { .. }),
            "{index}: {error}"
        );
        assert!(error.hint().contains("the patchtool that trained"));
    }
    // Values of parameters and documentation are not the calculation.
    let same = written_otherwise(|graph| {
        let mut parameters = graph.initializer.iter_mut();
        let matrix = parameters.find(|tensor| tensor.name == "parameter.shared.1.weight");
        matrix.unwrap().raw_data[0] ^= 1;
        graph.input[0].doc_string = "in other words".into();
    });
    assert!(same.is_ok(), "{same:?}");
}

#[test]
fn parameters_of_a_file_must_fit() {
    let refused = |change: fn(&mut TensorProto)| {
        let error = written_otherwise(|graph| {
            let mut parameters = graph.initializer.iter_mut();
            let matrix = parameters.find(|tensor| tensor.name == "parameter.shared.1.weight");
            change(matrix.unwrap());
        });
        error.expect_err("it does not fit")
    };
    // Values read, where the tensor itself is whole.
    let found = |change| {
        let error = refused(change);
        let HyperError::Parameter { name, found, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(name, "shared.1.weight");
        *found
    };
    assert_eq!(found(|matrix| matrix.name += "s"), 0);
    assert_eq!(
        found(|matrix| {
            matrix.dims = vec![1];
            matrix.raw_data.truncate(4);
        }),
        1
    );
    let changes: [fn(&mut TensorProto); 3] = [
        |matrix| matrix.data_type = 2,
        |matrix| matrix.raw_data.truncate(5),
        |matrix| matrix.raw_data.extend([0; 4]),
    ];
    for change in changes {
        let error = refused(change);
        assert!(matches!(error, HyperError::Tensor(_)), "{error:?}");
        assert!(
            error.to_string().contains("parameter.shared.1.weight"),
            "{error}"
        );
    }
    let error = written_otherwise(|graph| {
        let mut parameters = graph.initializer.iter_mut();
        let matrix = parameters.find(|tensor| tensor.name == "parameter.shared.1.weight");
        matrix.unwrap().raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert!(
        matches!(error, Err(HyperError::NotFinite { .. })),
        "{error:?}"
    );
}

#[test]
fn sizes_that_no_generator_has_are_refused() {
    for (found, other) in [
        ("\"heads\":2", "\"heads\":0"),
        (
            "\"transformer_layers\":2",
            "\"transformer_layers\":4000000000",
        ),
        ("\"features\":3", "\"features\":0"),
        ("\"embedding\":8", "\"embedding\":18446744073709551615"),
        ("\"side\":16", "\"side\":0"),
        ("\"channels\":2", "\"channels\":4294967296"),
    ] {
        let mut model = ModelProto::decode(&small().to_bytes()[..]);
        let config = &mut model.as_mut().unwrap().metadata_props[1].value;
        assert!(config.contains(found), "{config}");
        *config = config.replace(found, other);
        let error = Hyper::from_bytes(&model.unwrap().encode_to_vec()).unwrap_err();
        let is_refused = matches!(
            error,
            HyperError::Property {
                key: CONFIG_KEY,
                ..
            }
        );
        assert!(is_refused, "{other}: {error}");
    }
}

#[test]
fn the_generator_of_the_assets_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/omniglot.hyper");
    let hyper = Hyper::open(path.as_ref()).unwrap();
    assert_eq!(hyper.precision(), Precision::F16);
}
