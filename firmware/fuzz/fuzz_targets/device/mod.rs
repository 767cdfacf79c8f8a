//! A device with two slots in a page of flash each, and what it does with them.

#[path = "../../../slots/tests/flash/mod.rs"]
pub(crate) mod flash;

use std::ops::Range;

use flash::Flash;
use graft_slots::{Ended, Layout, Stamp, Store, Task, Upload};

pub(crate) const PAGE: usize = 256;
pub(crate) const SLOT_LEN: usize = 2 * PAGE;
pub(crate) const LAYOUT: Layout = Layout {
    slots: 2,
    slot_len: SLOT_LEN as u32,
    tasks: 2,
};
pub(crate) const RECORDS: usize = 2 * PAGE;
pub(crate) const CAPACITY: usize = RECORDS + 2 * SLOT_LEN;

pub(crate) type Nor = Flash<4, 4, PAGE>;

/// As a device does at start: what is damaged is discarded, until something can be served.
pub(crate) fn serve(store: &mut Store<&mut Nor>) {
    while let Task::Slot(slot) = store.serving() {
        let expected = store
            .slot(slot)
            .and_then(|slot| slot.contents)
            .expect("it is not empty");
        let check = |flash: &&mut Nor, range: Range<u32>| {
            let served = &flash.bytes[range.start as usize..range.end as usize];
            assert_eq!(*blake3::hash(served).as_bytes(), expected.digest);
            Ok::<_, ()>(None)
        };
        if store.verify(slot, check).is_ok() {
            break;
        }
        if store.discard(slot, Ended::Damaged).is_err() {
            // No sequence number is left.
            break;
        }
    }
}

/// A step, by its number: the kind, and a number that says more.
pub(crate) fn take(store: &mut Store<&mut Nor>, step: u8) {
    let (kind, argument) = (step % 9, step / 9);
    let slot = argument % 3;
    let patch = [argument; SLOT_LEN];
    let length = usize::from(argument) * 20;
    let stamp = Stamp {
        task: [argument % 4; 8],
        counter: u64::from(argument),
    };
    let check = |_: &&mut Nor, _: Range<u32>| match argument {
        27 => Err(()),
        _ => Ok((argument % 5 != 0).then_some(stamp)),
    };
    // What may be refused may be refused.
    match kind {
        0 => {
            let digest = *blake3::hash(&patch[..length.min(SLOT_LEN)]).as_bytes();
            let _ = store.begin(
                slot,
                Upload {
                    length: length as u32,
                    digest,
                    answer: None,
                },
            );
        }
        1 => drop(store.write(u32::from(argument) * 32, &patch[..PAGE])),
        2 => drop(store.write(0, &patch[..length.min(SLOT_LEN)])),
        3 => drop(store.checksum(u32::from(argument), u32::from(argument) * 16)),
        4 => drop(store.finish(check)),
        5 => {
            if let Ok(verified) = store.verify(slot, check) {
                let _ = store.activate(verified);
            }
        }
        6 => drop(store.confirm()),
        7 => drop(store.roll_back(Ended::Asked)),
        _ => drop(store.discard(slot, Ended::SelfCheck)),
    }
}
