//! Random steps, allowed and not: the store does and says what a plain model does, and what it refuses changes nothing.

mod flash;
#[path = "model/mod.rs"]
mod model;

use std::ops::Range;

use flash::{Flash, Off, random_bytes};
use graft_slots::{Ended, Error, FinishError, Layout, Store, Upload};
use model::{Model, Refused, View, answer, stamp};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const PAGE: usize = 512;
const UNIT: usize = 32;
const SLOTS: u8 = 3;
const TASKS: u8 = 2;
const SLOT_LEN: usize = 3 * PAGE;
const LAYOUT: Layout = Layout {
    slots: SLOTS,
    slot_len: SLOT_LEN as u32,
    tasks: TASKS,
};
const START: usize = 2 * PAGE;

type Nor = Flash<4, 4, PAGE>;

#[derive(Clone, Debug)]
enum Step {
    /// Slot, patch.
    Begin(u8, usize),
    /// Goes on where the last part ended, with this number of bytes of the patch.
    Next(usize),
    /// The last part again.
    Again,
    /// From anywhere, this number of bytes of the patch or others.
    Write(usize, usize, bool),
    Checksum(u32, u32),
    /// Whether the caller's check passes.
    Finish(bool),
    Activate(u8, bool),
    Confirm,
    RollBack,
    Discard(u8),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..=SLOTS;
    let unit = (0..SLOT_LEN / UNIT + 2).prop_map(|units| units * UNIT);
    prop_oneof![
        3 => (slot.clone(), 0..PATCHES).prop_map(|(slot, patch)| Step::Begin(slot, patch)),
        8 => (1..2 * PAGE).prop_map(Step::Next),
        6 => Just(Step::Next(usize::MAX)),
        1 => Just(Step::Again),
        2 => (unit, 0..PAGE, any::<bool>()).prop_map(|(offset, length, patch)| Step::Write(offset, length, patch)),
        1 => (0..2 * SLOT_LEN, 0..PAGE, any::<bool>()).prop_map(|(offset, length, patch)| Step::Write(offset, length, patch)),
        1 => (0..2000_u32, 0..2000_u32).prop_map(|(offset, length)| Step::Checksum(offset, length)),
        6 => prop::bool::weighted(0.9).prop_map(Step::Finish),
        6 => (slot.clone(), prop::bool::weighted(0.9)).prop_map(|(slot, check)| Step::Activate(slot, check)),
        4 => Just(Step::Confirm),
        2 => Just(Step::RollBack),
        1 => slot.prop_map(Step::Discard),
        1 => Just(Step::Reset),
    ]
}

const PATCHES: usize = 7;

/// Patches of several lengths, one of them too long for a slot, one with words of ones; old and new ones of several tasks, of
/// more than there are counters for, and one of none.
fn patches() -> Vec<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut patches: Vec<_> = [
        (SLOT_LEN, 1, 5),
        (1000, 1, 6),
        (77, 0, 0),
        (SLOT_LEN + 1, 1, 9),
        (600, 1, 7),
        (40, 2, 1),
        (50, 3, 1),
    ]
    .map(|(length, task, counter)| {
        let mut patch = random_bytes(&mut rng, length);
        patch[..2].copy_from_slice(&[task, counter]);
        patch
    })
    .into();
    patches[1][400..700].fill(0xff);
    patches
}

fn upload(patch: &[u8]) -> Upload {
    Upload {
        length: patch.len() as u32,
        digest: *blake3::hash(patch).as_bytes(),
        answer: answer(patch),
    }
}

/// An upload as the model knows it.
#[derive(Clone)]
struct Sending {
    slot: u8,
    patch: Vec<u8>,
    last: Option<Range<usize>>,
}

/// The slots' bytes, the states, and the upload.
#[derive(Clone)]
struct Expected {
    model: Model,
    bytes: Vec<u8>,
    sending: Option<Sending>,
}

impl Expected {
    /// Whether a part is allowed; if so it is there.
    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Refused> {
        let Some(sending) = &mut self.sending else {
            return Err(Refused);
        };
        let end = offset + bytes.len();
        let whole = end.is_multiple_of(UNIT) || end == sending.patch.len();
        if end > sending.patch.len() || !offset.is_multiple_of(UNIT) || !whole {
            return Err(Refused);
        }
        let slot = &mut self.bytes[usize::from(sending.slot) * SLOT_LEN..][..SLOT_LEN];
        if sending.last == Some(offset..end) && slot[offset..end] == *bytes {
            return Ok(());
        }
        let page = offset / PAGE * PAGE;
        let follows = sending.last.as_ref().is_some_and(|last| last.end == offset);
        if offset != page && !follows {
            return Err(Refused);
        }
        for (at, &byte) in (offset..).zip(bytes) {
            if at.is_multiple_of(PAGE) {
                slot[at..at + PAGE].fill(0xff);
            }
            slot[at] = byte;
        }
        sending.last = Some(offset..end);
        Ok(())
    }

    /// Whether a slot holds a patch, byte for byte.
    fn holds(&self, slot: u8, upload: &Upload) -> bool {
        let bytes = &self.bytes[usize::from(slot) * SLOT_LEN..][..upload.length as usize];
        *blake3::hash(bytes).as_bytes() == upload.digest
    }

    /// The write of a part has failed: only flash knows what is in the slot that it went to.
    fn forget_part(&mut self, bytes: &[u8]) {
        let Some(sending) = &mut self.sending else {
            return;
        };
        let start = usize::from(sending.slot) * SLOT_LEN;
        sending.last = None;
        self.bytes[start..start + SLOT_LEN].copy_from_slice(&bytes[start..start + SLOT_LEN]);
    }

    fn finish(&mut self, passes: bool) -> Result<(), Refused> {
        let Some(Sending { slot, patch, .. }) = &self.sending else {
            return Err(Refused);
        };
        let (slot, upload) = (*slot, upload(patch));
        if !passes || !self.holds(slot, &upload) {
            return Err(Refused);
        }
        self.model.finish(slot, upload)?;
        self.sending = None;
        Ok(())
    }
}

impl Expected {
    /// The effect of a step; a part to be written is named by `part`.
    fn take(
        &mut self,
        step: &Step,
        part: Option<(usize, Vec<u8>)>,
        patches: &[Vec<u8>],
    ) -> Result<(), Refused> {
        match *step {
            Step::Begin(slot, patch) => {
                let patch = patches[patch].clone();
                if patch.len() > SLOT_LEN {
                    return Err(Refused);
                }
                self.model.begin(slot)?;
                self.sending = Some(Sending {
                    slot,
                    patch,
                    last: None,
                });
                Ok(())
            }
            Step::Next(_) | Step::Again | Step::Write(..) => {
                let (offset, bytes) = part.expect("it is a part");
                self.write(offset, &bytes)
            }
            Step::Checksum(offset, length) => match &self.sending {
                Some(sending) if (offset + length) as usize <= sending.patch.len() => Ok(()),
                _ => Err(Refused),
            },
            Step::Finish(passes) => self.finish(passes),
            Step::Activate(slot, passes) => {
                let Some(Some((upload, _))) = self.model.slots.get(usize::from(slot)) else {
                    return Err(Refused);
                };
                assert!(
                    self.holds(slot, upload),
                    "a patch that was checked has changed"
                );
                if passes {
                    self.model.activate(slot)
                } else {
                    Err(Refused)
                }
            }
            Step::Confirm => self.model.confirm(),
            Step::RollBack => self.model.roll_back(Ended::Asked),
            Step::Discard(slot) => self.model.discard(slot, Ended::Damaged),
            Step::Reset => {
                self.model = self.model.clone().after_reset();
                self.sending = None;
                Ok(())
            }
        }
    }

    /// The part that a step writes.
    fn part(&self, step: &Step) -> Option<(usize, Vec<u8>)> {
        let none = (&[][..], 0..0);
        let (patch, last) = match &self.sending {
            Some(sending) => (&sending.patch[..], sending.last.clone().unwrap_or(0..0)),
            None => none,
        };
        match *step {
            Step::Next(length) => {
                let start = last.end;
                let end = start.saturating_add(length);
                let end = if end < patch.len() {
                    end / UNIT * UNIT
                } else {
                    patch.len()
                };
                Some((start, patch[start..end.max(start)].to_vec()))
            }
            Step::Again => Some((last.start, patch[last].to_vec())),
            Step::Write(offset, length, true) => {
                let length = if offset + length < patch.len() {
                    length / UNIT * UNIT
                } else {
                    length
                };
                let end = (offset + length).min(patch.len());
                Some((offset, patch[offset.min(end)..end].to_vec()))
            }
            Step::Write(offset, length, false) => Some((offset, vec![offset as u8; length])),
            Step::Begin(..)
            | Step::Checksum(..)
            | Step::Finish(_)
            | Step::Activate(..)
            | Step::Confirm
            | Step::RollBack
            | Step::Discard(_)
            | Step::Reset => None,
        }
    }
}

/// The reason why a store did not take a step.
#[derive(Debug, PartialEq)]
enum Failure {
    Flash,
    Refused,
}

impl From<Error<Off>> for Failure {
    fn from(error: Error<Off>) -> Self {
        if error == Error::Flash(Off) {
            Self::Flash
        } else {
            Self::Refused
        }
    }
}

impl From<FinishError<(), Off>> for Failure {
    fn from(error: FinishError<(), Off>) -> Self {
        match error {
            FinishError::Store(error) => error.into(),
            FinishError::Digest | FinishError::Check(()) => Self::Refused,
        }
    }
}

fn take(
    store: &mut Store<Nor>,
    step: &Step,
    part: Option<(usize, Vec<u8>)>,
    expected: &Expected,
    patches: &[Vec<u8>],
) -> Result<(), Failure> {
    let check = |passes: bool| {
        move |flash: &Nor, part: Range<u32>| {
            let patch = &flash.bytes[part.start as usize..part.end as usize];
            passes.then(|| stamp(answer(patch))).ok_or(())
        }
    };
    match *step {
        Step::Begin(slot, patch) => store.begin(slot, upload(&patches[patch]))?,
        Step::Next(_) | Step::Again | Step::Write(..) => {
            let (offset, bytes) = part.expect("it is a part");
            store.write(offset as u32, &bytes)?;
        }
        Step::Checksum(offset, length) => {
            let found = store.checksum(offset, length)?;
            let slot = expected.sending.as_ref().expect("it is allowed").slot;
            let start = usize::from(slot) * SLOT_LEN + offset as usize;
            let bytes = &expected.bytes[start..start + length as usize];
            assert_eq!(
                found,
                crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
            );
        }
        Step::Finish(passes) => drop(store.finish(check(passes))?),
        Step::Activate(slot, passes) => {
            let verified = store.verify(slot, check(passes))?;
            store.activate(verified)?;
        }
        Step::Confirm => store.confirm()?,
        Step::RollBack => store.roll_back(Ended::Asked)?,
        Step::Discard(slot) => store.discard(slot, Ended::Damaged)?,
        Step::Reset => *store = Store::open(store.flash().clone(), LAYOUT)?,
    }
    Ok(())
}

/// Takes steps on a store and on the model. One write in `torn_writes` fails, if any does.
fn compare(seed: u64, torn_writes: u32, steps: &[Step]) {
    let patches = patches();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bytes = random_bytes(&mut rng, START + usize::from(SLOTS) * SLOT_LEN);
    let mut expected = Expected {
        model: Model::new(SLOTS, TASKS),
        bytes: bytes[START..].to_vec(),
        sending: None,
    };
    let mut flash = Nor::new(bytes, rng);
    flash.torn_writes = torn_writes;
    let mut store = Store::open(flash, LAYOUT).unwrap();
    // What commits that have failed would have come to: a reset may find them done.
    let mut failed: Vec<Model> = vec![];
    for step in steps {
        let mut next = expected.clone();
        let part = expected.part(step);
        let allowed = next.take(step, part.clone(), &patches);
        let before = store.flash().bytes.clone();
        let taken = take(&mut store, step, part, &expected, &patches);
        let after = &store.flash().bytes;
        match taken {
            Ok(()) => {
                assert_eq!(allowed, Ok(()), "{step:?} was not refused");
                expected = next;
            }
            Err(Failure::Refused) => {
                assert_eq!(allowed, Err(Refused), "{step:?} was refused");
                assert_eq!(before, *after, "{step:?} was refused and has written");
            }
            Err(Failure::Flash) => {
                // A trial ends whether or not that can be written; a reset finds it still begun, or ended.
                if matches!(step, Step::RollBack) && expected.model.trial.is_some() {
                    failed.push(std::mem::replace(&mut expected.model, next.model.clone()));
                }
                failed.push(next.model);
                if matches!(step, Step::Next(_) | Step::Again | Step::Write(..)) {
                    expected.forget_part(&after[START..]);
                }
            }
        }
        if let Step::Reset = step {
            let view = View::of(&store);
            failed.push(expected.model.clone());
            let found = failed
                .drain(..)
                .map(Model::after_reset)
                .find(|model| model.view() == view);
            expected.model = found.expect("it is what was or what failed");
        } else if taken.is_ok() && before[..START] != after[..START] {
            failed.clear();
        }
        for (slot, patch) in (0..).zip(&expected.model.slots) {
            let damaged = patch.is_some_and(|(upload, _)| !expected.holds(slot, &upload));
            assert!(!damaged, "slot {slot} is damaged after {step:?}");
        }
        assert_eq!(expected.model.view(), View::of(&store), "after {step:?}");
        assert!(
            expected.bytes == store.flash().bytes[START..],
            "after {step:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_store_does_what_the_model_does(seed: u64, steps in prop::collection::vec(step(), 1..120)) {
        compare(seed, 0, &steps);
    }

    #[test]
    fn a_write_that_fails_is_survived(seed: u64, steps in prop::collection::vec(step(), 1..120)) {
        compare(seed, 12, &steps);
    }
}
