//! Trained files come back as they were, or not at all; compiled, they run as their values say.

use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::records::{Dtype, Kinds, What};
use graft_runtime::Patch;
use graft_runtime::gradient::Norm;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{TrainKind, Trained, TrainedError};
use crate::testing::{backbone, trained};

fn kinds() -> impl Strategy<Value = TrainKind> {
    prop::sample::select(TrainKind::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_file_comes_back_as_it_was(kind in kinds(), seed in any::<u64>()) {
        let backbone = backbone(1);
        let trained = trained(&backbone.image(), kind, seed);
        let bytes = trained.to_bytes(&backbone.image()).expect("it fits");
        prop_assert_eq!(Trained::from_bytes(&bytes).expect("it is whole"), trained);
    }

    #[test]
    fn a_damaged_file_is_refused(at in any::<Index>(), bit in 0..8u8) {
        let backbone = backbone(1);
        let trained = trained(&backbone.image(), TrainKind::BN_HEAD, 2);
        let mut bytes = trained.to_bytes(&backbone.image()).expect("it fits");
        let at = at.index(bytes.len());
        prop_assert!(Trained::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        bytes[at] ^= 1 << bit;
        // A space may become another white space: nothing is lost then.
        if let Ok(read) = Trained::from_bytes(&bytes) {
            prop_assert_eq!(read, trained, "byte {}", at);
        }
    }

    #[test]
    fn a_patch_has_the_trained_values(kind in kinds(), seed in any::<u64>()) {
        let backbone = backbone(1);
        let trained = trained(&backbone.image(), kind, seed);
        let bytes = trained.compile(&backbone.image(), Dtype::F32).expect("it fits");
        let patch = Patch::from_bytes(&bytes, &backbone).expect("it is complete");
        let image = patch.image().expect("it has a file");
        let metadata = backbone.image().metadata().expect("it has metadata");
        prop_assert_eq!(patch.receipt().kinds, kind.kinds());
        prop_assert_eq!(patch.classes(), 7);
        for replacement in image.replacements() {
            let values = &trained.sites[&replacement.site];
            let site = backbone.image().site(replacement.site);
            let packed = replacement.values.to_vec();
            if replacement.what == What::Weights {
                let found = unpack_weights(&packed, replacement.outputs, site.depth, site.is_depthwise);
                prop_assert_eq!(Some(&found), values.weights.as_ref());
                continue;
            }
            let (scale, bias) = unpack_epilogue(&packed, replacement.outputs);
            let expected = match values.norm.as_ref().expect("it was trained") {
                Norm::Affine { scale, bias } => (scale.clone(), bias.clone()),
                Norm::Batch(norm) => norm.fold(metadata.sites[replacement.site].bias.as_deref()),
            };
            prop_assert_eq!((scale, bias), expected);
        }
        let training = image.metadata().expect("it has metadata").training.expect("it was trained");
        prop_assert_eq!(training.test_accuracy, trained.metrics.test_accuracy);
        prop_assert_eq!(training.data, trained.data.digest);
    }
}

#[test]
fn another_backbone_is_refused_with_both_ids() {
    let (one, other) = (backbone(1), backbone(2));
    let trained = trained(&one.image(), TrainKind::BN_HEAD, 3);
    let error = trained
        .compile(&other.image(), Dtype::F32)
        .expect_err("it is for another");
    let text = error.to_string();
    assert!(matches!(error, TrainedError::WrongBackbone { .. }));
    assert!(text.contains(&one.id().to_string()) && text.contains(&other.id().to_string()));
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let backbone = backbone(1);
    let image = backbone.image();
    let refused = |change: &dyn Fn(&mut Trained)| {
        let mut trained = trained(&image, TrainKind::BN_HEAD, 4);
        change(&mut trained);
        let error = trained
            .compile(&image, Dtype::F32)
            .expect_err("it was changed");
        assert!(!error.hint().is_empty());
        error
    };
    let missing = refused(&|trained| drop(trained.sites.remove(&3)));
    assert!(
        matches!(missing, TrainedError::Missing { site: 3, .. }),
        "{missing}"
    );
    let weights = vec![0.0; 27 * 12];
    let frozen =
        refused(&|t| t.sites.get_mut(&0).expect("it is there").weights = Some(weights.clone()));
    assert!(
        matches!(frozen, TrainedError::Unexpected { site: 0, .. }),
        "{frozen}"
    );
    let labels = refused(&|trained| drop(trained.labels.pop()));
    assert!(
        matches!(
            labels,
            TrainedError::Length {
                expected: 240 | 144,
                ..
            }
        ),
        "{labels}"
    );
    let unknown = refused(&|trained| drop(trained.sites.insert(99, Default::default())));
    assert!(
        matches!(unknown, TrainedError::UnknownSite { found: 99, .. }),
        "{unknown}"
    );
    for value in [f32::NAN, f32::INFINITY, -9.0] {
        let diverged = refused(&|trained| {
            let norm = trained
                .sites
                .get_mut(&0)
                .and_then(|site| site.norm.as_mut());
            let Some(Norm::Batch(norm)) = norm else {
                panic!("site 0 has a batch norm");
            };
            norm.var[5] = value;
        });
        assert!(
            matches!(
                diverged,
                TrainedError::Value {
                    site: 0,
                    part: "var",
                    index: 5,
                    ..
                }
            ),
            "{diverged}"
        );
    }
}

#[test]
fn foreign_files_are_named() {
    assert!(matches!(
        Trained::from_bytes(b"not safetensors at all"),
        Err(TrainedError::Safetensors(_))
    ));
    let empty = safetensors::serialize(
        Vec::<(&str, safetensors::tensor::TensorView<'_>)>::new(),
        None,
    );
    assert!(matches!(
        Trained::from_bytes(&empty.expect("an empty file")),
        Err(TrainedError::Foreign { key: "graft" })
    ));
}

#[test]
fn kinds_are_read_as_they_are_shown() {
    for kind in TrainKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!("head+bn".parse(), Ok(TrainKind::BN_HEAD));
    assert!("bn".parse::<TrainKind>().is_err());
    assert_eq!(TrainKind::BN_HEAD.kinds(), Kinds::BN.with(Kinds::HEAD));
}
