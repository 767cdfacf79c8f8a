//! Any contents of flash, as they are, and with the checksums of records and the digests of patches made right, so that
//! what is behind them is reached; then any steps. What is served has its digest, and no word is written twice.
//!
//! The first byte of an input says how many steps follow, a byte each; the rest is flash.
#![no_main]

mod device;

use device::{CAPACITY, LAYOUT, Nor, PAGE, RECORDS, SLOT_LEN, serve, take};
use graft_slots::{Stamp, Store};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Bytes of a record: a page holds one.
const RECORD: usize = 160;

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
