//! The section table: required sections, then optional ones, in one order, each once.

use graft_patches::container::{HEADER_LEN, Header, Kind, SectionKind};
use graft_patches::records::Kinds;
use graft_patches::{ImageError, writer};
use graft_runtime::{Backbone, Error, Patch};
use graft_tests::{backbone, every_operator, identity_patch, int8, random_patch};
use zerocopy::{FromZeros, IntoBytes};

/// An image with another section table, laid out anew. Each section is one of the image, or new and of 8 bytes.
fn with_sections(image: &[u8], sections: &[u32]) -> Vec<u8> {
    let mut header = *Header::parse(image).expect("a whole header");
    let mut bytes = image[..HEADER_LEN].to_vec();
    let old = header.sections;
    header.sections = FromZeros::new_zeroed();
    header.section_count = (sections.len() as u16).into();
    for (record, &code) in header.sections.iter_mut().zip(sections) {
        let content = match old.iter().find(|record| record.kind == code) {
            Some(old) => &image[old.offset.get() as usize..][..old.length.get() as usize],
            None => &[7; 8],
        };
        let align = match code == SectionKind::Frozen as u32 {
            true => 4096,
            false => 64,
        };
        bytes.resize(bytes.len().next_multiple_of(align), 0);
        record.kind = code.into();
        record.offset = (bytes.len() as u64).into();
        record.length = (content.len() as u64).into();
        bytes.extend_from_slice(content);
    }
    header.length = (bytes.len() as u64).into();
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
    writer::seal(&mut bytes);
    bytes
}

#[test]
fn sections_are_known_complete_and_in_order() {
    let float = backbone(24, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    let images = [
        (every_operator(24, 1), &float),
        (int8.image().bytes().to_vec(), &int8),
        (random_patch(&float, 7, 2), &float),
        (int8::identity_patch(&int8, Kinds::BN), &int8),
    ];
    for (image, backbone) in images {
        let header = *Header::parse(&image).expect("a whole header");
        let is_backbone = header.kind == Kind::Backbone as u16;
        let open = |sections: &[u32]| {
            let bytes = with_sections(&image, sections);
            match is_backbone {
                true => Backbone::from_bytes(&bytes).map(|_| bytes),
                false => Patch::from_bytes(&bytes, backbone).map(|_| bytes),
            }
        };
        let count = usize::from(header.section_count.get());
        let own: Vec<u32> = header.sections[..count]
            .iter()
            .map(|record| record.kind.get())
            .collect();
        assert_eq!(open(&own).expect("as it was"), image);
        for at in 0..count {
            let mut missing = own.clone();
            missing.remove(at);
            open(&missing).expect_err("a section is missing");
            let mut twice = own.clone();
            twice.insert(at, own[at]);
            open(&twice).expect_err("a section twice");
            for other in at + 1..count {
                let mut swapped = own.clone();
                swapped.swap(at, other);
                open(&swapped).expect_err("out of order");
            }
        }
        for (code, name) in [(SectionKind::Signature as u32, "Signature"), (77, "77")] {
            for at in 0..=count {
                let mut more = own.clone();
                more.insert(at, code);
                let error = open(&more).expect_err("a section that no reader knows");
                let Error::Image(unknown @ ImageError::UnknownSection { .. }) = error else {
                    panic!("{error}");
                };
                let text = unknown.to_string();
                assert!(text.starts_with(&format!("section {name} of ")), "{text}");
            }
        }
    }
}

#[test]
fn an_optional_section_is_not_empty() {
    let backbone = backbone(24, 1);
    let mut bytes = identity_patch(&backbone, Kinds::HEAD);
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    let mut header = *Header::parse(&bytes).expect("a whole header");
    header.sections[4].kind = (SectionKind::ContinualState as u32).into();
    header.sections[4].offset = (bytes.len() as u64).into();
    header.section_count += 1;
    header.length = (bytes.len() as u64).into();
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
    writer::seal(&mut bytes);
    let error = Patch::from_bytes(&bytes, &backbone).expect_err("an empty section");
    let section = SectionKind::ContinualState;
    assert!(
        matches!(error, Error::Image(ImageError::Section { section: found, .. }) if found == section),
        "{error}"
    );
}
