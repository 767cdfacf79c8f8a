//! The container that both images share: a fixed header with a table of sections, each with its own digest.
//!
//! See `FORMAT.md`, "Container".

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checked::checked;
use crate::digest::Digest;
use crate::error::ImageError;
use crate::records::Kinds;
use crate::section::MAX_KNOWN;
pub use crate::section::{ALIGN, Kind, PAGE, SectionKind, SectionRecord};
use crate::signature::{PublicKey, SignatureRecord, Signed, Trust};

/// First bytes of every image. The high bit and the line ends show a file mangled in transfer.
pub const MAGIC: [u8; 8] = *b"\x89GRAFT\r\n";
/// Version of the container and records. A reader takes exactly this one.
pub const FORMAT_VERSION: u16 = 4;
/// Version of the packed layout of weights ([`crate::layout`]).
pub const LAYOUT_VERSION: u16 = 1;
/// Sections that a header has room for: more than any image of this release has.
pub const MAX_SECTIONS: usize = 12;
/// Bytes of a header.
pub const HEADER_LEN: usize = size_of::<Header>();

const _: () = assert!(MAX_KNOWN < MAX_SECTIONS);

/// Extent of the checks at open. Nothing is copied either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// The digest of every byte, and the structure.
    #[default]
    Full,
    /// Header and records only: for files that a store has already verified. Memory safety does not depend on the
    /// rest.
    Structure,
}

/// The header of an image.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`FORMAT_VERSION`].
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

    /// The entry of a section, unchecked; `None` where the table has none.
    pub fn section(&self, kind: SectionKind) -> Option<&SectionRecord> {
        self.sections
            .iter()
            .find(|record| record.kind == kind as u32)
    }

    /// The right value of the `digest` field.
    pub fn expected_digest(&self) -> Digest {
        let mut copy = *self;
        copy.digest = Digest::default();
        Digest::of(copy.as_bytes())
    }

    /// The right id of a backbone: BLAKE3 over the digests of its layer table, site table, scales if it has any, identity
    /// epilogues and frozen weights, in that order. Resolution, plan and metadata are not part of it, so a backbone
    /// imported again for another resolution keeps its patches.
    pub(crate) fn expected_backbone_id(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        let parts = [
            SectionKind::Layers,
            SectionKind::Sites,
            SectionKind::Scales,
            SectionKind::Epilogues,
            SectionKind::Frozen,
        ];
        for record in parts.into_iter().filter_map(|part| self.section(part)) {
            hasher.update(&record.digest.0);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

/// A checked container: where its sections are. Plain numbers, without the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Container {
    pub(crate) backbone_id: Digest,
    pub(crate) digest: Digest,
    pub(crate) kinds: Kinds,
    kind: Kind,
    /// Start and length of each section, by its place ([`Kind::place`]).
    sections: [(usize, usize); MAX_KNOWN],
}

impl Container {
    /// Checks `bytes` as an image of this kind: header, section table, digests as `verify` says, a backbone's id.
    pub(crate) fn check(bytes: &[u8], kind: Kind, verify: Verify) -> Result<Self, ImageError> {
        let (header, used) = check_header(bytes, kind)?;
        let mut container = Self {
            backbone_id: header.backbone_id,
            digest: header.digest,
            kinds: Kinds::from_bits(header.kinds.get()).ok_or(ImageError::Header {
                problem: "unknown patch kinds",
            })?,
            kind,
            sections: Default::default(),
        };
        let mut order = Order::of(kind);
        let mut end = HEADER_LEN;
        for record in used {
            let place = order.place(record)?;
            let section = kind.sections()[place];
            let (offset, length) = bounds(bytes, record, section, end)?;
            let is_checked = verify == Verify::Full || section.is_structure();
            if is_checked && Digest::of(&bytes[offset..offset + length]) != record.digest {
                return Err(ImageError::SectionDigest { section });
            }
            if section == SectionKind::Signature && length != size_of::<SignatureRecord>() {
                return Err(ImageError::Section {
                    section,
                    problem: "not one record",
                });
            }
            container.sections[place] = (offset, length);
            end = offset + length;
        }
        order.end()?;
        if end != bytes.len() {
            return Err(ImageError::Header {
                problem: "bytes after the last section",
            });
        }
        if kind == Kind::Backbone && header.backbone_id != header.expected_backbone_id() {
            return Err(ImageError::Header {
                problem: "the backbone id does not match the sections",
            });
        }
        Ok(container)
    }

    /// The bytes of a section of the image that was checked; empty where it has no such section.
    pub(crate) fn section<'a>(&self, bytes: &'a [u8], kind: SectionKind) -> &'a [u8] {
        let place = self.kind.place(kind);
        let (offset, length) = place.map_or((0, 0), |place| self.sections[place]);
        &bytes[offset..offset + length]
    }

    fn signature<'a>(&self, bytes: &'a [u8]) -> Option<&'a SignatureRecord> {
        SignatureRecord::ref_from_bytes(self.section(bytes, SectionKind::Signature)).ok()
    }

    /// What the signature of the image that was checked says; `None` where it has none.
    pub(crate) fn signed(&self, bytes: &[u8]) -> Option<Signed> {
        self.signature(bytes).map(SignatureRecord::signed)
    }

    /// [`Container::check`] of every byte, then that a trusted key has signed them; returns that key, too.
    pub(crate) fn check_signed(
        bytes: &[u8],
        kind: Kind,
        trust: &Trust,
    ) -> Result<(Self, PublicKey), ImageError> {
        let container = Self::check(bytes, kind, Verify::Full)?;
        let header = checked(Header::parse(bytes).ok_or(()));
        let key = trust.check(header, container.signature(bytes))?;
        Ok((container, key))
    }
}

/// Checks all of the header but its section table, and returns the used entries of that.
fn check_header(bytes: &[u8], expected: Kind) -> Result<(&Header, &[SectionRecord]), ImageError> {
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
    // Ahead of the rest of the header, whose length other versions may change.
    let [.., v0, v1, l0, l1] = *bytes.first_chunk::<12>().ok_or(short)?;
    let (version, layout) = (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([l0, l1]));
    if version != FORMAT_VERSION {
        return Err(ImageError::Version {
            found: version,
            expected: FORMAT_VERSION,
        });
    }
    if layout != LAYOUT_VERSION {
        return Err(ImageError::Layout {
            found: layout,
            expected: LAYOUT_VERSION,
        });
    }
    let header = Header::parse(bytes).ok_or(short)?;
    let found = Kind::from_code(header.kind.get()).ok_or(ImageError::Header {
        problem: "neither a backbone nor a patch",
    })?;
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
    let count = usize::from(header.section_count.get());
    let Some((used, unused)) = header.sections.split_at_checked(count) else {
        return Err(ImageError::Header {
            problem: "more sections than it has room for",
        });
    };
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    let is_kinds_known = expected == Kind::Patch || header.kinds == 0;
    if !is_zero(&header.reserved) || !is_zero(unused.as_bytes()) || !is_kinds_known {
        return Err(ImageError::Header {
            problem: "a reserved field is set",
        });
    }
    if !bytes.as_ptr().addr().is_multiple_of(ALIGN) {
        return Err(ImageError::Misaligned { expected: ALIGN });
    }
    Ok((header, used))
}

/// The order of sections: all required ones, then any of the optional ones, each once.
struct Order {
    image: Kind,
    /// The first place that the next section may have ([`Kind::place`]).
    next: usize,
}

impl Order {
    fn of(image: Kind) -> Self {
        Self { image, next: 0 }
    }

    /// The place of the next section in the file.
    fn place(&mut self, record: &SectionRecord) -> Result<usize, ImageError> {
        let (code, image) = (record.kind.get(), self.image);
        let sections = image.sections().iter();
        let place = sections
            .map(|&section| section as u32)
            .position(|known| known == code);
        let place = place.ok_or(match SectionKind::from_code(code) {
            Some(section) => ImageError::ForeignSection { section, image },
            None => ImageError::UnknownSection { code, image },
        })?;
        let wrong = |place: usize, problem| {
            let section = image.sections()[place];
            Err(ImageError::Section { section, problem })
        };
        if place < self.next {
            return wrong(place, "twice or out of order");
        }
        if place > self.next && self.next < image.required() {
            return wrong(self.next, "missing or out of order");
        }
        if place >= image.required() && record.length == 0 {
            return wrong(place, "optional, and there with nothing in it");
        }
        self.next = place + 1;
        Ok(place)
    }

    fn end(&self) -> Result<(), ImageError> {
        if self.next >= self.image.required() {
            return Ok(());
        }
        Err(ImageError::Section {
            section: self.image.sections()[self.next],
            problem: "missing",
        })
    }
}

/// Checks that a section is aligned, in bounds and right behind the previous one but for zeros. Returns its start and
/// length.
fn bounds(
    bytes: &[u8],
    record: &SectionRecord,
    section: SectionKind,
    previous_end: usize,
) -> Result<(usize, usize), ImageError> {
    let wrong = |problem| ImageError::Section { section, problem };
    if record.reserved != 0 {
        return Err(wrong("a reserved field of its entry is set"));
    }
    let offset = usize::try_from(record.offset.get()).map_err(|_| wrong("offset too large"))?;
    let length = usize::try_from(record.length.get()).map_err(|_| wrong("length too large"))?;
    if offset != previous_end.next_multiple_of(section.align()) {
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
