//! The container that both images share: a fixed header with a table of sections, each with its own digest.
//!
//! See `FORMAT.md`, "Container".

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::digest::Digest;
use crate::error::ImageError;
use crate::records::Kinds;

/// First bytes of every image. The high bit and the line ends show a file mangled in transfer.
pub const MAGIC: [u8; 8] = *b"\x89GRAFT\r\n";
/// Version of the container and records. A reader takes exactly this one, and of patches [`LEARNED_VERSION`].
pub const FORMAT_VERSION: u16 = 2;
/// Version of patches that go on learning: as [`FORMAT_VERSION`], and [`SectionKind::Learned`] behind the other sections.
pub const LEARNED_VERSION: u16 = 3;
/// Version of the packed layout of weights ([`crate::layout`]).
pub const LAYOUT_VERSION: u16 = 1;
/// Alignment of every section and of every tensor in it.
pub const ALIGN: usize = 64;
/// Alignment of the frozen section of a backbone: a page, or a flash sector.
pub const PAGE: usize = 4096;
/// Sections that a header has room for.
pub const MAX_SECTIONS: usize = 8;
/// Bytes of a header.
pub const HEADER_LEN: usize = size_of::<Header>();

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// Plan, frozen weights and the identity epilogues.
    Backbone = 1,
    /// Replacements for some sites of one backbone.
    Patch = 2,
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Backbone => "a backbone",
            Self::Patch => "a patch",
        })
    }
}

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SectionKind {
    /// [`crate::records::InputRecord`]: resolution and normalisation.
    Input = 1,
    /// [`crate::records::LayerRecord`]s.
    Layers = 2,
    /// [`crate::records::SiteRecord`]s.
    Sites = 3,
    /// [`crate::records::PlanRecord`] and [`crate::records::TensorRecord`]s.
    Plan = 4,
    /// Identity epilogues.
    Epilogues = 5,
    /// Frozen weights, page-aligned.
    Frozen = 6,
    /// [`crate::records::PatchRecord`]s.
    Records = 7,
    /// Values of a patch.
    Values = 8,
    /// Postcard metadata.
    Metadata = 9,
    /// Reserved for the ed25519 signature.
    Signature = 10,
    /// [`crate::scale::ScaleRecord`]s of int8, one a tensor; empty in other images.
    Scales = 11,
    /// Postcard: what a patch that goes on learning knows of its classes.
    Learned = 12,
}

impl SectionKind {
    fn from_code(code: u32) -> Option<Self> {
        [
            Self::Input,
            Self::Layers,
            Self::Sites,
            Self::Plan,
            Self::Epilogues,
            Self::Frozen,
            Self::Records,
            Self::Values,
            Self::Metadata,
            Self::Scales,
            Self::Learned,
        ]
        .into_iter()
        .find(|&kind| kind as u32 == code)
    }

    /// Sections that are small and that memory safety rests on: their digests are checked even by
    /// [`Verify::Structure`].
    fn is_structure(self) -> bool {
        matches!(
            self,
            Self::Input | Self::Layers | Self::Sites | Self::Scales | Self::Plan | Self::Records
        )
    }

    fn align(self) -> usize {
        if self == Self::Frozen { PAGE } else { ALIGN }
    }

    /// The sections of each kind of image in a version, in file order.
    fn expected(kind: Kind, version: u16) -> &'static [Self] {
        match (kind, version) {
            (Kind::Backbone, _) => &[
                Self::Input,
                Self::Layers,
                Self::Sites,
                Self::Scales,
                Self::Plan,
                Self::Epilogues,
                Self::Frozen,
                Self::Metadata,
            ],
            (Kind::Patch, LEARNED_VERSION) => &[
                Self::Input,
                Self::Records,
                Self::Scales,
                Self::Values,
                Self::Metadata,
                Self::Learned,
            ],
            (Kind::Patch, _) => &[
                Self::Input,
                Self::Records,
                Self::Scales,
                Self::Values,
                Self::Metadata,
            ],
        }
    }
}

impl core::fmt::Display for SectionKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

/// How much of an image is checked at open. Nothing is copied either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// The digest of every byte, and the structure.
    #[default]
    Full,
    /// Header and records only: for files that a store has already verified. Memory safety does not depend on the
    /// rest.
    Structure,
}

/// One entry of the section table.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SectionRecord {
    /// [`SectionKind`].
    pub kind: U32,
    /// Zero.
    pub reserved: U32,
    /// From the start of the file.
    pub offset: U64,
    /// Bytes.
    pub length: U64,
    /// BLAKE3 of the section's bytes.
    pub digest: Digest,
}

/// The header of an image.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`FORMAT_VERSION`], [`LEARNED_VERSION`].
    pub version: U16,
    /// [`LAYOUT_VERSION`].
    pub layout: U16,
    /// [`Kind`].
    pub kind: U16,
    /// Used entries of `sections`.
    pub section_count: U16,
    /// Bytes of the whole file.
    pub length: U64,
    /// Patch: [`Kinds`] it claims. Backbone: zero.
    pub kinds: U32,
    /// Zero.
    pub reserved: [u8; 36],
    /// Backbone: its own id. Patch: the id of its backbone.
    pub backbone_id: Digest,
    /// BLAKE3 of the header with this field zero. Covers the digest of every section.
    pub digest: Digest,
    /// Section table in file order; unused entries are zero.
    pub sections: [SectionRecord; MAX_SECTIONS],
}

impl Header {
    /// The header at the start of these bytes, unchecked; `None` where they are too few.
    pub fn parse(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// What the `digest` field must hold.
    pub fn expected_digest(&self) -> Digest {
        let mut copy = *self;
        copy.digest = Digest::default();
        Digest::of(copy.as_bytes())
    }
}

/// A checked container: where its sections are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Container {
    pub(crate) backbone_id: Digest,
    pub(crate) digest: Digest,
    pub(crate) kinds: Kinds,
    pub(crate) version: u16,
    sections: [(usize, usize); MAX_SECTIONS],
    kind: Kind,
}

impl Container {
    /// Checks `bytes` as an image of this kind: header, section table, digests as `verify` says.
    pub(crate) fn check(bytes: &[u8], expected: Kind, verify: Verify) -> Result<Self, ImageError> {
        let header = check_header(bytes, expected)?;
        let mut container = Self {
            backbone_id: header.backbone_id,
            digest: header.digest,
            kinds: Kinds::from_bits(header.kinds.get()).ok_or(ImageError::Header {
                problem: "unknown patch kinds",
            })?,
            version: header.version.get(),
            sections: [(0, 0); MAX_SECTIONS],
            kind: expected,
        };
        let mut end = HEADER_LEN;
        let sections = SectionKind::expected(expected, container.version);
        for (i, &kind) in sections.iter().enumerate() {
            let record = &header.sections[i];
            let (offset, length) = check_section(bytes, record, kind, end)?;
            let is_checked = verify == Verify::Full || kind.is_structure();
            if is_checked && Digest::of(&bytes[offset..offset + length]) != record.digest {
                return Err(ImageError::SectionDigest { section: kind });
            }
            container.sections[i] = (offset, length);
            end = offset + length;
        }
        if end != bytes.len() {
            return Err(ImageError::Header {
                problem: "bytes after the last section",
            });
        }
        Ok(container)
    }

    /// Start and length of a section, nothing where the image has none of it. Every kind of image has all sections of its
    /// version.
    pub(crate) fn section(&self, kind: SectionKind) -> (usize, usize) {
        SectionKind::expected(self.kind, self.version)
            .iter()
            .position(|&k| k == kind)
            .map_or((0, 0), |i| self.sections[i])
    }
}

fn check_header(bytes: &[u8], expected: Kind) -> Result<&Header, ImageError> {
    let short = ImageError::TooShort {
        found: bytes.len(),
        expected: HEADER_LEN,
    };
    let magic: [u8; 8] = *bytes.first_chunk().ok_or(short)?;
    if magic != MAGIC {
        return Err(ImageError::Magic {
            found: magic,
            expected: MAGIC,
        });
    }
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| short)?;
    let newest = match header.kind == Kind::Patch as u16 {
        true => LEARNED_VERSION,
        false => FORMAT_VERSION,
    };
    if !(FORMAT_VERSION..=newest).contains(&header.version.get()) {
        return Err(ImageError::Version {
            found: header.version.get(),
            expected: newest,
        });
    }
    if header.layout != LAYOUT_VERSION {
        return Err(ImageError::Layout {
            found: header.layout.get(),
            expected: LAYOUT_VERSION,
        });
    }
    let found = match header.kind.get() {
        1 => Kind::Backbone,
        2 => Kind::Patch,
        _ => {
            return Err(ImageError::Header {
                problem: "neither a backbone nor a patch",
            });
        }
    };
    if found != expected {
        return Err(ImageError::Kind { found, expected });
    }
    if header.length.get() != bytes.len() as u64 {
        return Err(ImageError::Length {
            found: bytes.len() as u64,
            expected: header.length.get(),
        });
    }
    if header.digest != header.expected_digest() {
        return Err(ImageError::HeaderDigest);
    }
    let sections = SectionKind::expected(expected, header.version.get()).len();
    if usize::from(header.section_count.get()) != sections {
        return Err(ImageError::Header {
            problem: "wrong number of sections",
        });
    }
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    let is_kinds_known = expected == Kind::Patch || header.kinds == 0;
    if !is_zero(&header.reserved)
        || !is_zero(header.sections[sections..].as_bytes())
        || !is_kinds_known
    {
        return Err(ImageError::Header {
            problem: "a reserved field is set",
        });
    }
    if !bytes.as_ptr().addr().is_multiple_of(ALIGN) {
        return Err(ImageError::Misaligned { expected: ALIGN });
    }
    Ok(header)
}

/// Checks that a section is the one expected, aligned, in bounds and right behind the previous one but for zeros.
fn check_section(
    bytes: &[u8],
    record: &SectionRecord,
    expected: SectionKind,
    previous_end: usize,
) -> Result<(usize, usize), ImageError> {
    let wrong = |problem| ImageError::Section {
        section: expected,
        problem,
    };
    if SectionKind::from_code(record.kind.get()) != Some(expected) || record.reserved != 0 {
        return Err(wrong("missing or out of order"));
    }
    let offset = usize::try_from(record.offset.get()).map_err(|_| wrong("offset too large"))?;
    let length = usize::try_from(record.length.get()).map_err(|_| wrong("length too large"))?;
    if offset != previous_end.next_multiple_of(expected.align()) {
        return Err(wrong("not right behind the section before it"));
    }
    let end = offset
        .checked_add(length)
        .ok_or(wrong("length too large"))?;
    if end > bytes.len() {
        return Err(wrong("reaches past the end of the file"));
    }
    if bytes[previous_end..offset].iter().any(|&byte| byte != 0) {
        return Err(wrong("the padding before it is not zero"));
    }
    Ok((offset, length))
}

/// Lays out sections behind a header, with all digests. The version is the one that has as many sections.
#[cfg(feature = "alloc")]
pub(crate) fn assemble(
    kind: Kind,
    kinds: Kinds,
    backbone_id: Option<Digest>,
    contents: &[&[u8]],
) -> alloc::vec::Vec<u8> {
    let mut bytes = alloc::vec![0; HEADER_LEN];
    let mut header: Header = zerocopy::FromZeros::new_zeroed();
    header.magic = MAGIC;
    let version = match contents.len() {
        count if count == SectionKind::expected(kind, FORMAT_VERSION).len() => FORMAT_VERSION,
        _ => LEARNED_VERSION,
    };
    header.version = version.into();
    header.layout = LAYOUT_VERSION.into();
    header.kind = (kind as u16).into();
    header.kinds = kinds.bits().into();
    header.section_count = (contents.len() as u16).into();
    let section_kinds = SectionKind::expected(kind, version);
    for ((record, content), section) in header.sections.iter_mut().zip(contents).zip(section_kinds)
    {
        bytes.resize(bytes.len().next_multiple_of(section.align()), 0);
        record.kind = (*section as u32).into();
        record.offset = (bytes.len() as u64).into();
        record.length = (content.len() as u64).into();
        bytes.extend_from_slice(content);
    }
    header.length = (bytes.len() as u64).into();
    header.backbone_id = backbone_id.unwrap_or_default();
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
    seal(&mut bytes);
    bytes
}

/// Computes every digest of an image again, and a backbone's id: the last step of the writers, and how tests make
/// images whose digests are right and whose records are not. Leaves bytes alone that are not laid out as an image.
#[cfg(feature = "alloc")]
pub fn seal(bytes: &mut [u8]) {
    let Ok((header, _)) = Header::read_from_prefix(bytes) else {
        return;
    };
    let mut header = header;
    for record in header
        .sections
        .iter_mut()
        .take(header.section_count.get().into())
    {
        let start = usize::try_from(record.offset.get()).unwrap_or(usize::MAX);
        let length = usize::try_from(record.length.get()).unwrap_or(usize::MAX);
        if let Some(content) = bytes.get(start..start.saturating_add(length)) {
            record.digest = Digest::of(content);
        }
    }
    if header.kind == Kind::Backbone as u16 {
        header.backbone_id = backbone_id(&header);
    }
    header.digest = header.expected_digest();
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
}

/// The id of a backbone: BLAKE3 over the digests of its layer table, site table, scales if it has any, identity epilogues
/// and frozen weights, in that order. Resolution, plan and metadata are not part of it, so a backbone imported again for
/// another resolution keeps its patches.
pub(crate) fn backbone_id(header: &Header) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let parts = [
        SectionKind::Layers,
        SectionKind::Sites,
        SectionKind::Scales,
        SectionKind::Epilogues,
        SectionKind::Frozen,
    ];
    for record in &header.sections {
        let is_empty = record.length == 0 && record.kind == SectionKind::Scales as u32;
        if !is_empty && parts.iter().any(|&part| part as u32 == record.kind.get()) {
            hasher.update(&record.digest.0);
        }
    }
    Digest(*hasher.finalize().as_bytes())
}
