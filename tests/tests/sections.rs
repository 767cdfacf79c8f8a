//! The section table: required sections, then optional ones, in one order, each once.

use graft_patches::container::{HEADER_LEN, Header, Kind, SectionKind};
use graft_patches::records::{Dtype, Kinds};
use graft_patches::{ImageError, writer};
use graft_runtime::{Backbone, Error, ImageBytes, Patch};
use graft_tests::{
    backbone, continual, every_operator, identity_patch, int8, learned, random_patch,
};
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

/// An image with the backbone that it is, or is for.
struct Sample<'a> {
    bytes: Vec<u8>,
    backbone: &'a Backbone,
}

impl Sample<'_> {
    fn header(&self) -> &Header {
        Header::parse(&self.bytes).expect("a whole header")
    }

    /// The codes of its sections, in their order.
    fn sections(&self) -> Vec<u32> {
        let used = usize::from(self.header().section_count.get());
        let used = self.header().sections[..used].iter();
        used.map(|record| record.kind.get()).collect()
    }

    /// Opens it with another section table, and returns its bytes then.
    fn open(&self, sections: &[u32]) -> Result<Vec<u8>, Error> {
        let bytes = with_sections(&self.bytes, sections);
        match self.header().kind == Kind::Backbone as u16 {
            true => Backbone::from_bytes(&bytes).map(|_| bytes),
            false => Patch::from_bytes(&bytes, self.backbone).map(|_| bytes),
        }
    }

    /// The error of another section table.
    fn refusal(&self, sections: &[u32]) -> ImageError {
        match self.open(sections) {
            Err(Error::Image(error)) => error,
            other => panic!("{sections:?}: expected a refusal, found {other:?}"),
        }
    }
}

/// The two backbones, and images of both kinds with and without each optional section.
fn with_samples(check: impl Fn(&Sample<'_>)) {
    let float = backbone(24, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    for (bytes, backbone) in [
        (every_operator(24, 1), &float),
        (int8.image().bytes().to_vec(), &int8),
        (random_patch(&float, 7, 2), &float),
        (continual::patch(&float, continual::state(10)), &float),
        (int8::identity_patch(&int8, Kinds::BN), &int8),
        (continual::int8_patch(&int8, continual::state(10)), &int8),
        (warm(continual::patch(&float, continual::state(10))), &float),
        (learned::patch(&float, Dtype::F32, true), &float),
        (learned::patch(&int8, Dtype::I8, true), &int8),
    ] {
        check(&Sample { bytes, backbone });
    }
}

/// The patch with a temperature.
fn warm(patch: Vec<u8>) -> Vec<u8> {
    let aligned = ImageBytes::copied(&patch);
    writer::with_temperature(aligned.as_slice(), 2.5).expect("it is a patch")
}

fn is_optional(code: u32) -> bool {
    [
        SectionKind::Scales,
        SectionKind::ContinualState,
        SectionKind::Temperature,
        SectionKind::HeadSums,
    ]
    .iter()
    .any(|&optional| optional as u32 == code)
}

/// The error is of the place of this section.
fn is_of_section(error: ImageError, code: u32) {
    assert!(
        matches!(error, ImageError::Section { section, .. } if section as u32 == code),
        "section {code}: {error}"
    );
}

#[test]
fn required_sections_are_there_and_all_are_in_order_and_once() {
    with_samples(|sample| {
        let own = sample.sections();
        assert_eq!(sample.open(&own).expect("as it was"), sample.bytes);
        for (at, &code) in own.iter().enumerate() {
            if !is_optional(code) {
                let mut missing = own.clone();
                missing.remove(at);
                is_of_section(sample.refusal(&missing), code);
            }
            let mut twice = own.clone();
            twice.insert(at, code);
            is_of_section(sample.refusal(&twice), code);
            for other in at + 1..own.len() {
                let mut swapped = own.clone();
                swapped.swap(at, other);
                is_of_section(sample.refusal(&swapped), code);
            }
        }
    });
}

#[test]
fn an_image_without_scales_is_read_as_f32() {
    let scales = SectionKind::Scales as u32;
    with_samples(|sample| {
        let mut sections = sample.sections();
        let Some(at) = sections.iter().position(|&code| code == scales) else {
            return;
        };
        sections.remove(at);
        let error = sample.refusal(&sections);
        match sample.header().kind == Kind::Backbone as u16 {
            // Its sites say that they have scales of weights.
            true => assert!(
                matches!(
                    error,
                    ImageError::Record {
                        section: SectionKind::Sites,
                        ..
                    }
                ),
                "{error}"
            ),
            // Its records say that they are int8.
            false => is_of_section(error, scales),
        }
    });
}

#[test]
fn a_patch_is_whole_without_its_continual_state() {
    let state = SectionKind::ContinualState as u32;
    with_samples(|sample| {
        let mut sections = sample.sections();
        if let Some(at) = sections.iter().position(|&code| code == state) {
            sections.remove(at);
            sample.open(&sections).expect("the state is optional");
        }
    });
}

#[test]
fn sections_of_no_reader_are_refused_by_name() {
    with_samples(|sample| {
        let own = sample.sections();
        let (image, section) = match sample.header().kind == Kind::Backbone as u16 {
            true => (Kind::Backbone, SectionKind::Records),
            false => (Kind::Patch, SectionKind::Frozen),
        };
        let foreign = ImageError::ForeignSection { section, image };
        let code = 77;
        let unknown = ImageError::UnknownSection { code, image };
        for (code, expected) in [(section as u32, foreign), (code, unknown)] {
            for at in 0..=own.len() {
                let mut more = own.clone();
                more.insert(at, code);
                assert_eq!(sample.refusal(&more), expected);
            }
        }
        let text = format!("{image} has no section {section} in this release");
        assert_eq!(foreign.to_string(), text);
        let text = format!("section 77 of {image} is not known to this release");
        assert_eq!(unknown.to_string(), text);
    });
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

#[test]
fn a_temperature_travels_in_the_patch() {
    let backbone = backbone(24, 1);
    let plain = identity_patch(&backbone, Kinds::HEAD);
    let bound = |bytes: &[u8]| Patch::from_bytes(bytes, &backbone);
    assert_eq!(bound(&plain).expect("it is valid").temperature(), 1.0);
    let bytes = warm(plain);
    let image = bound(&bytes).expect("it is valid");
    assert_eq!(image.temperature(), 2.5);
    let aligned = ImageBytes::copied(&bytes);
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-3, 101.0] {
        assert!(writer::with_temperature(aligned.as_slice(), wrong).is_err());
        let mut bytes = bytes.clone();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&wrong.to_le_bytes());
        writer::seal(&mut bytes);
        let error = bound(&bytes).expect_err("it is no temperature");
        let section = SectionKind::Temperature;
        assert!(
            matches!(error, Error::Image(ImageError::Section { section: found, .. }) if found == section),
            "{error}"
        );
    }
}
