//! Every step of the store, on flash that does not fail.

mod flash;

use flash::{Flash, random_bytes};
use graft_slots::{Ended, Error, FinishError, Layout, Slot, State, Store, Task, Upload};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

type Nor = Flash<4, 8, 1024>;

const LAYOUT: Layout = Layout {
    slots: 3,
    slot_len: 4096,
};
const ANSWER: [u8; 8] = [7; 8];

fn nor(seed: u64) -> Nor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Nor::new(random_bytes(&mut rng, 2 * 1024 + 3 * 4096), rng)
}

fn patch(seed: u64, length: usize) -> Vec<u8> {
    random_bytes(&mut ChaCha8Rng::seed_from_u64(seed), length)
}

fn upload(patch: &[u8]) -> Upload {
    Upload {
        length: patch.len() as u32,
        digest: *blake3::hash(patch).as_bytes(),
        answer: Some(ANSWER),
    }
}

fn accept<F>(_: &F, _: std::ops::Range<u32>) -> Result<(), ()> {
    Ok(())
}

fn push(store: &mut Store<&mut Nor>, slot: u8, patch: &[u8]) {
    store.begin(slot, upload(patch)).unwrap();
    for (i, chunk) in patch.chunks(512).enumerate() {
        store.write(i as u32 * 512, chunk).unwrap();
    }
    let finished = store.finish(|flash, range| {
        assert_eq!(
            &flash.bytes[range.start as usize..range.end as usize],
            patch
        );
        Ok::<_, ()>(())
    });
    assert_eq!(finished, Ok(slot));
}

fn activate(store: &mut Store<&mut Nor>, slot: u8) {
    let verified = store.verify(slot, accept).unwrap();
    store.activate(verified).unwrap();
}

fn state(store: &Store<&mut Nor>, slot: u8) -> State {
    store.slot(slot).unwrap().state
}

#[test]
fn flash_without_records_serves_the_backbone() {
    let mut blank = Nor::new(
        vec![0xff; 2 * 1024 + 3 * 4096],
        ChaCha8Rng::seed_from_u64(0),
    );
    for nor in [&mut blank, &mut nor(1)] {
        let store = Store::open(nor, LAYOUT).unwrap();
        for slot in 0..3 {
            assert_eq!(
                store.slot(slot),
                Some(Slot {
                    state: State::Empty,
                    contents: None
                })
            );
        }
        assert_eq!(store.slot(3), None);
        assert_eq!(
            (store.active(), store.serving(), store.previous()),
            (Task::Own, Task::Own, None)
        );
        assert_eq!(
            (store.trial(), store.ended(), store.sequence()),
            (None, None, 0)
        );
        assert_eq!(store.flash().operations, 0, "opening writes nothing");
    }
}

#[test]
fn a_patch_becomes_active_and_is_left_again() {
    let (mut nor, first, second) = (nor(2), patch(1, 3000), patch(2, 4096));
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    push(&mut store, 1, &first);
    assert_eq!(state(&store, 1), State::Written);
    activate(&mut store, 1);
    assert_eq!(
        (state(&store, 1), store.serving(), store.active()),
        (State::Trial, Task::Slot(1), Task::Own)
    );
    store.confirm().unwrap();
    assert_eq!(
        (state(&store, 1), store.active()),
        (State::Good, Task::Slot(1))
    );
    push(&mut store, 0, &second);
    activate(&mut store, 0);
    store.confirm().unwrap();
    assert_eq!(
        (store.active(), store.previous()),
        (Task::Slot(0), Some(Task::Slot(1)))
    );
    let contents = Some(upload(&second));

    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    assert_eq!(
        store.slot(0),
        Some(Slot {
            state: State::Good,
            contents
        })
    );
    assert_eq!(
        (store.active(), store.previous()),
        (Task::Slot(0), Some(Task::Slot(1)))
    );
    store.roll_back(Ended::SelfCheck).unwrap();
    assert_eq!(
        (store.active(), store.ended()),
        (Task::Slot(1), Some(Ended::SelfCheck))
    );
    store.roll_back(Ended::Asked).unwrap();
    assert_eq!((store.active(), store.previous()), (Task::Own, None));
    assert_eq!(store.roll_back(Ended::Asked), Err(Error::NoPrevious));
    assert_eq!(
        state(&store, 0),
        State::Good,
        "a patch that was left can be activated again"
    );
}

#[test]
fn a_reset_ends_a_trial() {
    let (mut nor, patch) = (nor(3), patch(1, 100));
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    push(&mut store, 2, &patch);
    activate(&mut store, 2);
    for _ in 0..3 {
        let store = Store::open(&mut nor, LAYOUT).unwrap();
        assert_eq!(
            (store.trial(), store.serving(), store.ended()),
            (None, Task::Own, Some(Ended::Reset))
        );
        assert_eq!(state(&store, 2), State::Written);
    }
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    assert_eq!(store.confirm(), Err(Error::NoTrial));
    activate(&mut store, 2);
    assert_eq!(store.ended(), None);
    store.roll_back(Ended::Asked).unwrap();
    assert_eq!(
        (store.serving(), store.ended()),
        (Task::Own, Some(Ended::Asked))
    );
}

#[test]
fn what_is_served_cannot_be_overwritten() {
    let (mut nor, patch) = (nor(4), patch(1, 2000));
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    push(&mut store, 0, &patch);
    push(&mut store, 1, &patch);
    activate(&mut store, 0);
    assert_eq!(
        store.begin(0, upload(&patch)),
        Err(Error::InUse { slot: 0 })
    );
    let other = store.verify(1, accept).unwrap();
    assert_eq!(store.activate(other), Err(Error::OnTrial { slot: 0 }));
    store.confirm().unwrap();
    assert_eq!(
        store.begin(0, upload(&patch)),
        Err(Error::InUse { slot: 0 })
    );
    activate(&mut store, 0);
    assert_eq!(store.trial(), None, "what is active needs no trial");
    activate(&mut store, 1);
    store.confirm().unwrap();
    assert_eq!(store.previous(), Some(Task::Slot(0)));
    store.begin(0, upload(&patch)).unwrap();
    assert_eq!(
        store.previous(),
        Some(Task::Own),
        "the previous patch is being overwritten"
    );
}

#[test]
fn only_what_was_verified_is_activated() {
    let (mut nor, first, second) = (nor(5), patch(1, 2000), patch(2, 2000));
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    push(&mut store, 0, &first);
    let verified = store.verify(0, accept).unwrap();
    push(&mut store, 0, &second);
    assert_eq!(store.activate(verified), Err(Error::Stale { slot: 0 }));
    let verified = store.verify(0, accept).unwrap();
    store.discard(0, Ended::Damaged).unwrap();
    assert_eq!(store.activate(verified), Err(Error::Stale { slot: 0 }));
    assert_eq!(
        store.verify(0, accept).unwrap_err(),
        Error::Empty { slot: 0 }.into()
    );
    assert_eq!(
        store.verify(3, accept).unwrap_err(),
        Error::NoSlot { slot: 3, slots: 3 }.into()
    );

    push(&mut store, 1, &first);
    let refused = store.verify(1, |_, _| Err("not for this backbone"));
    assert_eq!(
        refused.unwrap_err(),
        FinishError::Check("not for this backbone")
    );
    let start = store.start(1) as usize;
    nor.bytes[start + 1999] ^= 1;
    let mut store = Store::open(nor, LAYOUT).unwrap();
    assert_eq!(store.verify(1, accept).unwrap_err(), FinishError::Digest);
}

#[test]
fn a_damaged_patch_is_left() {
    let (mut nor, patch) = (nor(6), patch(1, 2000));
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    for slot in [0, 1] {
        push(&mut store, slot, &patch);
        activate(&mut store, slot);
        store.confirm().unwrap();
    }
    store.discard(2, Ended::Damaged).unwrap();
    assert_eq!(store.ended(), None, "an empty slot is left by nobody");
    store.discard(1, Ended::Damaged).unwrap();
    assert_eq!(
        (store.active(), store.ended()),
        (Task::Slot(0), Some(Ended::Damaged))
    );
    assert_eq!(state(&store, 1), State::Empty);
    push(&mut store, 1, &patch);
    activate(&mut store, 1);
    store.discard(1, Ended::SelfCheck).unwrap();
    assert_eq!(
        (store.serving(), store.ended()),
        (Task::Slot(0), Some(Ended::SelfCheck))
    );
    store.discard(0, Ended::Damaged).unwrap();
    assert_eq!((store.active(), store.previous()), (Task::Own, None));
}

#[test]
fn the_patch_on_trial_is_not_what_its_failure_goes_back_to() {
    let (mut nor, patch) = (nor(7), patch(1, 2000));
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    for slot in [0, 1] {
        push(&mut store, slot, &patch);
        activate(&mut store, slot);
        store.confirm().unwrap();
    }
    activate(&mut store, 0);
    store.discard(1, Ended::Damaged).unwrap();
    assert_eq!(
        (store.serving(), store.active()),
        (Task::Slot(0), Task::Own)
    );
    store.roll_back(Ended::Asked).unwrap();
    assert_eq!(store.serving(), Task::Own);
}
