//! A model in the QDQ format comes back as the backbone that it was.

use graft_patches::layout::{PANEL, unpack_int8_weights};
use graft_patches::metadata::BackboneMetadata;
use graft_patches::records::Kinds;
use graft_runtime::{Backbone, Image, Patch, Session};
use graft_tests::int8;

use super::super::ExportError;
use super::write;
use crate::import::compile::{Settings, compile};
use crate::import::onnx;

/// The backbone that the importer makes of a model.
fn imported(model: &[u8]) -> Backbone {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("task.onnx");
    std::fs::write(&path, model).expect("room on the disk");
    let imported = onnx::load(&path, None).expect("it can be read");
    let settings = Settings {
        mean: [127.0; 4],
        std: [128.0; 4],
        max_classes: 64,
        metadata: BackboneMetadata::default(),
    };
    let float = compile(&imported.graph, settings).expect("it fits the format");
    let float = Backbone::from_bytes(&float).expect("it is valid");
    let quantization = imported.quantized.expect("it is quantised");
    let image = crate::import::int8::compile(&float.image(), &quantization);
    Backbone::from_bytes(&image.expect("it fits the format")).expect("it is valid")
}

fn scores(backbone: &Backbone, patch: &Patch, seed: u64) -> Vec<f32> {
    let mut session = Session::new(backbone).expect("kernels are there");
    let image = graft_tests::image(patch, seed);
    let scores = session.run(patch, Image::Values(&image));
    scores.expect("the image fits").to_vec()
}

/// In raw batch norms, and with every operator.
fn floats() -> Vec<Backbone> {
    let mut all = vec![graft_tests::backbone(24, 1), graft_tests::backbone(19, 5)];
    all.push(crate::testing::backbone(1));
    all.push(graft_tests::wide_linear());
    all.push(graft_tests::without_head());
    all
}

#[test]
fn a_backbone_comes_back_with_its_bytes() {
    for float in floats() {
        let own = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
        let again = imported(&write(&own.image(), None).expect("it is int8"));
        let (own, again) = (own.image(), again.image());
        assert_eq!(own.layer_count(), again.layer_count());
        for (own, again) in own.scales().iter().zip(again.scales()) {
            assert_eq!(own.get(), again.get());
        }
        for index in 0..own.site_count() {
            let site = own.site(index);
            let [[weights, table], [weights_again, table_again]] = [own, again].map(|image| {
                let values = image.int8(&site);
                let (outputs, depth) = (site.outputs, site.depth);
                let rows = unpack_int8_weights(values.weights, outputs, depth, site.is_depthwise);
                let entries = (0..outputs).map(|at| (at, values.table[at / PANEL]));
                let entries = entries.flat_map(|(at, panel)| {
                    let [multiplier, bias] = [
                        f64::from(panel.multiplier[at % PANEL]),
                        f64::from(panel.bias[at % PANEL]),
                    ];
                    [multiplier, bias]
                });
                [
                    rows.into_iter().map(f64::from).collect(),
                    entries.collect::<Vec<f64>>(),
                ]
            });
            assert_eq!(weights, weights_again);
            // A multiplier may be the neighbour of the one that it was.
            for (own, again) in table.chunks(2).zip(table_again.chunks(2)) {
                assert!(
                    (own[0] - again[0]).abs() <= own[0].abs() * 1.2e-7,
                    "{own:?} {again:?}"
                );
                assert_eq!(own[1], again[1]);
            }
        }
    }
}

#[test]
fn a_backbone_comes_back_with_its_scores() {
    for float in floats() {
        let own = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
        let again = imported(&write(&own.image(), None).expect("it is int8"));
        for seed in 0..8 {
            let expected = scores(&own, &own.identity(), seed);
            assert_eq!(scores(&again, &again.identity(), seed), expected);
        }
    }
}

#[test]
fn a_patch_is_a_model_of_its_own() {
    let float = graft_tests::backbone(24, 1);
    let own = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    let [_, bytes] = int8::random_patches(&float, &own, 7, 3);
    let patch = Patch::from_bytes(&bytes, &own).expect("it fits");
    let model = write(&own.image(), patch.image().as_ref()).expect("it is int8");
    let again = imported(&model);
    for seed in 0..8 {
        let expected = scores(&own, &patch, seed);
        assert_eq!(expected.len(), 7);
        assert_eq!(scores(&again, &again.identity(), seed), expected);
    }
}

#[test]
fn what_is_not_int8_is_refused() {
    let float = graft_tests::backbone(24, 1);
    let error = write(&float.image(), None).expect_err("it is f32");
    assert!(matches!(error, ExportError::Float { .. }), "{error}");
    assert!(error.hint().is_some());
    let [own, other] = [&float, &graft_tests::backbone(24, 2)]
        .map(|float| Backbone::from_bytes(&int8::backbone(float)).expect("it is valid"));
    let bytes = int8::identity_patch(&other, Kinds::HEAD);
    let patch = Patch::from_bytes(&bytes, &other).expect("it fits");
    let error = write(&own.image(), patch.image().as_ref()).expect_err("it is another's");
    assert!(matches!(error, ExportError::Image(_)), "{error}");
}
