//! The progress of an upload.

use core::ops::Range;

use crate::error::Error;
use crate::slot::Upload;

/// An upload that has begun.
#[derive(Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) slot: u8,
    pub(crate) upload: Upload,
    /// The last part that was written, from the beginning of the upload. What follows it in its page is blank.
    pub(crate) last: Option<(u32, u32)>,
}

impl Progress {
    /// The part of the upload that begins at an offset.
    pub(crate) fn range<E>(&self, offset: u32, length: usize) -> Result<Range<u32>, Error<E>> {
        let end = u32::try_from(length)
            .ok()
            .and_then(|length| offset.checked_add(length));
        match end {
            Some(end) if end <= self.upload.length => Ok(offset..end),
            _ => Err(Error::OutOfRange {
                length: self.upload.length,
            }),
        }
    }
}
