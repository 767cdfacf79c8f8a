//! The continual state of patches: kept as it is, and checked against their head.

use graft_patches::ImageError;
use graft_patches::container::{Kind, SectionKind};
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::Kinds;
use graft_patches::writer::{self, PatchWriter};
use graft_runtime::{Backbone, Error, Patch};
use graft_tests::continual::{int8_patch, patch, state};
use graft_tests::{backbone, identity_patch, int8, run_if_small, section};

#[test]
fn it_comes_back_in_f32_and_int8() {
    let float = backbone(24, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    let bytes = [patch(&float, state(10)), int8_patch(&int8, state(10))];
    for (backbone, bytes) in [&float, &int8].into_iter().zip(bytes) {
        let patch = Patch::from_bytes(&bytes, backbone).expect("it fits");
        let image = patch.image().expect("it has a file");
        assert_eq!(image.continual_state(), Ok(Some(state(10))));
        run_if_small(backbone, &patch);
    }
}

#[test]
fn other_patches_have_none() {
    let backbone = backbone(24, 1);
    let patch = Patch::from_bytes(&identity_patch(&backbone, Kinds::HEAD), &backbone);
    let patch = patch.expect("it fits");
    let image = patch.image().expect("it has a file");
    assert_eq!(image.continual_state(), Ok(None));
}

#[test]
fn classes_that_the_head_does_not_have_are_refused() {
    let backbone = backbone(24, 1);
    let refused = |bytes: &[u8]| match Patch::from_bytes(bytes, &backbone) {
        Err(Error::Image(error)) => error,
        other => panic!("expected a refusal, found {other:?}"),
    };
    for found in [0, 9, 11] {
        let error = refused(&patch(&backbone, state(found as u16)));
        let expected = 10;
        assert_eq!(error, ImageError::ContinualClasses { found, expected });
    }
    let mut headless = PatchWriter::identity(backbone.image(), Kinds::BN);
    headless.continual_state(state(10));
    let bytes = headless.finish(&PatchMetadata::default());
    let error = refused(&bytes.expect("metadata can be encoded"));
    let (found, expected) = (10, 0);
    assert_eq!(error, ImageError::ContinualClasses { found, expected });
}

#[test]
fn damage_to_it_is_refused_and_never_panics() {
    let backbone = backbone(24, 1);
    let bytes = patch(&backbone, state(10));
    let state = section(&bytes, SectionKind::ContinualState);
    assert_eq!(state.end, bytes.len());
    for at in state.clone() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            let is_same = changed[at] == value;
            changed[at] = value;
            let is_refused = Patch::from_bytes(&changed, &backbone).is_err();
            assert_eq!(is_refused, !is_same, "byte {at} of {state:?}: {value}");
            writer::seal(&mut changed);
            let _ = Patch::from_bytes(&changed, &backbone);
        }
    }
}

#[test]
fn a_backbone_has_none() {
    let mut bytes = backbone(24, 1).image().bytes().to_vec();
    let code = SectionKind::ContinualState as u8;
    // The entry behind the seven of an f32 backbone.
    bytes[14] = 8;
    bytes[128 + 7 * 56] = code;
    writer::seal(&mut bytes);
    let Err(Error::Image(error)) = Backbone::from_bytes(&bytes) else {
        panic!("it was taken");
    };
    let image = Kind::Backbone;
    let section = SectionKind::ContinualState;
    assert_eq!(error, ImageError::ForeignSection { section, image });
    let text = "a backbone has no section ContinualState in this release";
    assert_eq!(error.to_string(), text);
}
