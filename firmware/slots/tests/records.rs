//! Refusals when a store is opened, and the places of records.

mod flash;

use flash::{Flash, random_bytes};
use graft_slots::{Ended, Error, Layout, Store, Task, Upload};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const LAYOUT: Layout = Layout {
    slots: 2,
    slot_len: 1024,
    tasks: 0,
};
const PAGE: usize = 512;
/// Bytes of a record of two slots.
const RECORD: usize = 128;

type Nor = Flash<1, 4, PAGE>;

fn nor<const R: usize, const W: usize, const E: usize>(length: usize) -> Flash<R, W, E> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    Flash::new(random_bytes(&mut rng, length), rng)
}

/// Flash after `records` records of uploads that have begun.
fn begun(records: usize) -> Nor {
    let mut store = Store::open(nor(2 * PAGE + 2048), LAYOUT).unwrap();
    for record in 0..records {
        begin_and_finish(&mut store, record as u8 % 2);
    }
    store.flash().clone()
}

/// One record: an empty patch is written where none was.
fn begin_and_finish(store: &mut Store<Nor>, slot: u8) {
    let sequence = store.sequence();
    let digest = *blake3::hash(&[]).as_bytes();
    store
        .begin(
            slot,
            Upload {
                length: 0,
                digest,
                answer: None,
            },
        )
        .unwrap();
    if store.sequence() == sequence {
        store.finish(|_, _| Ok::<_, ()>(None)).unwrap();
    }
}

/// Changes a byte of the record at an offset, and makes its checksum right.
fn forge(flash: &mut Nor, place: usize, byte: usize, value: u8) {
    let record = &mut flash.bytes[place..place + RECORD];
    record[byte] = value;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&record[8..]);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
}

fn error(flash: Nor, layout: Layout) -> Error<flash::Off> {
    Store::open(flash, layout).err().expect("it is refused")
}

#[test]
fn flash_that_does_not_fit_is_refused() {
    let flash = nor::<1, 4, PAGE>(2 * PAGE + 2048);
    let found = |slots, slot_len| {
        error(
            flash.clone(),
            Layout {
                slots,
                slot_len,
                tasks: 0,
            },
        )
    };
    assert_eq!(
        found(0, 1024),
        Error::SlotCount {
            found: 0,
            expected: 8
        }
    );
    assert_eq!(
        found(9, 512),
        Error::SlotCount {
            found: 9,
            expected: 8
        }
    );
    assert_eq!(
        found(2, 0),
        Error::SlotLength {
            found: 0,
            expected: PAGE
        }
    );
    assert_eq!(
        found(2, 1000),
        Error::SlotLength {
            found: 1000,
            expected: PAGE
        }
    );
    assert_eq!(
        found(3, 1024),
        Error::Capacity {
            found: 3072,
            expected: 4096
        }
    );
    assert_eq!(
        found(8, 0xffff_fe00),
        Error::Capacity {
            found: 3072,
            expected: 1024 + 8 * 0xffff_fe00
        }
    );

    let small = Store::open(
        nor::<1, 1, 256>(1024 + 8 * 256),
        Layout {
            slots: 8,
            slot_len: 256,
            tasks: 0,
        },
    );
    assert_eq!(
        small.err(),
        Some(Error::PageTooSmall {
            found: 256,
            expected: 416
        })
    );
    let odd = Store::open(
        nor::<1, 4, 48>(48 * 100),
        Layout {
            slots: 1,
            slot_len: 48,
            tasks: 0,
        },
    );
    assert_eq!(
        odd.err(),
        Some(Error::Geometry {
            read: 1,
            write: 4,
            erase: 48
        })
    );
    let long = Store::open(
        nor::<1, 512, 1024>(1024 * 8),
        Layout {
            slots: 1,
            slot_len: 1024,
            tasks: 0,
        },
    );
    assert_eq!(
        long.err(),
        Some(Error::Geometry {
            read: 1,
            write: 512,
            erase: 1024
        })
    );
}

#[test]
fn records_of_other_firmware_are_refused_and_kept() {
    let flash = begun(3);
    let other = Layout {
        slots: 1,
        slot_len: 1024,
        tasks: 0,
    };
    assert_eq!(
        error(flash.clone(), other),
        Error::Layout {
            found: LAYOUT,
            expected: other
        }
    );
    let other = Layout {
        slots: 2,
        slot_len: 512,
        tasks: 0,
    };
    assert_eq!(
        error(flash.clone(), other),
        Error::Layout {
            found: LAYOUT,
            expected: other
        }
    );
    for record in 0..3 {
        let mut newer = flash.clone();
        forge(&mut newer, record * RECORD, 10, 3);
        assert_eq!(
            error(newer, LAYOUT),
            Error::Version {
                found: 3,
                expected: 2
            }
        );
    }
}

#[test]
fn the_newest_record_holds() {
    // Four records to a page: the other page is erased for the fifth and the ninth.
    for records in 0..14 {
        let mut store = Store::open(begun(records), LAYOUT).unwrap();
        let (operations, sequence) = (store.flash().operations, store.sequence());
        let pages = &store.flash().erased[..2];
        assert_eq!(
            pages,
            [records.div_ceil(4).div_ceil(2), records.div_ceil(4) / 2]
        );
        begin_and_finish(&mut store, 0);
        assert!(store.sequence() > sequence && store.flash().operations > operations);
    }
}

#[test]
fn records_that_make_no_sense_are_passed_over() {
    let flash = begun(2);
    let sequence = Store::open(flash.clone(), LAYOUT).unwrap().sequence();
    let forged = |byte, value| {
        let mut flash = flash.clone();
        forge(&mut flash, RECORD, byte, value);
        Store::open(flash, LAYOUT).unwrap().sequence()
    };
    assert_eq!(forged(10, 2), sequence);
    // No such slot; not good; on trial, but empty; no such reason, state, answer; longer than the slot.
    for (byte, value) in [
        (20, 2),
        (20, 0),
        (21, 1),
        (22, 9),
        (23, 5),
        (80 + 44, 3),
        (80 + 45, 2),
        (80 + 41, 5),
    ] {
        assert!(forged(byte, value) < sequence, "byte {byte} = {value}");
    }
    for byte in 0..RECORD {
        let mut torn = flash.clone();
        torn.bytes[RECORD + byte] ^= 0x10;
        assert!(
            Store::open(torn, LAYOUT).unwrap().sequence() < sequence,
            "byte {byte}"
        );
    }
}

#[test]
fn a_torn_record_that_reads_well_later_is_not_the_newest() {
    let mut flash = begun(2);
    flash.bytes[RECORD + 20] ^= 1;
    let mut store = Store::open(flash, LAYOUT).unwrap();
    begin_and_finish(&mut store, 0);
    let mut flash = store.flash().clone();
    flash.bytes[RECORD + 20] ^= 1;
    let reopened = Store::open(flash, LAYOUT).unwrap();
    assert_eq!(reopened.sequence(), store.sequence());
    assert_eq!(reopened.slot(1), store.slot(1));
}

#[test]
fn without_sequence_numbers_nothing_changes() {
    let mut flash = begun(1);
    for byte in 16..20 {
        forge(&mut flash, 0, byte, 0xff);
    }
    let before = flash.bytes.clone();
    let mut store = Store::open(flash, LAYOUT).unwrap();
    assert_eq!((store.sequence(), store.serving()), (u32::MAX, Task::Own));
    assert_eq!(store.discard(0, Ended::Damaged), Err(Error::Exhausted));
    assert_eq!(store.flash().bytes, before);
}

#[test]
fn flash_that_does_not_keep_a_record_is_noticed() {
    let mut flash = begun(1);
    flash.stuck = Some(RECORD + 20);
    let mut store = Store::open(flash, LAYOUT).unwrap();
    assert_eq!(
        store.discard(0, Ended::Damaged),
        Err(Error::Unwritten {
            offset: RECORD as u32
        })
    );
    store.discard(0, Ended::Damaged).unwrap();
    assert_eq!(
        store.flash().erased[1],
        1,
        "the next one goes to the other page"
    );
}

#[test]
fn a_record_that_failed_but_is_there_does_not_outlive_its_patch() {
    let patch = [7; PAGE];
    let upload = Upload {
        length: PAGE as u32,
        digest: *blake3::hash(&patch).as_bytes(),
        answer: None,
    };
    let reopened = |store: &Store<Nor>| Store::open(store.flash().clone(), LAYOUT).unwrap();
    let mut found = 0;
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut flash = Nor::new(random_bytes(&mut rng, 2 * PAGE + 2048), rng);
        flash.torn_writes = 6;
        let mut store = Store::open(flash, LAYOUT).unwrap();
        while store.begin(0, upload).is_err() {}
        while store.write(0, &patch).is_err() {}
        let finished = store.finish(|_, _| Ok::<_, ()>(None));
        if finished.is_ok() || reopened(&store).slot(0) == store.slot(0) {
            continue;
        }
        found += 1;
        while store.write(0, &[8; PAGE]).is_err() {}
        assert_eq!(
            reopened(&store).slot(0),
            store.slot(0),
            "the slot is not empty"
        );
    }
    assert!(found > 0);
}
