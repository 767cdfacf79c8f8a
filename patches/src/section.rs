//! The sections of both images and their order in a file. See `FORMAT.md`, "Container".

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::coded::coded;
use crate::digest::Digest;

/// Alignment of every section and of every tensor in it.
pub const ALIGN: usize = 64;
/// Alignment of the frozen section of a backbone: a page, or a flash sector.
pub const PAGE: usize = 4096;

/// Most sections, required and optional, that this release knows of one kind of image.
pub(crate) const MAX_KNOWN: usize = 9;
const _: () = {
    assert!(Kind::Backbone.sections().len() <= MAX_KNOWN);
    assert!(Kind::Patch.sections().len() <= MAX_KNOWN);
    let (backbone, patch) = (Kind::Backbone.required(), Kind::Patch.required());
    assert!(matches!(
        Kind::Backbone.sections()[backbone - 1],
        SectionKind::Metadata
    ));
    assert!(matches!(
        Kind::Patch.sections()[patch - 1],
        SectionKind::Metadata
    ));
};

coded! { u16:
/// The two kinds of image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plan, frozen weights and the identity epilogues.
    Backbone = 1,
    /// Replacements for some sites of one backbone.
    Patch = 2,
}
}

impl Kind {
    /// The sections that an image of this kind may have, in file order. The signature is behind all others.
    pub(crate) const fn sections(self) -> &'static [SectionKind] {
        match self {
            Self::Backbone => &[
                SectionKind::Input,
                SectionKind::Layers,
                SectionKind::Sites,
                SectionKind::Plan,
                SectionKind::Epilogues,
                SectionKind::Frozen,
                SectionKind::Metadata,
                SectionKind::Scales,
                SectionKind::Signature,
            ],
            Self::Patch => &[
                SectionKind::Input,
                SectionKind::Records,
                SectionKind::Values,
                SectionKind::Metadata,
                SectionKind::Scales,
                SectionKind::ContinualState,
                SectionKind::Temperature,
                SectionKind::HeadSums,
                SectionKind::Signature,
            ],
        }
    }

    /// The number of [`Self::sections`] that it must have: the first ones, up to the metadata.
    pub(crate) const fn required(self) -> usize {
        match self {
            Self::Backbone => 7,
            Self::Patch => 4,
        }
    }

    /// The place of a section among those that an image of this kind may have, less than [`MAX_KNOWN`].
    pub(crate) fn place(self, section: SectionKind) -> Option<usize> {
        self.sections().iter().position(|&other| other == section)
    }
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Backbone => "a backbone",
            Self::Patch => "a patch",
        })
    }
}

coded! { u32:
/// The contents of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// An ed25519 signature ([`crate::signature`]). Optional, the last one.
    Signature = 10,
    /// [`crate::scale::ScaleRecord`]s of int8, one a tensor. Optional: not in f32.
    Scales = 11,
    /// Postcard: the state of continual learning. Optional.
    ContinualState = 12,
    /// An f32: what scores are divided by before their softmax, for probabilities that come true. Optional.
    Temperature = 13,
    /// The sums that a head was learned from ([`crate::head_sums`]). Optional.
    HeadSums = 14,
}
}

impl SectionKind {
    /// Sections that are small and that memory safety rests on: their digests are checked even by
    /// [`Verify::Structure`](crate::Verify::Structure).
    pub(crate) const fn is_structure(self) -> bool {
        match self {
            Self::Input
            | Self::Layers
            | Self::Sites
            | Self::Plan
            | Self::Records
            | Self::Scales
            | Self::Signature => true,
            Self::Epilogues
            | Self::Frozen
            | Self::Values
            | Self::Metadata
            | Self::ContinualState
            | Self::Temperature
            | Self::HeadSums => false,
        }
    }

    pub(crate) fn align(self) -> usize {
        if self == Self::Frozen { PAGE } else { ALIGN }
    }
}

impl core::fmt::Display for SectionKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
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
