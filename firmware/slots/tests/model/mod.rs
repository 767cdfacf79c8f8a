//! The answers that a store should give: its states and steps without flash, records or sequence numbers.

#![allow(dead_code, reason = "not every test takes every step")]

use embedded_storage::nor_flash::NorFlash;
use graft_slots::{Ended, Slot, Stamp, State, Store, Task, Upload};

/// Everything that a store says, but for sequence numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) active: Task,
    pub(crate) serving: Task,
    pub(crate) previous: Option<Task>,
    pub(crate) trial: Option<u8>,
    pub(crate) ended: Option<Ended>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) counters: Vec<Stamp>,
}

/// The answer of an upload, in which the model finds the stamp of the patch: its first bytes are task and counter, but for
/// task 0, which has none.
pub(crate) fn answer(patch: &[u8]) -> Option<[u8; 8]> {
    match *patch {
        [task, counter, ..] if task != 0 => Some([task, counter, 0, 0, 0, 0, 0, 0]),
        _ => None,
    }
}

/// The stamp of the patch of an upload.
pub(crate) fn stamp(answer: Option<[u8; 8]>) -> Option<Stamp> {
    answer.map(|[task, counter, ..]| Stamp {
        task: [task; 8],
        counter: counter.into(),
    })
}

impl View {
    pub(crate) fn of<F: NorFlash>(store: &Store<F>) -> Self {
        Self {
            active: store.active(),
            serving: store.serving(),
            previous: store.previous(),
            trial: store.trial(),
            ended: store.ended(),
            slots: (0..).map_while(|slot| store.slot(slot)).collect(),
            counters: store.counters().collect(),
        }
    }
}

/// A step is not allowed.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused;

/// A slot is a patch and whether it was confirmed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    pub(crate) slots: Vec<Option<(Upload, bool)>>,
    /// The patches that were confirmed, oldest first, as far as a rollback can reach: at most two.
    confirmed: Vec<u8>,
    pub(crate) trial: Option<u8>,
    ended: Option<Ended>,
    /// The highest counters, in the order of their first patches.
    pub(crate) counters: Vec<Stamp>,
    tasks: u8,
}

impl Model {
    pub(crate) fn new(slots: u8, tasks: u8) -> Self {
        Self {
            counters: vec![],
            tasks,
            slots: vec![None; slots.into()],
            confirmed: vec![],
            trial: None,
            ended: None,
        }
    }

    pub(crate) fn view(&self) -> View {
        let task = |slot: Option<&u8>| slot.map_or(Task::Own, |&slot| Task::Slot(slot));
        let active = task(self.confirmed.last());
        let before = self.confirmed.iter().rev().nth(1);
        let state = |index: usize, good| match good {
            _ if self.trial == Some(index as u8) => State::Trial,
            true => State::Good,
            false => State::Written,
        };
        let slots = self
            .slots
            .iter()
            .enumerate()
            .map(|(index, slot)| match slot {
                None => Slot {
                    state: State::Empty,
                    contents: None,
                },
                Some((upload, good)) => Slot {
                    state: state(index, *good),
                    contents: Some(*upload),
                },
            });
        View {
            active,
            serving: self.trial.map_or(active, Task::Slot),
            previous: (!self.confirmed.is_empty()).then(|| task(before)),
            trial: self.trial,
            ended: self.ended,
            slots: slots.collect(),
            counters: self.counters.clone(),
        }
    }

    pub(crate) fn active(&self) -> Option<u8> {
        self.confirmed.last().copied()
    }

    pub(crate) fn is_free(&self, slot: u8) -> bool {
        usize::from(slot) < self.slots.len()
            && self.trial != Some(slot)
            && self.active() != Some(slot)
    }

    pub(crate) fn begin(&mut self, slot: u8) -> Result<(), Refused> {
        if !self.is_free(slot) {
            return Err(Refused);
        }
        self.slots[usize::from(slot)] = None;
        self.confirmed.retain(|&other| other != slot);
        Ok(())
    }

    /// Whether the patch of an upload is older than another one of its task.
    fn is_old(&self, upload: &Upload) -> bool {
        stamp(upload.answer).is_some_and(|stamp| {
            let mut newest = self.counters.iter();
            newest.any(|kept| kept.task == stamp.task && kept.counter > stamp.counter)
        })
    }

    pub(crate) fn finish(&mut self, slot: u8, upload: Upload) -> Result<(), Refused> {
        if self.is_old(&upload) {
            return Err(Refused);
        }
        if let Some(stamp) = stamp(upload.answer) {
            let kept = &mut self.counters;
            match kept.iter().position(|kept| kept.task == stamp.task) {
                Some(at) => kept[at] = stamp,
                None if kept.len() == usize::from(self.tasks) => return Err(Refused),
                None => kept.push(stamp),
            }
        }
        self.slots[usize::from(slot)] = Some((upload, false));
        Ok(())
    }

    pub(crate) fn activate(&mut self, slot: u8) -> Result<(), Refused> {
        if self.trial.or(self.active()) == Some(slot) {
            return Ok(());
        }
        let patch = self.slots.get(usize::from(slot)).copied().flatten();
        let (upload, good) = patch.ok_or(Refused)?;
        if self.trial.is_some() || (!good && self.is_old(&upload)) {
            return Err(Refused);
        }
        self.trial = Some(slot);
        self.ended = None;
        Ok(())
    }

    pub(crate) fn confirm(&mut self) -> Result<(), Refused> {
        let slot = self.trial.take().ok_or(Refused)?;
        self.slots[usize::from(slot)]
            .as_mut()
            .expect("it is on trial")
            .1 = true;
        self.confirmed.retain(|&other| other != slot);
        self.confirmed.push(slot);
        self.confirmed
            .drain(..self.confirmed.len().saturating_sub(2));
        Ok(())
    }

    pub(crate) fn roll_back(&mut self, why: Ended) -> Result<(), Refused> {
        if self.trial.take().is_none() {
            self.confirmed.pop().ok_or(Refused)?;
        }
        self.ended = Some(why);
        Ok(())
    }

    pub(crate) fn discard(&mut self, slot: u8, why: Ended) -> Result<(), Refused> {
        *self.slots.get_mut(usize::from(slot)).ok_or(Refused)? = None;
        let was_active = self.active() == Some(slot);
        if self.trial == Some(slot) || was_active {
            self.ended = Some(why);
        }
        self.trial = self.trial.filter(|&trial| trial != slot);
        self.confirmed.retain(|&other| other != slot);
        if was_active && self.trial.is_some() && self.trial == self.active() {
            self.confirmed.clear();
        }
        Ok(())
    }

    pub(crate) fn after_reset(mut self) -> Self {
        if self.trial.take().is_some() {
            self.ended = Some(Ended::Reset);
        }
        self
    }
}
