//! Lays out sections behind a header, and computes the digests of an image.

use alloc::vec::Vec;

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::container::{FORMAT_VERSION, HEADER_LEN, Header, LAYOUT_VERSION, MAGIC};
use crate::digest::Digest;
use crate::records::Kinds;
use crate::section::{Kind, SectionKind};

/// The bytes of an image, whose sections have these contents. Empty optional ones are left out.
pub(super) fn assemble<'a>(
    kind: Kind,
    kinds: Kinds,
    backbone_id: Digest,
    content: impl Fn(SectionKind) -> &'a [u8],
) -> Vec<u8> {
    let mut bytes = alloc::vec![0; HEADER_LEN];
    let mut header = Header::new_zeroed();
    header.magic = MAGIC;
    header.version = FORMAT_VERSION.into();
    header.layout = LAYOUT_VERSION.into();
    header.kind = (kind as u16).into();
    header.kinds = kinds.bits().into();
    header.backbone_id = backbone_id;
    let (required, optional) = kind.sections().split_at(kind.required());
    let optional = optional
        .iter()
        .filter(|&&section| !content(section).is_empty());
    let sections = required.iter().chain(optional);
    for (record, &section) in header.sections.iter_mut().zip(sections) {
        let content = content(section);
        bytes.resize(bytes.len().next_multiple_of(section.align()), 0);
        record.kind = (section as u32).into();
        record.offset = (bytes.len() as u64).into();
        record.length = (content.len() as u64).into();
        bytes.extend_from_slice(content);
        header.section_count += 1;
    }
    header.length = (bytes.len() as u64).into();
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
    seal(&mut bytes);
    bytes
}

/// Computes every digest of an image again, and a backbone's id: the last step of the writers, and how tests make
/// images whose digests are right and whose records are not. Leaves bytes alone that are not laid out as an image.
pub fn seal(bytes: &mut [u8]) {
    let Ok((mut header, _)) = Header::read_from_prefix(bytes) else {
        return;
    };
    let count = header.section_count.get().into();
    for record in header.sections.iter_mut().take(count) {
        let start = usize::try_from(record.offset.get()).unwrap_or(usize::MAX);
        let length = usize::try_from(record.length.get()).unwrap_or(usize::MAX);
        if let Some(content) = bytes.get(start..start.saturating_add(length)) {
            record.digest = Digest::of(content);
        }
    }
    if header.kind == Kind::Backbone as u16 {
        header.backbone_id = header.expected_backbone_id();
    }
    header.digest = header.expected_digest();
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
}
