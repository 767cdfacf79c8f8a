//! Bad images: whatever the bytes, opening them gives an error or something that runs safely. These tests also run
//! under the address sanitizer.

use std::mem::offset_of;

use graft_patches::container::{HEADER_LEN, Header, SectionKind, SectionRecord};
use graft_patches::records::{
    InputRecord, Kinds, LayerRecord, Op, PlanRecord, SiteRecord, TensorRecord,
};
use graft_patches::scale::ScaleRecord;
use graft_patches::{ImageError, PatchImage, writer};
use graft_runtime::{Backbone, Error, Patch};
use graft_tests::{
    backbone, every_operator, identity_patch, int8, random_patch, run_if_small, section,
};
use proptest::prelude::*;
use proptest::sample::Index;

const SIDE: usize = 24;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_truncated_image_is_refused(cut in any::<Index>()) {
        let bytes = every_operator(SIDE, 1);
        let short = &bytes[..cut.index(bytes.len())];
        prop_assert!(Backbone::from_bytes(short).is_err());
        let backbone = backbone(SIDE, 1);
        let patch = random_patch(&backbone, 7, 2);
        prop_assert!(Patch::from_bytes(&patch[..cut.index(patch.len())], &backbone).is_err());
    }

    #[test]
    fn a_flipped_bit_is_refused(at in any::<Index>(), bit in 0..8u8) {
        let mut bytes = every_operator(SIDE, 1);
        let position = at.index(bytes.len());
        bytes[position] ^= 1 << bit;
        prop_assert!(Backbone::from_bytes(&bytes).is_err(), "byte {position}");
        let backbone = backbone(SIDE, 1);
        let mut patch = random_patch(&backbone, 7, 2);
        let position = at.index(patch.len());
        patch[position] ^= 1 << bit;
        prop_assert!(Patch::from_bytes(&patch, &backbone).is_err(), "byte {position}");
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let backbone = backbone(SIDE, 1);
        prop_assert!(Backbone::from_bytes(&bytes).is_err());
        prop_assert!(Patch::from_bytes(&bytes, &backbone).is_err());
    }
}

#[test]
fn a_patch_for_another_backbone_is_refused_with_both_ids() {
    let (one, other) = (backbone(SIDE, 1), backbone(SIDE, 2));
    let bytes = random_patch(&one, 10, 3);
    let Err(Error::Image(ImageError::WrongBackbone { found, expected })) =
        Patch::from_bytes(&bytes, &other)
    else {
        panic!("the patch was taken");
    };
    assert_eq!((found, expected), (one.id(), other.id()));
}

#[test]
fn kinds_are_complete_and_nothing_else() {
    let backbone = backbone(SIDE, 1);
    let image = backbone.image();
    let head = image.head().expect("the network has a head");
    let empty = graft_patches::writer::PatchWriter::new(image, Kinds::BN);
    let refused = |writer: &graft_patches::writer::PatchWriter<'_>| {
        let bytes = writer
            .finish(&Default::default())
            .expect("metadata can be encoded");
        match Patch::from_bytes(&bytes, &backbone) {
            Err(Error::Image(error)) => error,
            other => panic!("expected a refusal, found {other:?}"),
        }
    };
    assert_eq!(refused(&empty), ImageError::EmptyPatch);
    let mut one_site = graft_patches::writer::PatchWriter::new(image, Kinds::BN);
    one_site
        .epilogue(0, &[1.0; 12], &[0.0; 12])
        .expect("as many biases as scales");
    assert!(matches!(
        refused(&one_site),
        ImageError::MissingSite {
            site: 1,
            kind: "bn",
            ..
        }
    ));
    let mut unclaimed = graft_patches::writer::PatchWriter::identity(image, Kinds::HEAD);
    unclaimed
        .epilogue(0, &[1.0; 12], &[0.0; 12])
        .expect("as many biases as scales");
    assert!(matches!(
        refused(&unclaimed),
        ImageError::UnclaimedSite { site: 0, .. }
    ));
    let mut wrong_size = graft_patches::writer::PatchWriter::identity(image, Kinds::BN);
    wrong_size
        .epilogue(0, &[1.0; 40], &[0.0; 40])
        .expect("as many biases as scales");
    assert!(matches!(
        refused(&wrong_size),
        ImageError::SiteOutputs {
            site: 0,
            found: 40,
            expected: 12
        }
    ));
    let mut many = graft_patches::writer::PatchWriter::identity(image, Kinds::HEAD);
    many.epilogue(head, &[1.0; 65], &[0.0; 65])
        .expect("as many biases as scales");
    many.weights(head, &[0.0; 65 * 40])
        .expect("whole output channels");
    assert!(matches!(
        refused(&many),
        ImageError::TooManyClasses {
            found: 65,
            expected: 64
        }
    ));
    let mut uneven = graft_patches::writer::PatchWriter::identity(image, Kinds::HEAD);
    uneven
        .epilogue(head, &[1.0; 20], &[0.0; 20])
        .expect("as many biases as scales");
    assert!(matches!(refused(&uneven), ImageError::SiteOutputs { .. }));
}

#[test]
fn a_backbone_is_no_patch_and_the_reverse() {
    let backbone = backbone(SIDE, 1);
    let patch = identity_patch(&backbone, Kinds::HEAD);
    let kind = |error| matches!(error, Err(Error::Image(ImageError::Kind { .. })));
    assert!(kind(Backbone::from_bytes(&patch).map(|_| ())));
    assert!(kind(
        Patch::from_bytes(backbone.image().bytes(), &backbone).map(|_| ())
    ));
}

#[test]
fn other_versions_are_named() {
    for version in [1, 2, 3, 5] {
        let mut bytes = every_operator(SIDE, 1);
        bytes[8] = version;
        writer::seal(&mut bytes);
        let error = Backbone::from_bytes(&bytes).expect_err("another version");
        let text = format!("format version {version}, this reader knows 4");
        assert_eq!(error.to_string(), text);
        // Its header may be shorter than ours.
        let error = Backbone::from_bytes(&bytes[..12]).expect_err("another version");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_larger_input_than_planned_is_refused() {
    let backbone = backbone(SIDE, 1);
    let mut writer = graft_patches::writer::PatchWriter::identity(backbone.image(), Kinds::HEAD);
    let mut input = backbone.image().input();
    input.shape.height += 1;
    writer.input(input);
    let bytes = writer
        .finish(&Default::default())
        .expect("metadata can be encoded");
    let error = Patch::from_bytes(&bytes, &backbone).expect_err("25 rows do not fit 24");
    assert!(error.to_string().contains("25x24x3"), "{error}");
}

#[test]
fn a_plan_without_room_for_the_own_head_is_refused() {
    let float = backbone(SIDE, 1);
    for image in [float.image().bytes(), &int8::backbone(&float)] {
        let mut bytes = image.to_vec();
        let room = section(image, SectionKind::Plan).start + offset_of!(PlanRecord, max_classes);
        let own = float.identity().classes() as u32;
        let mut open = |classes: u32| {
            bytes[room..room + 4].copy_from_slice(&classes.to_le_bytes());
            writer::seal(&mut bytes);
            Backbone::from_bytes(&bytes)
        };
        let fits = open(own).expect("its own classes fit");
        run_if_small(&fits, &fits.identity());
        let Err(Error::Image(error)) = open(own - 1) else {
            panic!("it opens, and cannot run");
        };
        let problem = "room for fewer classes than the backbone itself has";
        let section = SectionKind::Plan;
        assert_eq!(error, ImageError::Section { section, problem });
    }
}

/// What a program would fail on that runs them, not the engine.
#[test]
fn metadata_that_cannot_be_followed_are_refused() {
    use graft_patches::metadata::{Fit, PatchMetadata, Resize};
    let float = backbone(SIDE, 1);
    let own = float.identity().classes();
    let resize = |share| Resize {
        fit: Fit::Crop { share },
        ..Resize::default()
    };
    let names = |count| vec![String::from("class"); count];
    let open = |share, labels: Vec<String>| {
        let bytes = int8::backbone_with(&float, |metadata| {
            metadata.resize = resize(share);
            metadata.labels = labels;
        });
        Backbone::from_bytes(&bytes).map(drop)
    };
    let bind = |share, labels: Vec<String>| {
        let writer = graft_patches::writer::PatchWriter::identity(float.image(), Kinds::HEAD);
        let metadata = PatchMetadata {
            resize: resize(share),
            labels,
            ..PatchMetadata::default()
        };
        let bytes = writer.finish(&metadata).expect("it can be encoded");
        Patch::from_bytes(&bytes, &float).map(drop)
    };
    let crop = |found| ImageError::Crop { found };
    let labels = ImageError::Labels {
        found: own + 1,
        expected: own,
    };
    let both = |share, count| [open(share, names(count)), bind(share, names(count))];
    for result in both(100, own).into_iter().chain(both(1000, 0)) {
        result.expect("it can be followed");
    }
    for (share, count, expected) in [
        (99, own, crop(99)),
        (0, 0, crop(0)),
        (1001, own, crop(1001)),
        (875, own + 1, labels),
    ] {
        for result in both(share, count) {
            assert!(
                matches!(result, Err(Error::Image(error)) if error == expected),
                "{expected}"
            );
        }
    }
    // The first string is longer than the section.
    let mut bytes = float.image().bytes().to_vec();
    let start = section(&bytes, SectionKind::Metadata).start;
    bytes[start..start + 2].copy_from_slice(&[0xff, 0x7f]);
    writer::seal(&mut bytes);
    let error = Backbone::from_bytes(&bytes).map(drop);
    assert!(matches!(error, Err(Error::Image(ImageError::Metadata))));
}

#[test]
fn misaligned_bytes_are_refused() {
    #[repr(align(64))]
    struct Aligned([u8; 4096]);
    let backbone = backbone(SIDE, 1);
    let patch = identity_patch(&backbone, Kinds::HEAD);
    let mut buffer = Aligned([0; 4096]);
    buffer.0[1..=patch.len()].copy_from_slice(&patch);
    let refused = PatchImage::open(&buffer.0[1..=patch.len()], Default::default());
    assert_eq!(refused.err(), Some(ImageError::Misaligned { expected: 64 }));
}

#[test]
fn structure_is_checked_even_where_values_are_not() {
    use graft_patches::Verify;
    let folder = tempfile::tempdir().expect("a folder");
    let open = |bytes: &[u8]| {
        let path = folder.path().join("b.backbone");
        std::fs::write(&path, bytes).expect("room on the disk");
        // SAFETY: nobody else knows the folder.
        unsafe { Backbone::map(path, Verify::Structure) }
    };
    let float = backbone(SIDE, 1);
    let bytes = int8::backbone(&float);
    let header = Header::parse(&bytes).expect("a whole header");
    for (section, is_structure) in header.sections[..8]
        .iter()
        .zip([true, true, true, true, false, false, false, true])
    {
        let mut flipped = bytes.clone();
        flipped[section.offset.get() as usize + 5] ^= 0x40;
        assert!(
            Backbone::from_bytes(&flipped).is_err(),
            "a full check sees everything"
        );
        match open(&flipped) {
            Ok(backbone) => {
                assert!(!is_structure);
                run_if_small(&backbone, &backbone.identity());
            }
            Err(error) => assert!(is_structure, "{error}"),
        }
    }
}

/// The error of an image with a 1 in the place of this zero.
fn refused(open: impl Fn(&[u8]) -> Result<(), Error>, image: &[u8], at: usize) -> ImageError {
    let mut changed = image.to_vec();
    assert_eq!(changed[at], 0, "byte {at}");
    changed[at] = 1;
    writer::seal(&mut changed);
    match open(&changed) {
        Err(Error::Image(error)) => error,
        other => panic!("byte {at}: expected a refusal, found {other:?}"),
    }
}

#[test]
fn reserved_fields_of_the_header_must_be_zero() {
    let backbone = backbone(SIDE, 1);
    let image = random_patch(&backbone, 7, 2);
    let open = |bytes: &[u8]| Patch::from_bytes(bytes, &backbone).map(drop);
    open(&image).expect("it fits");
    let unused_entry = HEADER_LEN - 8;
    for at in [offset_of!(Header, reserved), unused_entry] {
        let error = refused(open, &image, at);
        let problem = "a reserved field is set";
        assert_eq!(error, ImageError::Header { problem }, "byte {at}");
    }
    let entry = offset_of!(Header, sections) + offset_of!(SectionRecord, reserved);
    let padding = section(&image, SectionKind::Records).end;
    assert!(padding < section(&image, SectionKind::Values).start);
    for (at, section, problem) in [
        (
            entry,
            SectionKind::Input,
            "a reserved field of its entry is set",
        ),
        (
            padding,
            SectionKind::Values,
            "the padding before it is not zero",
        ),
    ] {
        let error = refused(open, &image, at);
        assert_eq!(error, ImageError::Section { section, problem });
    }
}

#[test]
fn reserved_fields_of_records_must_be_zero() {
    let float = backbone(SIDE, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    let first_tensor = size_of::<PlanRecord>();
    let fields = [
        (SectionKind::Input, offset_of!(InputRecord, reserved)),
        (SectionKind::Layers, offset_of!(LayerRecord, reserved)),
        (SectionKind::Sites, offset_of!(SiteRecord, reserved)),
        (SectionKind::Sites, offset_of!(SiteRecord, reserved2)),
        (SectionKind::Plan, offset_of!(PlanRecord, reserved)),
        (
            SectionKind::Plan,
            first_tensor + offset_of!(TensorRecord, reserved),
        ),
    ];
    let scale = (SectionKind::Scales, offset_of!(ScaleRecord, reserved));
    let open = |bytes: &[u8]| Backbone::from_bytes(bytes).map(drop);
    for (kind, at) in fields.into_iter().chain([scale]) {
        for image in [float.image().bytes(), int8.image().bytes()] {
            if kind == SectionKind::Scales && image == float.image().bytes() {
                continue;
            }
            is_of_record(
                refused(open, image, section(image, kind).start + at),
                kind,
                at,
            );
        }
    }
    let image = int8::identity_patch(&int8, Kinds::HEAD);
    let open = |bytes: &[u8]| Patch::from_bytes(bytes, &int8).map(drop);
    for (kind, at) in [fields[0], scale] {
        is_of_record(
            refused(open, &image, section(&image, kind).start + at),
            kind,
            at,
        );
    }
}

/// The error names the first record of the section.
fn is_of_record(error: ImageError, kind: SectionKind, at: usize) {
    assert!(
        matches!(error, ImageError::Record { section, index: 0, .. } if section == kind),
        "{kind}, byte {at}: {error}"
    );
}

#[test]
fn padding_counts_in_the_divisor_of_average_pools_only() {
    let float = backbone(SIDE, 1);
    let image = float.image();
    let layers = section(image.bytes(), SectionKind::Layers).start;
    for index in 0..image.layer_count() {
        let at = layers + index * size_of::<LayerRecord>() + offset_of!(LayerRecord, count_padding);
        let mut changed = image.bytes().to_vec();
        changed[at] = 1;
        writer::seal(&mut changed);
        let is_average_pool = image.layer(index).op == Op::AveragePool;
        let opened = Backbone::from_bytes(&changed);
        assert_eq!(opened.is_ok(), is_average_pool, "layer {index}");
    }
}

#[test]
fn a_kind_without_a_site_is_refused() {
    let backbone = graft_tests::without_head();
    for kinds in ["head", "bn+head", "bn+dw"] {
        let bytes = identity_patch(&backbone, kinds.parse().expect("known kinds"));
        assert!(Patch::from_bytes(&bytes, &backbone).is_err(), "{kinds}");
    }
    let bytes = identity_patch(&backbone, Kinds::BN);
    assert_eq!(
        Patch::from_bytes(&bytes, &backbone)
            .expect("it has epilogues")
            .receipt()
            .sites,
        1
    );
}
