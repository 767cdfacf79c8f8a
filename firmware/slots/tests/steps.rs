//! Every step of the store, on flash that does not fail.

mod flash;

use flash::{Flash, Off, random_bytes};
use graft_slots::{Ended, Error, FinishError, Layout, Slot, Stamp, State, Store, Task, Upload};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

type Nor = Flash<4, 8, 1024>;

const LAYOUT: Layout = Layout {
    slots: 3,
    slot_len: 4096,
    tasks: 2,
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

fn accept<F>(_: &F, _: std::ops::Range<u32>) -> Result<Option<Stamp>, ()> {
    Ok(None)
}

/// A check that finds this stamp.
fn stamped<F>(
    task: u8,
    counter: u64,
) -> impl FnOnce(&F, std::ops::Range<u32>) -> Result<Option<Stamp>, ()> {
    move |_, _| {
        Ok(Some(Stamp {
            task: [task; 8],
            counter,
        }))
    }
}

/// Uploads a patch with this stamp.
fn install(
    store: &mut Store<&mut Nor>,
    slot: u8,
    task: u8,
    counter: u64,
) -> Result<u8, FinishError<(), Off>> {
    let patch = patch(counter, 100);
    store.begin(slot, upload(&patch)).unwrap();
    store.write(0, &patch).unwrap();
    store.finish(stamped(task, counter))
}

fn try_stamped(
    store: &mut Store<&mut Nor>,
    slot: u8,
    task: u8,
    counter: u64,
) -> Result<(), Error<Off>> {
    let verified = store.verify(slot, stamped(task, counter)).unwrap();
    store.activate(verified)
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
        Ok::<_, ()>(None)
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

#[test]
fn an_older_patch_is_not_installed() {
    let mut nor = nor(9);
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    assert_eq!(install(&mut store, 0, 1, 7), Ok(0));
    // Slots empty, resets and other tasks change nothing about it.
    store.discard(0, Ended::Damaged).unwrap();
    assert_eq!(install(&mut store, 1, 2, 3), Ok(1));
    let older = Error::Older {
        found: 6,
        expected: 7,
    };
    for _ in 0..2 {
        let mut store = Store::open(&mut nor, LAYOUT).unwrap();
        assert_eq!(install(&mut store, 2, 1, 6), Err(older.into()));
        assert_eq!(state(&store, 2), State::Empty);
        assert_eq!(install(&mut store, 2, 1, 7), Ok(2), "the same again");
        let counters: Vec<u64> = store.counters().map(|stamp| stamp.counter).collect();
        assert_eq!(counters, [7, 3]);
    }
}

#[test]
fn only_what_was_confirmed_can_be_gone_back_to() {
    let mut nor = nor(10);
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    install(&mut store, 0, 1, 5).unwrap();
    try_stamped(&mut store, 0, 1, 5).unwrap();
    store.confirm().unwrap();
    install(&mut store, 1, 1, 6).unwrap();
    install(&mut store, 2, 1, 7).unwrap();
    // Written before a newer one came, and never confirmed.
    let older = Error::Older {
        found: 6,
        expected: 7,
    };
    assert_eq!(try_stamped(&mut store, 1, 1, 6), Err(older));
    try_stamped(&mut store, 2, 1, 7).unwrap();
    store.confirm().unwrap();
    try_stamped(&mut store, 0, 1, 5).expect("it was confirmed");
    store.confirm().unwrap();
    store.roll_back(Ended::Asked).unwrap();
    assert_eq!(store.serving(), Task::Slot(2));
}

#[test]
fn no_task_is_forgotten_for_another() {
    let mut nor = nor(11);
    let mut store = Store::open(&mut nor, LAYOUT).unwrap();
    for task in [1, 2] {
        install(&mut store, 0, task, 1).unwrap();
    }
    let refused = Error::NoCounter { tasks: 2 };
    assert_eq!(install(&mut store, 0, 3, 1), Err(refused.into()));
    let all: Vec<u8> = store.counters().map(|stamp| stamp.task[0]).collect();
    assert_eq!(all, [1, 2]);
}
