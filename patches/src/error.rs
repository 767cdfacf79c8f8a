//! The faults of images, and what to do about them.

use crate::digest::Digest;
use crate::geometry::Shape;
use crate::records::{Dtype, Kinds, What};
use crate::section::{Kind, SectionKind};
use crate::signature::KeyId;

/// The reason why an image was refused. Every variant says what was found and what was expected; [`ImageError::hint`]
/// says what to do.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file ends before its header does.
    #[error("the file has {found} bytes, an image has at least {expected}")]
    TooShort {
        /// Bytes in the file.
        found: usize,
        /// Bytes of a header.
        expected: usize,
    },
    /// The first eight bytes are not those of a Graft image.
    // In hexadecimal as one number: printing an array takes half a kilobyte of a microcontroller's flash.
    #[error(
        "not a Graft image: it starts with {:016x}, expected {:016x}",
        u64::from_be_bytes(*found),
        u64::from_be_bytes(*expected)
    )]
    Magic {
        /// First bytes of the file.
        found: [u8; 8],
        /// [`crate::container::MAGIC`].
        expected: [u8; 8],
    },
    /// Written for another version of the format.
    #[error("format version {found}, this reader knows {expected}")]
    Version {
        /// Version in the file.
        found: u16,
        /// Version of this crate.
        expected: u16,
    },
    /// Weights packed for another generation of kernels.
    #[error("weight layout version {found}, this reader knows {expected}")]
    Layout {
        /// Version in the file.
        found: u16,
        /// Version of this crate.
        expected: u16,
    },
    /// A patch where a backbone was expected, or the reverse.
    #[error("this is {found}, expected {expected}")]
    Kind {
        /// The kind of the file.
        found: Kind,
        /// The kind that the caller asked for.
        expected: Kind,
    },
    /// The header names another length than the file has.
    #[error("the file has {found} bytes, its header says {expected}")]
    Length {
        /// Bytes in the file.
        found: u64,
        /// Bytes the header names.
        expected: u64,
    },
    /// The image does not start at an address that kernels can read from.
    #[error("the image is in memory at an address that is no multiple of {expected}")]
    Misaligned {
        /// Alignment in bytes.
        expected: usize,
    },
    /// A header field outside what the format allows.
    #[error("header: {problem}")]
    Header {
        /// The fault.
        problem: &'static str,
    },
    /// A section that is missing, misplaced or of a wrong size.
    #[error("section {section}: {problem}")]
    Section {
        /// The section.
        section: SectionKind,
        /// The fault.
        problem: &'static str,
    },
    /// A section that images of this kind do not have in this release.
    #[error("{image} has no section {section} in this release")]
    ForeignSection {
        /// The section.
        section: SectionKind,
        /// The image it is in.
        image: Kind,
    },
    /// A section that this release does not know.
    #[error("section {code} of {image} is not known to this release")]
    UnknownSection {
        /// Code in the section table ([`SectionKind`]).
        code: u32,
        /// The image it is in.
        image: Kind,
    },
    /// The header does not match its digest.
    #[error("the header does not match its digest")]
    HeaderDigest,
    /// A section's bytes do not match its digest.
    #[error("section {section} does not match its digest")]
    SectionDigest {
        /// The section.
        section: SectionKind,
    },
    /// An image without a signature, where only signed ones are trusted.
    #[error("it is not signed, and only what a trusted key has signed is run")]
    Unsigned,
    /// A signature of a key that is not trusted.
    #[error(
        "it is signed with key {found}, trusted are {}{}{}",
        .expected[0].unwrap_or_default(),
        if .expected[1].is_some() { " and " } else { "" },
        OptionalKey(.expected[1])
    )]
    UnknownKey {
        /// Key of the signature.
        found: KeyId,
        /// The trusted ones.
        expected: [Option<KeyId>; 2],
    },
    /// A signature that was not made of these bytes, or not with the key that it names.
    #[error("the signature of key {key} does not match")]
    WrongSignature {
        /// Key of the signature.
        key: KeyId,
    },
    /// A signature for another task than the metadata name.
    #[error("the signature is for another task than the one that the metadata name")]
    SignedTask,
    /// A record that contradicts the format or another record.
    #[error("section {section}, record {index}: {problem}")]
    Record {
        /// The section.
        section: SectionKind,
        /// The record, from 0.
        index: usize,
        /// The fault.
        problem: &'static str,
    },
    /// The metadata cannot be decoded.
    #[error("the metadata cannot be decoded")]
    Metadata,
    /// A rule for photographs in the metadata that no program should follow.
    #[error("the metadata keep {found} thousandths of a photograph's side, expected 100 to 1000")]
    Crop {
        /// The share that is kept, in thousandths.
        found: u32,
    },
    /// Names in the metadata of classes that there are not.
    #[error("{found} class names in the metadata, expected at most {expected}, one a class")]
    Labels {
        /// Names.
        found: usize,
        /// Classes.
        expected: usize,
    },
    /// A batch norm in the metadata, or the layer's own bias, that does not fit its site.
    #[error("metadata of site {site}: {found} values of {what}, expected {expected}")]
    NormLength {
        /// The site.
        site: usize,
        /// The name of the values.
        what: &'static str,
        /// The number that there is.
        found: usize,
        /// Output channels of the site.
        expected: usize,
    },
    /// A batch norm in the metadata, or the layer's own bias, that cannot be computed with.
    #[cfg(feature = "alloc")]
    #[error("metadata of site {site}, channel {channel}: {what} is {found}, expected {expected}")]
    NormValue {
        /// The site.
        site: usize,
        /// The channel.
        channel: usize,
        /// The name of the value.
        what: &'static str,
        /// The value.
        found: f64,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// A patch made for another backbone.
    #[error("the patch was made for backbone {found}, this is backbone {expected}")]
    WrongBackbone {
        /// Backbone id in the patch.
        found: Digest,
        /// Id of the backbone at hand.
        expected: Digest,
    },
    /// A patch whose values are of another type than the backbone computes with.
    #[error("the patch has {found} values, the backbone computes in {expected}")]
    OtherDtype {
        /// Values of the patch.
        found: Dtype,
        /// Values of the backbone.
        expected: Dtype,
    },
    /// Another scale of a tensor than the table of a site, which the patch leaves as it is, was made for.
    #[error("the patch scales a tensor of site {site} anew, but leaves the site's table as it is")]
    Scale {
        /// The site.
        site: usize,
    },
    /// A patch that replaces nothing.
    #[error("the patch has nothing in it: it replaces no site")]
    EmptyPatch,
    /// A patch record for a site that the backbone does not have.
    #[error("patch record for site {found}, the backbone has {expected} sites")]
    UnknownSite {
        /// Site in the patch.
        found: usize,
        /// Sites of the backbone.
        expected: usize,
    },
    /// A patch that claims a kind but leaves out one of its sites.
    #[error("the patch claims kind {kind} but has no {what} for site {site}")]
    MissingSite {
        /// The site left out.
        site: usize,
        /// The missing part.
        what: What,
        /// The claimed kind.
        kind: &'static str,
    },
    /// A patch record that belongs to none of the kinds that the patch claims.
    #[error("the patch carries {what} for site {site}, which none of its kinds ({kinds}) covers")]
    UnclaimedSite {
        /// The site.
        site: usize,
        /// The part that is carried.
        what: What,
        /// The claimed kinds.
        kinds: Kinds,
    },
    /// Values of an unknown type, or of another type than the first of the patch.
    #[error("site {site}: values of dtype {found}, expected {expected}")]
    Dtype {
        /// The site.
        site: usize,
        /// Code in the patch ([`crate::records::Dtype`]).
        found: u8,
        /// The type of the first values; f32 where those are unknown.
        expected: Dtype,
    },
    /// Values of another size than the site has.
    #[error("site {site}: {found} bytes of {what}, expected {expected}")]
    SiteLength {
        /// The site.
        site: usize,
        /// The part that is carried.
        what: What,
        /// Bytes in the patch.
        found: usize,
        /// Bytes of the site.
        expected: usize,
    },
    /// A kind that this backbone has no site for.
    #[error("the patch claims kind {kind}, the backbone has no site for it")]
    NoSuchKind {
        /// The claimed kind.
        kind: &'static str,
    },
    /// Another number of output channels than the site or the other values of the patch have.
    #[error("site {site}: {found} output channels, expected {expected}")]
    SiteOutputs {
        /// The site.
        site: usize,
        /// Channels in the patch.
        found: usize,
        /// Channels expected.
        expected: usize,
    },
    /// An input too small for the layers.
    #[error("an input of {found} is too small: a window of the backbone does not fit it")]
    TooSmall {
        /// Input of the patch.
        found: Shape,
    },
    /// A continual state of another number of classes than the patch's head has.
    #[error("the patch has the continual state of {found} classes, its head has {expected}")]
    ContinualClasses {
        /// Classes of the state.
        found: usize,
        /// Classes of its head; zero where it leaves the backbone's.
        expected: usize,
    },
    /// More classes than the memory plan has room for.
    #[error("the patch has {found} classes, the backbone's plan has room for {expected}")]
    TooManyClasses {
        /// Classes in the patch.
        found: usize,
        /// Room in the plan.
        expected: usize,
    },
    /// An input that the backbone's plan cannot hold or its layers cannot reduce.
    #[error("the patch wants an input of {found}, the backbone was planned for at most {expected}")]
    Resolution {
        /// Input of the patch.
        found: Shape,
        /// Input of the plan.
        expected: Shape,
    },
}

impl ImageError {
    /// The remedy for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooShort { .. } | Self::Length { .. } => {
                "the file is truncated or was written in part: copy or download it again"
            }
            Self::Magic { .. } => {
                "give a .backbone made by `patchtool import` or a .patch made for it"
            }
            Self::Version { .. } | Self::Layout { .. } | Self::UnknownSection { .. } => {
                "make the file again with the patchtool of this version, or update this program"
            }
            Self::ForeignSection { .. } => "make the file again with the patchtool of this version",
            Self::Kind { found, .. } => match found {
                Kind::Backbone => "this is a .backbone: give the .patch file here",
                Kind::Patch => "this is a .patch: give the .backbone file here",
            },
            Self::Misaligned { .. } => {
                "align the bytes to 64, for instance with #[repr(align(64))]"
            }
            Self::Header { .. }
            | Self::Section { .. }
            | Self::HeaderDigest
            | Self::SectionDigest { .. }
            | Self::Record { .. }
            | Self::Metadata
            | Self::Crop { .. }
            | Self::Labels { .. }
            | Self::ContinualClasses { .. }
            | Self::NormLength { .. } => {
                "the file is damaged or was made by a faulty tool: fetch or make it again"
            }
            #[cfg(feature = "alloc")]
            Self::NormValue { .. } => {
                "the file is damaged or was made by a faulty tool: fetch or make it again"
            }
            Self::Unsigned => "have it signed: `patchtool sign`",
            Self::UnknownKey { .. } => {
                "have it signed with a key that is trusted here, or add the key to those"
            }
            Self::WrongSignature { .. } | Self::SignedTask => {
                "it was changed after it was signed, or is a forgery: do not use it, fetch it again from who signed it"
            }
            Self::WrongBackbone { .. } => {
                "run it on the backbone it was made for, or export the patch again for this one"
            }
            Self::OtherDtype { .. } => {
                "export the patch again for this backbone: for an int8 one with --calibrate"
            }
            Self::Scale { .. }
            | Self::EmptyPatch
            | Self::UnknownSite { .. }
            | Self::MissingSite { .. }
            | Self::UnclaimedSite { .. }
            | Self::Dtype { .. }
            | Self::NoSuchKind { .. }
            | Self::SiteOutputs { .. }
            | Self::SiteLength { .. } => "export the patch again for this backbone",
            Self::TooSmall { .. } => "export the patch for a larger input",
            Self::TooManyClasses { .. } => "import the backbone again with a larger --max-classes",
            Self::Resolution { .. } => {
                "import the backbone again with a larger --resolution: patches of the same weights stay valid"
            }
        }
    }
}

/// A key, where there is one.
struct OptionalKey(Option<KeyId>);

impl core::fmt::Display for OptionalKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.map_or(Ok(()), |key| key.fmt(f))
    }
}
