//! Two pages of records: the newest is found, another one appended, the pages taken in turns.

use embedded_storage::nor_flash::NorFlash;
use zerocopy::{FromZeros, IntoBytes};

use crate::error::Error;
use crate::flash;
use crate::record::{CRC_START, Header, Record, Status, VERSION};
use crate::slot::Layout;

/// The number of pages for records.
pub(crate) const PAGES: u32 = 2;

/// The place of the newest record.
pub(crate) struct Log {
    layout: Layout,
    /// Offset of the newest record, if there is any.
    newest: Option<u32>,
    /// The greatest number that was ever given to a record, even to one that failed.
    sequence: u32,
}

impl Log {
    /// Finds the newest record, and what it says.
    ///
    /// Places that hold no intact record are passed over, those that hold one of another version or layout are an error.
    pub(crate) fn open<F: NorFlash>(
        flash: &mut F,
        layout: Layout,
    ) -> Result<(Self, Option<Status>), Error<F::Error>> {
        let mut log = Self {
            layout,
            newest: None,
            sequence: 0,
        };
        let mut newest = None;
        for page in 0..PAGES {
            let start = page * page_len::<F>();
            let end = start + page_len::<F>();
            let mut place = start;
            while place + log.stride::<F>() <= end {
                let found = read_record(flash, layout, place, end)?;
                if let Some((sequence, status)) = found
                    && (log.newest.is_none() || sequence > log.sequence)
                {
                    log.newest = Some(place);
                    log.sequence = sequence;
                    newest = Some(status);
                }
                place += log.stride::<F>();
            }
        }
        Ok((log, newest))
    }

    /// Sequence number of the last record; 0 if there has been none.
    pub(crate) fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Appends a record. On success it is in flash and reads as it was written.
    pub(crate) fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        status: &Status,
    ) -> Result<(), Error<F::Error>> {
        let next = self.next_place(flash).map_err(Error::Flash)?;
        // One number is left out for a torn record at the next place, which may read well another time.
        let step = if next.is_some() { 1 } else { 2 };
        let sequence = self.sequence.checked_add(step).ok_or(Error::Exhausted)?;
        let place = match next {
            Some(place) => place,
            None => self.turn_over(flash).map_err(Error::Flash)?,
        };
        // Taken even if writing fails: the record may be there nevertheless, and two must never have the same number.
        self.sequence = sequence;
        let record = Record::new(status, self.layout, sequence);
        let bytes = record.bytes(self.layout);
        flash::write(flash, place, bytes).map_err(Error::Flash)?;
        if !flash::holds(flash, place, bytes).map_err(Error::Flash)? {
            return Err(Error::Unwritten { offset: place });
        }
        self.newest = Some(place);
        Ok(())
    }

    /// The place after the newest record, if there is one in the page and it is blank.
    fn next_place<F: NorFlash>(&self, flash: &mut F) -> Result<Option<u32>, F::Error> {
        let Some(newest) = self.newest else {
            return Ok(None);
        };
        let place = newest + self.stride::<F>();
        let end = place + self.stride::<F>();
        let same_page = newest / page_len::<F>() == (end - 1) / page_len::<F>();
        Ok((same_page && flash::is_blank(flash, place..end)?).then_some(place))
    }

    /// Erases the page that does not hold the newest record, and returns its start.
    fn turn_over<F: NorFlash>(&self, flash: &mut F) -> Result<u32, F::Error> {
        let page = self
            .newest
            .map_or(0, |newest| PAGES - 1 - newest / page_len::<F>());
        let start = page * page_len::<F>();
        flash.erase(start, start + page_len::<F>())?;
        Ok(start)
    }

    fn stride<F: NorFlash>(&self) -> u32 {
        stride::<F>(self.layout)
    }
}

/// Bytes from one record to the next.
pub(crate) fn stride<F: NorFlash>(layout: Layout) -> u32 {
    Record::len(layout).next_multiple_of(flash::unit::<F>())
}

/// Bytes of a page.
pub(crate) fn page_len<F: NorFlash>() -> u32 {
    F::ERASE_SIZE as u32
}

/// Sequence number and contents of the record at a place, if there is one; it ends before `end`.
fn read_record<F: NorFlash>(
    flash: &mut F,
    layout: Layout,
    place: u32,
    end: u32,
) -> Result<Option<(u32, Status)>, Error<F::Error>> {
    let mut header = Header::new_zeroed();
    flash::fill(flash, place, header.as_mut_bytes()).map_err(Error::Flash)?;
    let Some(length) = header.record_len(end - place) else {
        return Ok(None);
    };
    let covered = place + CRC_START..place + length;
    if flash::checksum(flash, covered).map_err(Error::Flash)? != header.crc.get() {
        return Ok(None);
    }
    if header.version != VERSION {
        return Err(Error::Version {
            found: header.version,
            expected: VERSION,
        });
    }
    if header.layout() != layout {
        return Err(Error::Layout {
            found: header.layout(),
            expected: layout,
        });
    }
    if length != Record::len(layout) {
        return Ok(None);
    }
    let mut record = Record::new_zeroed();
    flash::fill(flash, place, record.bytes_mut(layout)).map_err(Error::Flash)?;
    Ok(record
        .status(layout)
        .map(|status| (header.sequence.get(), status)))
}
