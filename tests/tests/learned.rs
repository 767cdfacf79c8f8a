//! Patches that go on learning: what they know of their classes is kept, and checked against their head.

use graft_patches::container::{self, FORMAT_VERSION, Header, LEARNED_VERSION};
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::Kinds;
use graft_patches::writer::{Int8PatchWriter, PatchWriter};
use graft_patches::{ImageError, Learned, LearnedClass};
use graft_runtime::{Backbone, Error, Patch};
use graft_tests::{backbone, identity_patch, int8, run_if_small};

/// So many classes, two a task.
fn learned(classes: u16) -> Learned {
    Learned {
        counter: 7,
        classes: (0..classes)
            .map(|class| LearnedClass {
                task: class / 2,
                examples: 1 + u32::from(class),
            })
            .collect(),
    }
}

/// The backbone's own head of ten classes, as a patch that has learned.
fn patch(backbone: &Backbone, learned: Learned) -> Vec<u8> {
    let mut writer = PatchWriter::identity(backbone.image(), Kinds::HEAD);
    let bytes = writer.learned(learned).finish(&PatchMetadata::default());
    bytes.expect("metadata can be encoded")
}

#[test]
fn what_was_learned_comes_back_in_f32_and_int8() {
    let float = backbone(24, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    let mut writer = Int8PatchWriter::identity(int8.image(), Kinds::HEAD);
    writer.learned(learned(10));
    let bytes = writer.finish(&PatchMetadata::default());
    let bytes = [
        patch(&float, learned(10)),
        bytes.expect("metadata can be encoded"),
    ];
    for (backbone, bytes) in [&float, &int8].into_iter().zip(bytes) {
        let patch = Patch::from_bytes(&bytes, backbone).expect("it fits");
        let image = patch.image().expect("it has a file");
        assert_eq!(image.learned(), Ok(Some(learned(10))));
        assert_eq!(image.format_version(), LEARNED_VERSION);
        run_if_small(backbone, &patch);
    }
}

#[test]
fn other_patches_are_as_they_were() {
    let backbone = backbone(24, 1);
    let patch = Patch::from_bytes(&identity_patch(&backbone, Kinds::HEAD), &backbone);
    let patch = patch.expect("it fits");
    let image = patch.image().expect("it has a file");
    assert_eq!(image.learned(), Ok(None));
    assert_eq!(image.format_version(), FORMAT_VERSION);
}

#[test]
fn classes_that_the_head_does_not_have_are_refused() {
    let backbone = backbone(24, 1);
    let refused = |bytes: &[u8]| match Patch::from_bytes(bytes, &backbone) {
        Err(Error::Image(error)) => error,
        other => panic!("expected a refusal, found {other:?}"),
    };
    for found in [0, 9, 11] {
        let error = refused(&patch(&backbone, learned(found as u16)));
        let expected = 10;
        assert_eq!(error, ImageError::LearnedClasses { found, expected });
    }
    let mut headless = PatchWriter::identity(backbone.image(), Kinds::BN);
    headless.learned(learned(10));
    let bytes = headless.finish(&PatchMetadata::default());
    let error = refused(&bytes.expect("metadata can be encoded"));
    let (found, expected) = (10, 0);
    assert_eq!(error, ImageError::LearnedClasses { found, expected });
}

#[test]
fn damage_to_it_is_refused_and_never_panics() {
    let backbone = backbone(24, 1);
    let bytes = patch(&backbone, learned(10));
    let section = Header::parse(&bytes).expect("a whole header").sections[5];
    let start = section.offset.get() as usize;
    assert_eq!(start + section.length.get() as usize, bytes.len());
    for at in start..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            let is_same = changed[at] == value;
            changed[at] = value;
            let is_refused = Patch::from_bytes(&changed, &backbone).is_err();
            assert_eq!(is_refused, !is_same, "byte {at} of {start}: {value}");
            container::seal(&mut changed);
            let _ = Patch::from_bytes(&changed, &backbone);
        }
    }
    // Without the section, and a backbone of the version that only patches have.
    for version in [FORMAT_VERSION as u8, LEARNED_VERSION as u8 + 1] {
        let mut changed = bytes.clone();
        changed[8] = version;
        container::seal(&mut changed);
        assert!(Patch::from_bytes(&changed, &backbone).is_err(), "{version}");
    }
    let mut changed = backbone.image().bytes().to_vec();
    changed[8] = LEARNED_VERSION as u8;
    container::seal(&mut changed);
    let error = Backbone::from_bytes(&changed).expect_err("it is no patch");
    assert_eq!(error.to_string(), "format version 3, this reader knows 2");
}
