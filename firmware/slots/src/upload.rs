//! A patch on its way to a slot.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use crate::error::{Error, FinishError};
use crate::flash;
use crate::progress::Progress;
use crate::record::{Patch, Status};
use crate::slot::{Stamp, Task, Upload};
use crate::store::Store;

impl<F: NorFlash> Store<F> {
    /// Begins an upload to a slot, which is empty from now on. An upload that was begun before is forgotten; what it has
    /// written stays in flash.
    ///
    /// # Errors
    /// If the slot is active or on trial, or too short, or flash fails.
    pub fn begin(&mut self, slot: u8, upload: Upload) -> Result<(), Error<F::Error>> {
        let index = self.index(slot)?;
        if self.trial() == Some(slot) || self.active() == Task::Slot(slot) {
            return Err(Error::InUse { slot });
        }
        let capacity = self.layout().slot_len;
        if upload.length > capacity {
            return Err(Error::TooLong {
                length: upload.length,
                capacity,
            });
        }
        let mut next = self.status;
        next.patches[index] = None;
        if next.previous == Task::Slot(slot) {
            next.previous = Task::Own;
        }
        self.commit(next)?;
        self.progress = Some(Progress {
            slot,
            upload,
            last: None,
        });
        Ok(())
    }

    /// Writes a part of the upload: one that goes on where the last one ended, or one that begins at the start of a page.
    /// Every page that it begins is erased first. The last part again is not written twice.
    ///
    /// # Errors
    /// If nothing is being uploaded, the part is elsewhere, or flash fails.
    pub fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        let progress = self.progress.ok_or(Error::NoUpload)?;
        let range = progress.range(offset, bytes.len())?;
        let unit = flash::unit::<F>();
        let whole = range.end.is_multiple_of(unit) || range.end == progress.upload.length;
        if !range.start.is_multiple_of(unit) || !whole {
            return Err(Error::Unaligned { expected: unit });
        }
        let start = self.start(progress.slot);
        if progress.last == Some((range.start, range.end))
            && flash::holds(&mut self.flash, start + offset, bytes).map_err(Error::Flash)?
        {
            return Ok(());
        }
        let page_start = offset - offset % Self::page_len();
        let next = progress.last.map(|(_, end)| end);
        if offset != page_start && next != Some(offset) {
            return Err(Error::OutOfOrder {
                expected: next.unwrap_or(page_start),
            });
        }
        // Until it is written, nothing is known of its page.
        self.progress = Some(Progress {
            last: None,
            ..progress
        });
        // If a commit has failed since the upload began, flash may hold a record by which the slot is not empty.
        self.commit(self.status)?;
        self.write_pages(start + offset, bytes)
            .map_err(Error::Flash)?;
        self.progress = Some(Progress {
            last: Some((range.start, range.end)),
            ..progress
        });
        Ok(())
    }

    /// CRC-32 (the one of Ethernet and zip) of a part of the slot that the upload goes to, as it is in flash.
    ///
    /// # Errors
    /// If nothing is being uploaded, the part is beyond its end, or flash fails.
    pub fn checksum(&mut self, offset: u32, length: u32) -> Result<u32, Error<F::Error>> {
        let progress = self.progress.ok_or(Error::NoUpload)?;
        let range = progress.range(offset, length as usize)?;
        let start = self.start(progress.slot);
        flash::checksum(&mut self.flash, start + range.start..start + range.end)
            .map_err(Error::Flash)
    }

    /// Compares the slot with the digest of the upload, then runs the caller's check on it, which gets the flash memory
    /// and the offsets where the patch begins and ends, and returns the patch's stamp, if counters matter; then commits
    /// that the slot is written, and returns it. The upload goes on if this fails.
    ///
    /// # Errors
    /// If nothing is being uploaded, the comparison or the check fails, the patch is older than another one of its task, or
    /// flash fails.
    pub fn finish<C>(
        &mut self,
        check: impl FnOnce(&F, Range<u32>) -> Result<Option<Stamp>, C>,
    ) -> Result<u8, FinishError<C, F::Error>> {
        let Progress { slot, upload, .. } = self.progress.ok_or(Error::NoUpload)?;
        let stamp = self.compare(slot, &upload, check)?;
        let mut next: Status = self.status;
        if let Some(stamp) = stamp {
            next.counters.raise(stamp, self.layout().tasks)?;
        }
        next.patches[usize::from(slot)] = Some(Patch {
            upload,
            good: false,
        });
        self.commit(next)?;
        self.progress = None;
        Ok(slot)
    }

    /// Writes bytes, and erases every page that they begin.
    fn write_pages(&mut self, mut offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        let page_len = Self::page_len();
        let mut rest = bytes;
        while !rest.is_empty() {
            let inside = offset % page_len;
            if inside == 0 {
                self.flash.erase(offset, offset + page_len)?;
            }
            let (piece, after) = rest.split_at(rest.len().min((page_len - inside) as usize));
            flash::write(&mut self.flash, offset, piece)?;
            offset += piece.len() as u32;
            rest = after;
        }
        Ok(())
    }
}
