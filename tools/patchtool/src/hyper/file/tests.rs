//! Files that are read back, and files that are not.

use graft_onnx::Message as _;
use graft_onnx::proto::ModelProto;

use super::{CONFIG_KEY, Hyper, PLANS, VERSION_KEY};
use crate::hyper::onnx::Parameters;
use crate::hyper::onnx::tests::{generator, hyper, parameters};
use crate::hyper::{Examples, ExamplesError, Generates, HyperError, Precision, Provenance, Target};

const TARGET: Target = Target::Frozen { features: 3 };

fn head() -> Hyper {
    hyper(Generates::Head, TARGET, false)
}

fn support(labels: &[usize]) -> Examples {
    Examples {
        images: (0..labels.len() * 3).map(|at| at as f32 / 10.0).collect(),
        labels: labels.iter().copied().map(Some).collect(),
        classes: labels.iter().max().unwrap() + 1,
    }
}

/// With some change to its model.
fn changed(change: impl FnOnce(&mut ModelProto)) -> Result<Hyper, HyperError> {
    let mut model = ModelProto::decode(&head().to_bytes()[..]).unwrap();
    change(&mut model);
    Hyper::from_bytes(&model.encode_to_vec())
}

#[test]
fn a_written_generator_is_the_same_when_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hyper");
    let written = head();
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
    let bytes = head().to_bytes();
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
    let later = changed(|model| model.metadata_props[0].value = "2".into());
    assert!(matches!(later, Err(HyperError::Version { found, .. }) if found == "2"));
    let config = changed(|model| model.metadata_props[1].value = "{}".into());
    assert!(matches!(
        config,
        Err(HyperError::Property {
            key: CONFIG_KEY,
            ..
        })
    ));
    let cnn = hyper(
        Generates::Prototypes,
        Target::Cnn {
            channels: 4,
            side: 28,
        },
        false,
    );
    let config = serde_json::to_string(cnn.config()).unwrap();
    let interface = changed(|model| model.metadata_props[1].value = config);
    assert!(matches!(
        interface,
        Err(HyperError::Interface { what: "inputs", .. })
    ));
}

#[test]
fn parameters_must_fit() {
    let generator = generator(Generates::Head, TARGET, false);
    let mut parameters = parameters(&generator);
    parameters.remove("projection");
    let id = head().backbone();
    let error = Hyper::new(
        &generator,
        &parameters,
        Precision::F32,
        id,
        Provenance::default(),
    );
    assert!(matches!(
        error,
        Err(HyperError::Parameter { name, found: 0, .. }) if name == "projection"
    ));
}

#[test]
fn half_precision_generates_what_rounded_parameters_do_from_half_of_the_file() {
    let generator = generator(Generates::Head, TARGET, false);
    let exact = parameters(&generator);
    let id = head().backbone();
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
    large.get_mut("projection").unwrap()[1] = 1e5;
    assert!(store(&large, Precision::F32).is_ok());
    assert!(matches!(
        store(&large, Precision::F16),
        Err(HyperError::NotFinite { name, value: 1e5 }) if name == "projection"
    ));
}

#[test]
fn support_sets_that_do_not_fit_are_refused() {
    let hyper = head();
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
    set.images[4] = f32::NAN;
    assert_eq!(refused(&set), ExamplesError::NotFinite { image: 1 });
    set.images.pop();
    assert!(matches!(
        refused(&set),
        ExamplesError::Size { found: 5, .. }
    ));
    let many = support(&[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(refused(&many), ExamplesError::Classes { found: 7, most: 6 });
    assert_eq!(refused(&Examples::default()), ExamplesError::Empty);
    assert!(matches!(
        hyper.generate(&support(&[0]), &[vec![0.0]]),
        Err(HyperError::Start { .. })
    ));
}

#[test]
fn the_last_shapes_stay_ready() {
    let hyper = hyper(Generates::Prototypes, TARGET, false);
    for count in [1, 2, 3, 4, 2, 5] {
        let labels: Vec<usize> = (0..count).collect();
        hyper.generate(&support(&labels), &[]).unwrap();
    }
    let plans = hyper.plans.lock().unwrap();
    let sizes: Vec<[usize; 2]> = plans.iter().map(|(sizes, _)| *sizes).collect();
    assert_eq!(sizes, [[3, 3], [4, 4], [2, 2], [5, 5]]);
    assert_eq!(sizes.len(), PLANS);
}
