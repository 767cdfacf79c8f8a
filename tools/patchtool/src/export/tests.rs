//! A task as an ONNX model scores as its patch does, and comes back as the patch that it was.

use std::path::Path;

use graft_onnx::Message as _;
use graft_onnx::proto::ModelProto;
use graft_patches::geometry::Activation;
use graft_patches::metadata::BackboneMetadata;
use graft_patches::records::Dtype;
use graft_runtime::gradient::Norm;
use graft_runtime::{Backbone, Image, Patch, Session};
use tempfile::TempDir;

use super::{ExportError, WeightsFile, read, write};
use crate::import::compile::{Settings, compile};
use crate::import::graph::{Graph, Op};
use crate::import::onnx;
use crate::testing::{backbone, graph, trained};
use crate::trained::{TrainKind, Trained};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Writes a task's model, and the weights beside it.
fn export(backbone: &Backbone, trained: &Trained, path: &Path) {
    let weights = WeightsFile::new(&backbone.image()).expect("it has metadata");
    let model = write(&backbone.image(), trained, &weights).expect("it fits");
    std::fs::write(path, model).expect("room on the disk");
    if trained.kind.is_baseline() {
        return;
    }
    let folder = path.parent().expect("it has a folder");
    weights.write(folder, false).expect("room on the disk");
}

/// A network that an importer read, as a backbone.
fn compiled(graph: &Graph) -> Backbone {
    let settings = Settings {
        mean: [127.0; 4],
        std: [128.0; 4],
        max_classes: 64,
        metadata: BackboneMetadata::default(),
    };
    let image = compile(graph, settings).expect("it fits the format");
    Backbone::from_bytes(&image).expect("it is valid")
}

fn scores(backbone: &Backbone, patch: &Patch) -> Vec<f32> {
    let mut session = Session::new(backbone).expect("kernels are there");
    let image = graft_tests::image(patch, 9);
    let scores = session.run(patch, Image::Values(&image));
    scores.expect("the image fits").to_vec()
}

fn assert_close(found: &[f32], expected: &[f32]) {
    let range = expected.iter().fold(f32::MIN, |a, &b| a.max(b))
        - expected.iter().fold(f32::MAX, |a, &b| a.min(b));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-4 * range,
            "{found} is not {expected}"
        );
    }
}

/// With raw batch norms and names, and without both.
fn backbones() -> [Backbone; 2] {
    [backbone(1), graft_tests::backbone(24, 1)]
}

#[test]
fn a_model_scores_as_its_patch() {
    for backbone in backbones() {
        for kind in TrainKind::ALL {
            let folder = folder();
            let path = folder.path().join("task.onnx");
            let trained = trained(&backbone.image(), kind, 5);
            export(&backbone, &trained, &path);
            let model = compiled(&onnx::load(&path, None).expect("it can be read").graph);
            let patch = trained
                .compile(&backbone.image(), Dtype::F32)
                .expect("it fits");
            let patch = Patch::from_bytes(&patch, &backbone).expect("it is complete");
            let expected = scores(&backbone, &patch);
            assert_close(&scores(&model, &model.identity()), &expected);
            assert!(expected != scores(&backbone, &backbone.identity()));
        }
    }
}

#[test]
fn a_model_comes_back_as_its_patch() {
    for backbone in backbones() {
        for kind in TrainKind::ALL
            .into_iter()
            .filter(|kind| !kind.is_baseline())
        {
            let folder = folder();
            let path = folder.path().join("task.onnx");
            let mut trained = trained(&backbone.image(), kind, 6);
            // A smaller input than the backbone's, and another normalisation.
            trained.input.shape.height -= 4;
            trained.input.mean[1] = 100.5;
            export(&backbone, &trained, &path);
            let found = read(&path, &backbone.image(), None, Dtype::F32).expect("it fits");
            assert_eq!(found.kinds, kind.kinds());
            let expected = trained
                .compile(&backbone.image(), Dtype::F32)
                .expect("it fits");
            let [found, expected] = [&found.patch, &expected]
                .map(|bytes| Patch::from_bytes(bytes, &backbone).expect("it is complete"));
            let (found, expected) = (found.image(), expected.image());
            let (found, expected) = (found.expect("a file"), expected.expect("a file"));
            assert_eq!(found.input(), expected.input());
            assert_eq!(
                found.replacements().count(),
                expected.replacements().count()
            );
            for (found, expected) in found.replacements().zip(expected.replacements()) {
                assert_eq!((found.site, found.what), (expected.site, expected.what));
                assert_eq!(found.values.bytes(), expected.values.bytes(), "{kind}");
            }
            let (found, expected) = (found.metadata(), expected.metadata());
            let (found, expected) = (found.expect("metadata"), expected.expect("metadata"));
            assert_eq!((found.name, found.labels), (expected.name, expected.labels));
            assert_eq!(found.resize, expected.resize);
        }
    }
}

#[test]
fn models_of_one_backbone_share_their_frozen_weights() {
    let backbone = backbone(1);
    let folder = folder();
    let weights = WeightsFile::new(&backbone.image()).expect("it has metadata");
    let metadata = backbone.image().metadata().expect("it is readable");
    assert!(weights.name().starts_with("small-net-") && weights.name().ends_with(".weights"));
    for (name, kind) in [("a.onnx", TrainKind::BN_HEAD), ("b.onnx", TrainKind::HEAD)] {
        let path = folder.path().join(name);
        let mut trained = trained(&backbone.image(), kind, 7);
        for (&site, values) in &mut trained.sites {
            let own = metadata.sites[site].batch_norm.as_ref();
            if let (Some(Norm::Batch(norm)), Some(own)) = (&mut values.norm, own) {
                (norm.mean, norm.var) = (own.mean.clone(), own.var.clone());
            }
        }
        export(&backbone, &trained, &path);
        let bytes = std::fs::read(&path).expect("it was written");
        let model: ModelProto = ModelProto::decode(&bytes[..]).expect("it is a model");
        let tensors = model.graph.expect("it has a graph").initializer;
        for tensor in tensors
            .iter()
            .filter(|tensor| tensor.data_location == Some(1))
        {
            let value = |key| {
                let entry = tensor.external_data.iter().find(|entry| entry.key == key);
                entry.map(|entry| entry.value.as_str())
            };
            let offset: usize = value("offset")
                .expect("an offset")
                .parse()
                .expect("a number");
            assert_eq!(value("location"), Some(weights.name()));
            assert!(offset.is_multiple_of(4096) && tensor.raw_data.is_empty());
        }
        let inline = tensors
            .iter()
            .filter(|tensor| tensor.data_location.is_none());
        let is_own = |end: &str| inline.clone().any(|tensor| tensor.name.ends_with(end));
        assert!(
            !inline.clone().any(|tensor| tensor.dims.len() == 4),
            "no convolution is the task's own"
        );
        assert_eq!(is_own(".gamma"), kind == TrainKind::BN_HEAD);
        assert!(
            !is_own(".mean") && !is_own(".var"),
            "statistics stayed as they were"
        );
    }
    let files = std::fs::read_dir(folder.path()).expect("it is there");
    assert_eq!(files.count(), 3);

    let path = folder.path().join(weights.name());
    let mut damaged = std::fs::read(&path).expect("it was written");
    damaged[0] ^= 1;
    std::fs::write(&path, &damaged).expect("room on the disk");
    let refused = weights
        .write(folder.path(), false)
        .expect_err("it is damaged");
    let refused = refused.downcast_ref::<ExportError>();
    assert!(matches!(refused, Some(ExportError::OtherWeights { .. })));
    weights
        .write(folder.path(), true)
        .expect("it was asked for");
    assert_ne!(std::fs::read(&path).expect("it was written"), damaged);
}

/// The error for a model that is the network with this change.
fn refused(change: impl FnOnce(&mut Graph)) -> ExportError {
    let own = backbone(1);
    let mut other = graph(1);
    change(&mut other);
    let other = compiled(&other);
    let folder = folder();
    let path = folder.path().join("other.onnx");
    export(
        &other,
        &trained(&other.image(), TrainKind::BN_HEAD, 8),
        &path,
    );
    read(&path, &own.image(), None, Dtype::F32).expect_err("it is another network")
}

#[test]
fn the_first_difference_of_another_network_is_named() {
    let activation = refused(|graph| graph.layers[1].activation = Activation::RELU);
    let ExportError::Layer { layer: 1, name, .. } = &activation else {
        panic!("{activation}");
    };
    assert_eq!(name, "layer2");
    let text = activation.to_string();
    assert!(text.contains("inf") && text.contains("6.0"), "{text}");

    let frozen = refused(|graph| {
        let Op::Pointwise(weights) = &mut graph.layers[1].op else {
            panic!("layer 1 is pointwise");
        };
        weights.values[17] += 0.5;
    });
    assert!(
        matches!(&frozen, ExportError::Frozen { site: 1, name } if name == "layers.1.weight"),
        "{frozen}"
    );

    let swapped = refused(|graph| graph.layers[8].inputs.swap(0, 1));
    assert!(
        matches!(swapped, ExportError::Layer { layer: 8, .. }),
        "{swapped}"
    );
}

#[test]
fn a_model_of_the_backbone_itself_is_no_patch() {
    let backbone = backbone(1);
    let folder = folder();
    let path = folder.path().join("same.onnx");
    let head = backbone.image().head().expect("it has a head");
    let site = backbone.image().site(head);
    let packed = backbone.image().weights(&site);
    let mut same = trained(&backbone.image(), TrainKind::HEAD, 8);
    same.labels.clear();
    let values = same.sites.get_mut(&head).expect("it was trained");
    values.weights = Some(graft_patches::layout::unpack_weights(
        packed,
        site.outputs,
        site.depth,
        false,
    ));
    let epilogue = backbone.image().epilogue(&site);
    let (scale, bias) = graft_patches::layout::unpack_epilogue(epilogue, site.outputs);
    values.norm = Some(graft_runtime::gradient::Norm::Affine { scale, bias });
    export(&backbone, &same, &path);
    let error = read(&path, &backbone.image(), None, Dtype::F32);
    assert!(matches!(error, Err(ExportError::Same)));
}
