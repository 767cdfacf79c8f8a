//! Any contents of flash, as they are, and with the checksums of records and the digests of patches made right, so that
//! what is behind them is reached; then any steps. What is served has its digest, and no word is written twice.
//!
//! The first byte of an input says how many steps follow, a byte each; the rest is flash.
#![no_main]

#[path = "../../slots/tests/flash/mod.rs"]
mod flash;

use std::ops::Range;

use flash::Flash;
use graft_slots::{Ended, Layout, Stamp, Store, Task, Upload};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const PAGE: usize = 256;
const SLOT_LEN: usize = 2 * PAGE;
const LAYOUT: Layout = Layout {
    slots: 2,
    slot_len: SLOT_LEN as u32,
    tasks: 2,
};
const RECORDS: usize = 2 * PAGE;
/// Bytes of a record: a page holds one.
const RECORD: usize = 160;
const CAPACITY: usize = RECORDS + 2 * SLOT_LEN;

type Nor = Flash<4, 4, PAGE>;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&steps, rest)) = bytes.split_first() else {
        return;
    };
    let (steps, contents) = rest.split_at(rest.len().min(steps.into()));
    let mut flash = contents[..contents.len().min(CAPACITY)].to_vec();
    flash.resize(CAPACITY, 0xff);
    run(flash.clone(), steps);
    seal(&mut flash);
    run(flash, steps);
});

/// Makes the digests and checksums of all records right.
fn seal(flash: &mut [u8]) {
    let (records, slots) = flash.split_at_mut(RECORDS);
    for record in records.chunks_mut(PAGE).map(|page| &mut page[..RECORD]) {
        let entries = record[32..].as_chunks_mut::<48>().0;
        for (entry, slot) in entries.iter_mut().zip(slots.chunks(SLOT_LEN)) {
            let length = u32::from_le_bytes([entry[40], entry[41], entry[42], entry[43]]) as usize;
            if let Some(patch) = slot.get(..length) {
                entry[..32].copy_from_slice(blake3::hash(patch).as_bytes());
            }
        }
        let length = usize::from(u16::from_le_bytes([record[8], record[9]]));
        if let Some(covered) = record.get(8..length) {
            let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(covered);
            record[4..8].copy_from_slice(&crc.to_le_bytes());
        }
    }
}

fn run(contents: Vec<u8>, steps: &[u8]) {
    let mut flash = Nor::new(contents, ChaCha8Rng::seed_from_u64(0));
    let Ok(mut store) = Store::open(&mut flash, LAYOUT) else {
        return;
    };
    assert_eq!(store.trial(), None, "a reset ends a trial");
    serve(&mut store);
    for &step in steps {
        let before: Vec<Stamp> = store.counters().collect();
        take(&mut store, step);
        serve(&mut store);
        for (now, before) in store.counters().zip(&before) {
            assert!(now.counter >= before.counter, "a counter has fallen");
        }
    }
}

/// As a device does at start: what is damaged is discarded, until something can be served.
fn serve(store: &mut Store<&mut Nor>) {
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

fn take(store: &mut Store<&mut Nor>, step: u8) {
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
