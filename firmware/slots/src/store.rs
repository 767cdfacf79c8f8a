//! The states of the slots, and the steps between them.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use crate::error::{Error, FinishError};
use crate::flash;
use crate::log::{self, Log};
use crate::progress::Progress;
use crate::record::{Patch, Status};
use crate::slot::{Ended, Layout, MAX_SLOTS, MAX_TASKS, Slot, Stamp, State, Task, Upload};

/// Proof that the bytes in a slot were compared with their digest, and checked by the caller: [`Store::verify`].
#[derive(Debug)]
pub struct Verified {
    slot: u8,
    digest: [u8; 32],
    stamp: Option<Stamp>,
}

/// Patch slots in NOR flash. See the crate's documentation.
pub struct Store<F> {
    pub(crate) flash: F,
    layout: Layout,
    log: Log,
    pub(crate) status: Status,
    /// The newest record in flash says what `status` says, and will be read so again.
    settled: bool,
    pub(crate) progress: Option<Progress>,
}

impl<F: NorFlash> Store<F> {
    /// Reads the records. Writes nothing: a trial that a reset has ended is rolled back here, at every start again, until
    /// the next record says so.
    ///
    /// Flash without a record, blank or not, is a store of empty slots that serves the backbone's own values.
    ///
    /// # Errors
    /// If flash cannot be read, does not fit the layout, or holds records of another version or layout.
    pub fn open(mut flash: F, layout: Layout) -> Result<Self, Error<F::Error>> {
        check_layout(&flash, layout)?;
        let (log, status) = Log::open(&mut flash, layout)?;
        let mut status = status.unwrap_or(Status::NEW);
        if status.trial.take().is_some() {
            status.ended = Some(Ended::Reset);
        }
        // A record that was torn by a power cut may read well now and not the next time, so it is not relied on.
        Ok(Self {
            flash,
            layout,
            log,
            status,
            settled: false,
            progress: None,
        })
    }

    /// The flash memory, to use the patches in place.
    pub fn flash(&self) -> &F {
        &self.flash
    }

    /// The division of flash.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes of a page, which is erased as a whole.
    pub fn page_len() -> u32 {
        log::page_len::<F>()
    }

    /// The contents of a slot; `None` if there is no such slot.
    pub fn slot(&self, slot: u8) -> Option<Slot> {
        if slot >= self.layout.slots {
            return None;
        }
        let patch = self.status.patches[usize::from(slot)];
        let state = match patch {
            None => State::Empty,
            Some(_) if self.status.trial == Some(slot) => State::Trial,
            Some(Patch { good: true, .. }) => State::Good,
            Some(_) => State::Written,
        };
        Some(Slot {
            state,
            contents: patch.map(|patch| patch.upload),
        })
    }

    /// Offset in flash where a slot begins.
    pub fn start(&self, slot: u8) -> u32 {
        log::PAGES * Self::page_len() + u32::from(slot) * self.layout.slot_len
    }

    /// The values that are served after a reset.
    pub fn active(&self) -> Task {
        self.status.active
    }

    /// The slot on trial.
    pub fn trial(&self) -> Option<u8> {
        self.status.trial
    }

    /// The values that are served now: those of the patch on trial, else the active ones.
    pub fn serving(&self) -> Task {
        self.status.trial.map_or(self.status.active, Task::Slot)
    }

    /// The values that [`Self::roll_back`] without a trial returns to: those that were active before, or the backbone's own
    /// if these have been overwritten since; `None` if the backbone's own are active.
    pub fn previous(&self) -> Option<Task> {
        (self.status.active != Task::Own).then_some(self.status.previous)
    }

    /// The reason for leaving the last trial or active patch, if one was since the last activation.
    pub fn ended(&self) -> Option<Ended> {
        self.status.ended
    }

    /// The highest counter of each task that patches were installed for.
    pub fn counters(&self) -> impl Iterator<Item = Stamp> {
        self.status.counters.kept()
    }

    /// Sequence number of the newest record: it grows with every record.
    pub fn sequence(&self) -> u32 {
        self.log.sequence()
    }

    /// Compares the bytes in a slot with their digest, then runs the caller's check on them, which gets the flash memory
    /// and the offsets where the patch begins and ends, and returns the patch's stamp, if counters matter.
    ///
    /// # Errors
    /// If the slot is empty, or a comparison or the check fails.
    pub fn verify<C>(
        &mut self,
        slot: u8,
        check: impl FnOnce(&F, Range<u32>) -> Result<Option<Stamp>, C>,
    ) -> Result<Verified, FinishError<C, F::Error>> {
        let Some(patch) = self.status.patches[self.index(slot)?] else {
            return Err(Error::Empty { slot }.into());
        };
        let stamp = self.compare(slot, &patch.upload, check)?;
        Ok(Verified {
            slot,
            digest: patch.upload.digest,
            stamp,
        })
    }

    /// Serves a patch on trial. Nothing happens if it is on trial already, or active.
    ///
    /// # Errors
    /// If another patch is on trial, the slot has changed since it was verified, the patch is older than another one of its
    /// task and not good, or flash fails.
    pub fn activate(&mut self, verified: Verified) -> Result<(), Error<F::Error>> {
        let Verified {
            slot,
            digest,
            stamp,
        } = verified;
        let patch = self.status.patches[self.index(slot)?]
            .filter(|patch| patch.upload.digest == digest)
            .ok_or(Error::Stale { slot })?;
        if self.serving() == Task::Slot(slot) {
            return Ok(());
        }
        if let Some(slot) = self.status.trial {
            return Err(Error::OnTrial { slot });
        }
        if let Some(stamp) = stamp.filter(|_| !patch.good) {
            self.status.counters.check(stamp)?;
        }
        self.commit(Status {
            trial: Some(slot),
            ended: None,
            ..self.status
        })
    }

    /// Makes the patch on trial good, and active.
    ///
    /// # Errors
    /// If none is on trial, or flash fails.
    pub fn confirm(&mut self) -> Result<(), Error<F::Error>> {
        let slot = self.status.trial.ok_or(Error::NoTrial)?;
        let mut next = self.status;
        next.trial = None;
        next.previous = next.active;
        next.active = Task::Slot(slot);
        if let Some(patch) = &mut next.patches[usize::from(slot)] {
            patch.good = true;
        }
        self.commit(next)
    }

    /// Ends the trial; without one, goes back to [`Self::previous`].
    ///
    /// # Errors
    /// If there is nothing to go back to, or flash fails; a trial has ended then all the same.
    pub fn roll_back(&mut self, why: Ended) -> Result<(), Error<F::Error>> {
        if self.status.trial.take().is_some() {
            // The next start ends the trial anyway, so it ends now, even where no record can be written.
            self.status.ended = Some(why);
            self.settled = false;
            return self.commit(self.status);
        }
        let mut next = self.status;
        next.active = self.previous().ok_or(Error::NoPrevious)?;
        next.previous = Task::Own;
        next.ended = Some(why);
        self.commit(next)
    }

    /// Empties a slot whose patch is damaged. If it was served, `why` is kept, and the active patch is served in place of
    /// one on trial, the previous one or the backbone's own values in place of the active one.
    ///
    /// # Errors
    /// If there is no such slot, or flash fails.
    pub fn discard(&mut self, slot: u8, why: Ended) -> Result<(), Error<F::Error>> {
        let index = self.index(slot)?;
        let mut next = self.status;
        next.patches[index] = None;
        if next.trial == Some(slot) {
            next.trial = None;
            next.ended = Some(why);
        }
        if next.previous == Task::Slot(slot) {
            next.previous = Task::Own;
        }
        if next.active == Task::Slot(slot) {
            // What is on trial cannot be what its failure goes back to.
            let on_trial = next.trial.map(Task::Slot) == Some(next.previous);
            next.active = if on_trial { Task::Own } else { next.previous };
            next.previous = Task::Own;
            next.ended = Some(why);
        }
        self.commit(next)
    }

    /// Index of a slot that there is.
    pub(crate) fn index(&self, slot: u8) -> Result<usize, Error<F::Error>> {
        let slots = self.layout.slots;
        if slot < slots {
            Ok(slot.into())
        } else {
            Err(Error::NoSlot { slot, slots })
        }
    }

    /// Compares a slot with the digest of what was to be written there, then runs the caller's check on it.
    pub(crate) fn compare<C>(
        &mut self,
        slot: u8,
        upload: &Upload,
        check: impl FnOnce(&F, Range<u32>) -> Result<Option<Stamp>, C>,
    ) -> Result<Option<Stamp>, FinishError<C, F::Error>> {
        let start = self.start(slot);
        let range = start..start + upload.length;
        let digest = flash::digest(&mut self.flash, range.clone()).map_err(Error::Flash)?;
        if digest != upload.digest {
            return Err(FinishError::Digest);
        }
        check(&self.flash, range).map_err(FinishError::Check)
    }

    /// Writes a record, unless the newest one says the same.
    pub(crate) fn commit(&mut self, next: Status) -> Result<(), Error<F::Error>> {
        if self.settled && self.status == next {
            return Ok(());
        }
        self.settled = false;
        self.log.append(&mut self.flash, &next)?;
        self.status = next;
        self.settled = true;
        Ok(())
    }
}

/// Whether flash can hold what the layout says.
fn check_layout<F: NorFlash>(flash: &F, layout: Layout) -> Result<(), Error<F::Error>> {
    let Layout {
        slots,
        slot_len,
        tasks,
    } = layout;
    if !flash::is_supported::<F>() {
        return Err(Error::Geometry {
            read: F::READ_SIZE,
            write: F::WRITE_SIZE,
            erase: F::ERASE_SIZE,
        });
    }
    if slots == 0 || usize::from(slots) > MAX_SLOTS {
        return Err(Error::SlotCount {
            found: slots,
            expected: MAX_SLOTS,
        });
    }
    if usize::from(tasks) > MAX_TASKS {
        return Err(Error::TaskCount {
            found: tasks,
            expected: MAX_TASKS,
        });
    }
    if slot_len == 0 || !(slot_len as usize).is_multiple_of(F::ERASE_SIZE) {
        return Err(Error::SlotLength {
            found: slot_len,
            expected: F::ERASE_SIZE,
        });
    }
    let pages = u64::from(log::PAGES) * F::ERASE_SIZE as u64;
    let expected = pages + u64::from(slots) * u64::from(slot_len);
    // Offsets are 32 bits.
    let found = flash.capacity().min(u32::MAX as usize);
    if expected > found as u64 {
        return Err(Error::Capacity { found, expected });
    }
    let expected = log::stride::<F>(layout);
    if expected as usize > F::ERASE_SIZE {
        return Err(Error::PageTooSmall {
            found: F::ERASE_SIZE,
            expected,
        });
    }
    Ok(())
}
