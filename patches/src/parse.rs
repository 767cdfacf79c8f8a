//! Sections as records, and the errors of those.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::error::ImageError;
use crate::section::SectionKind;

/// The error of a record, by its problem.
pub(crate) fn wrong(
    section: SectionKind,
    index: usize,
) -> impl Fn(&'static str) -> ImageError + Copy {
    move |problem| ImageError::Record {
        section,
        index,
        problem,
    }
}

/// A section of one record.
pub(crate) fn one<T>(section: SectionKind, bytes: &[u8]) -> Result<&T, ImageError>
where
    T: FromBytes + Immutable + KnownLayout + Unaligned,
{
    T::ref_from_bytes(bytes).map_err(|_| ImageError::Section {
        section,
        problem: "not one record",
    })
}

/// A section of records.
pub(crate) fn all<T>(section: SectionKind, bytes: &[u8]) -> Result<&[T], ImageError>
where
    T: FromBytes + Immutable + Unaligned,
{
    <[T]>::ref_from_bytes(bytes).map_err(|_| ImageError::Section {
        section,
        problem: "not a whole number of records",
    })
}
