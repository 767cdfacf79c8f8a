//! Lays out sections behind a header, and computes the digests of an image.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::container::{FORMAT_VERSION, HEADER_LEN, Header, LAYOUT_VERSION, MAGIC};
use crate::digest::Digest;
use crate::records::Kinds;
use crate::section::{Kind, SectionKind};

/// The sections of an image, in order: all required ones, and the optional ones that are not empty.
fn sections(
    kind: Kind,
    length: impl Fn(SectionKind) -> usize,
) -> impl Iterator<Item = (SectionKind, usize)> {
    let with_length = move |&section: &SectionKind| (section, length(section));
    let sections = kind.sections().iter().map(with_length).enumerate();
    let is_there = move |&(place, (_, length)): &(usize, (SectionKind, usize))| {
        place < kind.required() || length > 0
    };
    sections.filter(is_there).map(|(_, section)| section)
}

/// Bytes of an image whose sections have these lengths.
pub(crate) fn assembled_len(kind: Kind, length: impl Fn(SectionKind) -> usize) -> usize {
    sections(kind, length).fold(HEADER_LEN, |end, (section, length)| {
        end.next_multiple_of(section.align()) + length
    })
}

/// Writes an image into [`assembled_len`] bytes, which are zeros. `fill` writes the contents of a section.
pub(crate) fn assemble_in(
    kind: Kind,
    kinds: Kinds,
    backbone_id: Digest,
    length: impl Fn(SectionKind) -> usize,
    mut fill: impl FnMut(SectionKind, &mut [u8]),
    bytes: &mut [u8],
) {
    let mut header = Header::new_zeroed();
    header.magic = MAGIC;
    header.version = FORMAT_VERSION.into();
    header.layout = LAYOUT_VERSION.into();
    header.kind = (kind as u16).into();
    header.kinds = kinds.bits().into();
    header.backbone_id = backbone_id;
    header.length = (bytes.len() as u64).into();
    let mut end = HEADER_LEN;
    for (record, (section, length)) in header.sections.iter_mut().zip(sections(kind, length)) {
        let offset = end.next_multiple_of(section.align());
        end = offset + length;
        record.kind = (section as u32).into();
        record.offset = (offset as u64).into();
        record.length = (length as u64).into();
        fill(section, &mut bytes[offset..end]);
        header.section_count += 1;
    }
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
    seal(bytes);
}

/// The bytes of an image, whose sections have these contents. Empty optional ones are left out.
#[cfg(feature = "alloc")]
pub(crate) fn assemble<'a>(
    kind: Kind,
    kinds: Kinds,
    backbone_id: Digest,
    content: impl Fn(SectionKind) -> &'a [u8],
) -> alloc::vec::Vec<u8> {
    let length = |section| content(section).len();
    let mut bytes = alloc::vec![0; assembled_len(kind, length)];
    let fill = |section, bytes: &mut [u8]| bytes.copy_from_slice(content(section));
    assemble_in(kind, kinds, backbone_id, length, fill, &mut bytes);
    bytes
}

/// Computes every digest of an image again, and a backbone's id. Leaves bytes alone that are not laid out as an image.
pub(crate) fn seal(bytes: &mut [u8]) {
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
