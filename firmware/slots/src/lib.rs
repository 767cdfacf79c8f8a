//! Patch slots in NOR flash.
//!
//! A device executes its backbone in place and keeps patches beside it, in slots of equal length. [`Store`] receives a
//! patch into a slot, tries it, keeps it or goes back, and whatever is cut off at whatever moment, it serves one complete
//! patch or the backbone's own values: what was active before, or what was confirmed. No byte that is in use is ever
//! changed.
//!
//! # Flash
//!
//! Two pages of records come first, then the slots, each of whole pages ([`Layout`]). One record says everything but the
//! bytes of the patches (`record.rs` has its layout): length, digest and answer of the patch in each slot, whether it is
//! good, which one is active, which was before, which is on trial; the highest counter of each task. A change appends a whole record with the next
//! sequence number; the one with the highest number and a right CRC-32 is what holds. When a page is full, or the place
//! after the newest record is not blank, the other page is erased and takes over. Records of another version of this
//! crate, or of other slots, are an error and are left alone.
//!
//! Words may have 1 to 256 bytes and pages any number of them that holds a record. No word is written twice without an
//! erase between. A torn word may read as anything, but must read: over flash with error correction the driver returns
//! some bytes, not an error. In pages of two records or more it may even read well once and not again.
//!
//! `sequential-storage` keeps key-value items in such pages too; it is asynchronous and moves items between pages, and
//! two pages of records that each say everything need neither.
//!
//! # States
//!
//! | | from | to |
//! | --- | --- | --- |
//! | [`Store::begin`] | any but active or on trial | empty |
//! | [`Store::finish`] | empty | written |
//! | [`Store::activate`] | written or good | trial |
//! | [`Store::confirm`] | trial | good and active |
//! | [`Store::roll_back`], a reset | trial | written or good, as before |
//! | [`Store::roll_back`] without a trial | | the previous patch is active |
//! | [`Store::discard`] | any | empty |
//!
//! # Counters
//!
//! Where the caller's check returns a patch's [`Stamp`], the store keeps the highest counter of its task, in the same record
//! that says that the patch is written, and never lowers it. A patch with a lower one is not installed, and one that was
//! written before a higher one came is not activated any more, unless it was confirmed: to that one can go back.
//!
//! # When the power is cut
//!
//! | during | then |
//! | --- | --- |
//! | [`Store::begin`] | the slot holds its old patch, or is empty |
//! | [`Store::write`] | the slot is empty; [`Store::checksum`] says which pages are there, so the upload goes on where it was |
//! | [`Store::finish`] | the slot is empty, its pages are there; or written |
//! | [`Store::activate`], a trial | the active patch is served |
//! | [`Store::confirm`] | the old patch is served (the trial has ended), or the new one |
//! | [`Store::roll_back`] | the patch that is left is served, or the one that it goes back to |
//! | [`Store::open`] | it only reads |
//!
//! An error of the flash driver leaves no less: the store goes on with what it knew before, and the next record holds.
//!
//! # What it checks
//!
//! A slot becomes written when the BLAKE3 digest of its bytes, read back from flash, is that of the upload and the
//! caller's check passes; that check may open the image in place, and is where a signature is verified. The same is done
//! again by [`Store::verify`], whose token [`Store::activate`] takes: call it at start, too, before the active patch is
//! served.
//!
//! Stack on a Cortex-M4: at most 3.5 KB, in [`Store::finish`] and [`Store::verify`], of which BLAKE3's state and rounds
//! take 2.5; a `Store` has 780 bytes beside the flash driver.
#![no_std]
#![forbid(unsafe_code)]

mod counters;
mod error;
mod flash;
mod log;
mod progress;
mod record;
mod slot;
mod store;
mod upload;

pub use error::{Error, FinishError};
pub use slot::{Ended, Layout, MAX_SLOTS, MAX_TASKS, Slot, Stamp, State, Task, Upload};
pub use store::{Store, Verified};
