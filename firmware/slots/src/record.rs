//! The commit record: everything the store knows, as it lies in flash.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..4 | magic, `Gslt` |
//! | 4..8 | CRC-32 of all that follows, without the padding |
//! | 8..10 | bytes of the record, without the padding |
//! | 10 | version, 2 |
//! | 11 | number of slots |
//! | 12..16 | bytes of a slot |
//! | 16..20 | sequence number |
//! | 20 | active: a slot, or 255 for the backbone's own values |
//! | 21 | what was active before it, likewise |
//! | 22 | slot on trial, or 255 |
//! | 23 | why a patch was last left: 0 it was not, 1 asked, 2 reset, 3 self-check, 4 damaged |
//! | 24 | number of tasks |
//! | 25..32 | zero |
//! | 32.. | 48 bytes for each slot, then 16 for each task |
//!
//! and for each slot
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..32 | BLAKE3 digest of the patch |
//! | 32..40 | its answer to the self-check |
//! | 40..44 | its length |
//! | 44 | 0 empty, 1 written, 2 good |
//! | 45 | 1 if there is an answer |
//! | 46..48 | zero |
//!
//! and for each task its name, 8 bytes, zero where there is none yet, and the highest counter of its patches.
//!
//! Numbers are little endian; what does not apply is zero. Magic, CRC, length and version stay where they are in every
//! version, so that a record can be told from garbage by firmware that cannot read it.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::counters::Counters;
use crate::flash::CRC;
use crate::slot::{Ended, Layout, MAX_SLOTS, MAX_TASKS, Stamp, Task, Upload};

/// Version of the records that this crate writes.
pub(crate) const VERSION: u8 = 2;

const MAGIC: [u8; 4] = *b"Gslt";
/// In place of a slot: none, or the backbone's own values.
const NO_SLOT: u8 = 0xff;

/// The start of the bytes that the CRC covers.
pub(crate) const CRC_START: u32 = 8;

/// The contents of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) active: Task,
    /// The values that were active before; the backbone's own values if it is no longer there.
    pub(crate) previous: Task,
    pub(crate) trial: Option<u8>,
    pub(crate) ended: Option<Ended>,
    /// Patches; `None` is an empty slot.
    pub(crate) patches: [Option<Patch>; MAX_SLOTS],
    pub(crate) counters: Counters,
}

/// A patch that was written and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) upload: Upload,
    /// It was confirmed.
    pub(crate) good: bool,
}

impl Status {
    /// Nothing but the backbone.
    pub(crate) const NEW: Self = Self {
        active: Task::Own,
        previous: Task::Own,
        trial: None,
        ended: None,
        patches: [None; MAX_SLOTS],
        counters: Counters::NONE,
    };
}

/// Beginning of a record.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Header {
    magic: [u8; 4],
    pub(crate) crc: U32,
    length: U16,
    pub(crate) version: u8,
    slots: u8,
    slot_len: U32,
    pub(crate) sequence: U32,
    active: u8,
    previous: u8,
    trial: u8,
    ended: u8,
    tasks: u8,
    zero: [u8; 7],
}

/// The part of a record about one slot.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Entry {
    digest: [u8; 32],
    answer: [u8; 8],
    length: U32,
    state: u8,
    has_answer: u8,
    zero: [u8; 2],
}

/// The part of a record about one task.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Counter {
    task: [u8; 8],
    counter: U64,
}

/// A record of the greatest number of slots and tasks. In flash lies as much of it as there are.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Record {
    header: Header,
    /// An [`Entry`] for each slot, then a [`Counter`] for each task.
    rest: [u8; REST],
}

const REST: usize = MAX_SLOTS * size_of::<Entry>() + MAX_TASKS * size_of::<Counter>();

impl Header {
    /// Bytes of the whole record, if this can be the beginning of one in `room` bytes.
    pub(crate) fn record_len(&self, room: u32) -> Option<u32> {
        let length = u32::from(self.length.get());
        let whole = (size_of::<Self>() as u32..=room).contains(&length);
        (self.magic == MAGIC && whole).then_some(length)
    }

    /// The layout that it was written for.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            slots: self.slots,
            slot_len: self.slot_len.get(),
            tasks: self.tasks,
        }
    }
}

impl Record {
    /// Bytes of a record, without the padding.
    pub(crate) fn len(layout: Layout) -> u32 {
        let counters = usize::from(layout.tasks) * size_of::<Counter>();
        (size_of::<Header>() + entries_len(layout) + counters) as u32
    }

    /// A record of what is.
    pub(crate) fn new(status: &Status, layout: Layout, sequence: u32) -> Self {
        let mut record = Self {
            header: Header {
                magic: MAGIC,
                crc: U32::ZERO,
                length: U16::new(Self::len(layout) as u16),
                version: VERSION,
                slots: layout.slots,
                slot_len: U32::new(layout.slot_len),
                sequence: U32::new(sequence),
                active: task_byte(status.active),
                previous: task_byte(status.previous),
                trial: status.trial.unwrap_or(NO_SLOT),
                ended: ended_byte(status.ended),
                tasks: layout.tasks,
                zero: [0; 7],
            },
            rest: [0; REST],
        };
        let (entries, counters) = record.rest.split_at_mut(entries_len(layout));
        let entries = entries.chunks_exact_mut(size_of::<Entry>());
        for (place, patch) in entries.zip(&status.patches) {
            if let Some(patch) = patch {
                place.copy_from_slice(Entry::new(patch).as_bytes());
            }
        }
        let counters = counters.chunks_exact_mut(size_of::<Counter>());
        for (place, stamp) in counters.zip(&status.counters.0) {
            let counter = Counter {
                task: stamp.task,
                counter: stamp.counter.into(),
            };
            place.copy_from_slice(counter.as_bytes());
        }
        let crc = CRC.checksum(&record.bytes(layout)[CRC_START as usize..]);
        record.header.crc = U32::new(crc);
        record
    }

    /// As it lies in flash, without the padding.
    pub(crate) fn bytes(&self, layout: Layout) -> &[u8] {
        &self.as_bytes()[..Self::len(layout) as usize]
    }

    /// To be filled from flash.
    pub(crate) fn bytes_mut(&mut self, layout: Layout) -> &mut [u8] {
        &mut self.as_mut_bytes()[..Self::len(layout) as usize]
    }

    /// Its contents, unless they make no sense: then this crate has not written it.
    pub(crate) fn status(&self, layout: Layout) -> Option<Status> {
        let header = &self.header;
        let mut status = Status {
            active: task(header.active),
            previous: task(header.previous),
            trial: (header.trial != NO_SLOT).then_some(header.trial),
            ended: ended(header.ended)?,
            patches: [None; MAX_SLOTS],
            counters: Counters::NONE,
        };
        let rest = self
            .rest
            .get(..Self::len(layout) as usize - size_of::<Header>())?;
        let (entries, counters) = rest.split_at(entries_len(layout));
        let entries = <[Entry]>::ref_from_bytes(entries).ok()?;
        for (patch, entry) in status.patches.iter_mut().zip(entries) {
            *patch = entry.patch(layout.slot_len)?;
        }
        let counters = <[Counter]>::ref_from_bytes(counters).ok()?;
        for (stamp, counter) in status.counters.0.iter_mut().zip(counters) {
            *stamp = Stamp {
                task: counter.task,
                counter: counter.counter.get(),
            };
        }
        let patch = |slot: u8| status.patches.get(usize::from(slot)).copied().flatten();
        let is_good = |task| match task {
            Task::Own => true,
            Task::Slot(slot) => patch(slot).is_some_and(|patch| patch.good),
        };
        let is_trial = |slot| patch(slot).is_some() && status.active != Task::Slot(slot);
        let consistent = is_good(status.active)
            && is_good(status.previous)
            && (status.previous == Task::Own || status.previous != status.active)
            && status.trial.is_none_or(is_trial);
        consistent.then_some(status)
    }
}

/// Bytes of the entries of all slots.
fn entries_len(layout: Layout) -> usize {
    usize::from(layout.slots) * size_of::<Entry>()
}

impl Entry {
    fn new(patch: &Patch) -> Self {
        Self {
            digest: patch.upload.digest,
            answer: patch.upload.answer.unwrap_or_default(),
            length: U32::new(patch.upload.length),
            state: if patch.good { 2 } else { 1 },
            has_answer: patch.upload.answer.is_some().into(),
            zero: [0; 2],
        }
    }

    /// The patch, or `None` for an empty slot. The outer `None` is an entry that makes no sense.
    fn patch(&self, slot_len: u32) -> Option<Option<Patch>> {
        let answer = match self.has_answer {
            0 => None,
            1 => Some(self.answer),
            _ => return None,
        };
        let upload = Upload {
            length: self.length.get(),
            digest: self.digest,
            answer,
        };
        match self.state {
            0 => Some(None),
            state @ (1 | 2) if upload.length <= slot_len => Some(Some(Patch {
                upload,
                good: state == 2,
            })),
            _ => None,
        }
    }
}

fn task_byte(task: Task) -> u8 {
    match task {
        Task::Own => NO_SLOT,
        Task::Slot(slot) => slot,
    }
}

fn task(byte: u8) -> Task {
    if byte == NO_SLOT {
        Task::Own
    } else {
        Task::Slot(byte)
    }
}

fn ended_byte(ended: Option<Ended>) -> u8 {
    match ended {
        None => 0,
        Some(Ended::Asked) => 1,
        Some(Ended::Reset) => 2,
        Some(Ended::SelfCheck) => 3,
        Some(Ended::Damaged) => 4,
    }
}

/// The outer `None` is a byte that makes no sense.
fn ended(byte: u8) -> Option<Option<Ended>> {
    Some(match byte {
        0 => None,
        1 => Some(Ended::Asked),
        2 => Some(Ended::Reset),
        3 => Some(Ended::SelfCheck),
        4 => Some(Ended::Damaged),
        _ => return None,
    })
}
