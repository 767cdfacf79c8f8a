//! The errors of the store, and what to do about them.

use crate::slot::Layout;

/// A refusal of the store. Nothing has changed then, but with [`Error::Flash`] and [`Error::Unwritten`]: after
/// these, flash may already hold what was to be written, as after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    /// The flash driver failed.
    #[error("the flash memory failed: {0:?}")]
    Flash(E),
    /// Flash that reads, writes or erases in units that the store does not know.
    #[error(
        "flash reads {read}, writes {write} and erases {erase} bytes at a time: reads must be a power of two up to 32, \
         writes one up to 256, pages a multiple of both and of 32"
    )]
    Geometry {
        /// `READ_SIZE` of the driver.
        read: usize,
        /// `WRITE_SIZE` of the driver.
        write: usize,
        /// `ERASE_SIZE` of the driver.
        erase: usize,
    },
    /// No slots, or too many.
    #[error("{found} slots, expected 1 to {expected}")]
    SlotCount {
        /// Slots asked for.
        found: u8,
        /// [`crate::MAX_SLOTS`].
        expected: usize,
    },
    /// Counters of too many tasks.
    #[error("counters of {found} tasks, expected at most {expected}")]
    TaskCount {
        /// Tasks asked for.
        found: u8,
        /// [`crate::MAX_TASKS`].
        expected: usize,
    },
    /// Slots that are not made of whole pages.
    #[error("slots of {found} bytes, expected a multiple of the page of {expected}")]
    SlotLength {
        /// Length asked for.
        found: u32,
        /// Bytes of a page.
        expected: usize,
    },
    /// The flash memory is too small for the slots.
    #[error("the flash memory has {found} bytes, the slots take {expected}: fewer or shorter ones")]
    Capacity {
        /// Bytes of the flash memory.
        found: usize,
        /// Bytes of record pages and slots.
        expected: u64,
    },
    /// A page cannot hold a record.
    #[error("a page has {found} bytes, a record of all slots {expected}: fewer slots")]
    PageTooSmall {
        /// Bytes of a page.
        found: usize,
        /// Bytes of a record, padded.
        expected: u32,
    },
    /// The records were written by another version of this crate.
    #[error(
        "records of version {found}, this firmware knows {expected}: flash the firmware that wrote them, or erase the \
         record pages to begin anew"
    )]
    Version {
        /// Version in flash.
        found: u8,
        /// Version of this crate.
        expected: u8,
    },
    /// The records were written for other slots.
    #[error(
        "records of {} slots of {} bytes and {} tasks, this firmware has {} of {} and {}: flash the firmware that wrote \
         them, or erase the record pages to begin anew",
        .found.slots, .found.slot_len, .found.tasks, .expected.slots, .expected.slot_len, .expected.tasks
    )]
    Layout {
        /// Layout in flash.
        found: Layout,
        /// Layout asked for.
        expected: Layout,
    },
    /// As many records have been written as there are numbers for them.
    #[error("there are no more sequence numbers: erase the record pages to begin anew")]
    Exhausted,
    /// A record does not read as it was written. The next one goes to another place.
    #[error(
        "flash at byte {offset} does not keep what is written to it: it may be worn out; try again"
    )]
    Unwritten {
        /// The place, from the beginning of the flash memory.
        offset: u32,
    },
    /// No such slot.
    #[error("there is no slot {slot}: there are {slots}, from 0")]
    NoSlot {
        /// The slot that was asked for.
        slot: u8,
        /// The number of slots.
        slots: u8,
    },
    /// The slot is active or on trial.
    #[error("slot {slot} is in use: take another one")]
    InUse {
        /// The slot.
        slot: u8,
    },
    /// The patch is longer than a slot.
    #[error("the patch has {length} bytes, a slot {capacity}")]
    TooLong {
        /// Bytes of the patch.
        length: u32,
        /// Bytes of a slot.
        capacity: u32,
    },
    /// Nothing is being uploaded.
    #[error("no upload has begun since the last reset")]
    NoUpload,
    /// A part beyond the end of the upload.
    #[error("the upload has only {length} bytes")]
    OutOfRange {
        /// Bytes of the upload.
        length: u32,
    },
    /// A part that begins or ends inside a word of flash, and not at the end of the upload.
    #[error(
        "a part begins and ends at a multiple of {expected} bytes, or at the end of the upload"
    )]
    Unaligned {
        /// Bytes.
        expected: u32,
    },
    /// A part out of order.
    #[error("the upload goes on at byte {expected}, or at the start of a page")]
    OutOfOrder {
        /// The place, from the beginning of the upload.
        expected: u32,
    },
    /// The slot holds no patch.
    #[error("slot {slot} is empty")]
    Empty {
        /// The slot.
        slot: u8,
    },
    /// The slot holds something else than what was verified.
    #[error("slot {slot} has changed since it was verified: verify it again")]
    Stale {
        /// The slot.
        slot: u8,
    },
    /// The patch is older than another one of its task that was installed, and was never confirmed here.
    #[error("the patch has counter {found}, a patch of its task with {expected} was installed")]
    Older {
        /// Counter of the patch.
        found: u64,
        /// The highest one of its task.
        expected: u64,
    },
    /// A patch of yet another task, which there is no counter for.
    #[error(
        "counters of {tasks} tasks are kept, and this is another one: build the firmware with more"
    )]
    NoCounter {
        /// [`crate::Layout::tasks`].
        tasks: u8,
    },
    /// Another patch is on trial.
    #[error("slot {slot} is on trial: confirm it or roll it back first")]
    OnTrial {
        /// The slot.
        slot: u8,
    },
    /// No patch is on trial.
    #[error("no patch is on trial")]
    NoTrial,
    /// The backbone's own values are active: there is nothing before them.
    #[error("there is nothing to roll back to")]
    NoPrevious,
}

/// The reason why an upload is not finished, or a slot not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError<C, E> {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] Error<E>),
    /// The bytes in flash do not have the digest of the upload.
    #[error("what is in flash is not what was sent: send the pages that differ again")]
    Digest,
    /// The caller's check of the patch failed.
    #[error("{0}")]
    Check(C),
}
