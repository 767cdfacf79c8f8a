//! The steps of a host with a device, and the rules that hold when the power goes in the middle of it: the device serves the
//! patch that it served before or the one that was confirmed, every byte of it; it says of every slot what was committed
//! before the cut or by the step that was cut; the host takes the step again and goes on, and sends no page again that
//! was there.

use std::fmt;
use std::ops::{AddAssign, Range};

use graft_slots::{Ended, Error, FinishError, Layout, Stamp, Store, Upload};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::flash::{Flash, Off, random_bytes};
use crate::model::{Model, View, answer, stamp};

/// The outcome of runs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    runs: usize,
    pub(crate) cuts: usize,
    /// Pages that an upload found in place after a cut.
    kept: usize,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.cuts += other.cuts;
        self.kept += other.kept;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, cuts, kept } = self;
        write!(
            f,
            "{cuts} power cuts tried in {runs} runs, {kept} pages kept by resumed uploads"
        )
    }
}

/// Tasks and counters of the patches.
const STAMPS: [[u8; 2]; 5] = [[1, 10], [2, 20], [1, 11], [1, 12], [2, 20]];
/// Tasks that there are counters for.
const TASKS: u8 = 2;

/// The wish of the host.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The patch with this index in this slot.
    Push(u8, usize),
    /// The patch with this index in this slot, which the device refuses: it is older than another one of its task.
    Old(u8, usize),
    /// The patch in this slot active.
    Keep(u8),
    /// The patch in this slot tried and refused.
    Refuse(u8),
    /// The patch in this slot tried, then a reset.
    Reset(u8),
    /// The patch that was active before, which is in this slot, or the backbone's own values.
    RollBack(Option<u8>),
}

/// Patches, a device that has served one of them, and steps from there.
pub(crate) struct Scenario<const READ: usize, const WRITE: usize, const ERASE: usize> {
    layout: Layout,
    patches: Vec<Vec<u8>>,
    flash: Flash<READ, WRITE, ERASE>,
    model: Model,
    steps: Vec<Step>,
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> Scenario<READ, WRITE, ERASE> {
    pub(crate) fn new(slots: u8, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let pages = if ERASE > 4096 { 2 } else { 4 };
        let layout = Layout {
            slots,
            slot_len: (pages * ERASE) as u32,
            tasks: TASKS,
        };
        let capacity = 2 * ERASE + usize::from(slots) * pages * ERASE;
        let patches = STAMPS.map(|stamp| {
            let length = rng.random_range(ERASE..=pages * ERASE);
            let mut patch = random_bytes(&mut rng, length);
            // Whole words of ones look like erased flash.
            patch[length / 3..length / 2].fill(0xff);
            patch[..2].copy_from_slice(&stamp);
            patch
        });
        let patches = patches.into();
        let blank = seed.is_multiple_of(3);
        let bytes = if blank {
            vec![0xff; capacity]
        } else {
            random_bytes(&mut rng, capacity)
        };
        let first = rng.random_range(0..slots);
        let second = (first + rng.random_range(1..slots)) % slots;
        let mut scenario = Self {
            layout,
            patches,
            flash: Flash::new(bytes, rng),
            model: Model::new(slots, TASKS),
            steps: vec![
                Step::Push(second, 0),
                Step::Keep(second),
                Step::Push(first, 1),
                Step::Keep(first),
            ],
        };
        (scenario.flash, scenario.model, _) = scenario.take_steps(0, &[]);
        // A torn record that reads well once and not again is survived where the one before it is left alone for one
        // more commit: where a page holds two.
        if seed.is_multiple_of(2) && ERASE >= 1024 {
            scenario.flash.weak_below = 2 * ERASE;
        }
        scenario.steps = vec![
            Step::Push(second, 2),
            Step::Keep(second),
            Step::RollBack(Some(first)),
            Step::Reset(second),
            Step::Push(second, 3),
            Step::Refuse(second),
            Step::Keep(second),
            Step::Old(first, 0),
            Step::Push(first, 4),
            Step::RollBack(None),
            Step::Keep(first),
        ];
        scenario
    }

    /// Writes and erases of all steps.
    pub(crate) fn operations(&self) -> usize {
        self.take_steps(0, &[]).0.operations - self.flash.operations
    }

    /// Takes the steps; the power is cut after `cuts[0]` operations, after `cuts[1]` more, and so on.
    pub(crate) fn run(&self, seed: u64, cuts: &[usize]) -> Outcome {
        self.take_steps(seed, cuts).2
    }

    fn take_steps(&self, seed: u64, cuts: &[usize]) -> (Flash<READ, WRITE, ERASE>, Model, Outcome) {
        let mut flash = self.flash.clone();
        flash.reseed(seed);
        let mut outcome = Outcome {
            runs: 1,
            ..Outcome::default()
        };
        let mut cuts = cuts.iter();
        flash.cut_after(cuts.next());
        // What may hold after a reset, and the steps from there.
        let mut steps = &self.steps[..];
        let mut models = vec![self.model.clone()];
        let (mut sent, mut seen) = (vec![], Vec::<Stamp>::new());
        loop {
            let device = Store::open(&mut flash, self.layout).expect("it opens");
            let sequence = device.sequence();
            let view = View::of(&device);
            for (now, before) in view.counters.iter().zip(&seen) {
                assert!(now.counter >= before.counter, "a counter has fallen");
            }
            assert!(view.counters.len() >= seen.len(), "a task is forgotten");
            let model = matching(&models, &view);
            let mut session = Session {
                scenario: self,
                device,
                model,
                sent: &mut sent,
                seen: &mut seen,
                kept: 0,
                committed: false,
                sequence,
            };
            session.check_slots();
            let mut rest = steps;
            let stopped = session.take_steps(&mut rest);
            outcome.kept += session.kept;
            let model = session.model;
            let committed = session.committed;
            match stopped {
                Ok(()) => return (flash, model, outcome),
                Err(Stop::Reset) => (steps, models) = (rest, vec![model]),
                Err(Stop::Cut { stages }) => {
                    // The record that was read at the last reset may read otherwise now, unless another came after it.
                    if committed {
                        (steps, models) = (rest, stages);
                    } else {
                        models.extend(stages);
                    }
                    outcome.cuts += 1;
                    flash.power_up();
                    flash.cut_after(cuts.next());
                }
            }
        }
    }
}

/// The model that says what the device says after a reset.
fn matching(models: &[Model], view: &View) -> Model {
    let found = models
        .iter()
        .cloned()
        .map(Model::after_reset)
        .find(|model| model.view() == *view);
    found.unwrap_or_else(|| panic!("unexpected after a reset: {view:?}"))
}

/// From a reset of the device to the next one.
struct Session<'a, const READ: usize, const WRITE: usize, const ERASE: usize> {
    scenario: &'a Scenario<READ, WRITE, ERASE>,
    device: Store<&'a mut Flash<READ, WRITE, ERASE>>,
    model: Model,
    /// Pages of the present upload that the device has acknowledged, in this session or before.
    sent: &'a mut Vec<u32>,
    /// The counters that the device had after the last step that it took.
    seen: &'a mut Vec<Stamp>,
    /// The number of them that were found in place.
    kept: usize,
    /// A record was committed in this session.
    committed: bool,
    /// Number of the newest record at its start.
    sequence: u32,
}

/// The device has stopped.
enum Stop {
    Reset,
    /// In the middle of a step.
    Cut {
        stages: Vec<Model>,
    },
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> Session<'_, READ, WRITE, ERASE> {
    /// Most bytes that the host sends at once: more than a page, or a part of it.
    const CHUNK: usize = if ERASE > 16384 { ERASE / 32 } else { 512 };

    /// Takes steps off the list as they succeed.
    fn take_steps(&mut self, steps: &mut &[Step]) -> Result<(), Stop> {
        while let Some((&step, rest)) = steps.split_first() {
            let stages = stages(&self.model, step, &self.scenario.patches);
            if self.take(step).is_err() {
                return Err(Stop::Cut { stages });
            }
            *self.seen = self.device.counters().collect();
            self.model = stages.last().expect("there is one").clone();
            assert_eq!(View::of(&self.device), self.model.view(), "after {step:?}");
            self.check_slots();
            self.sent.clear();
            *steps = rest;
            if let Step::Reset(_) = step {
                return Err(Stop::Reset);
            }
        }
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), Off> {
        match step {
            Step::Push(slot, patch) => {
                let finished = self.push(slot, &self.scenario.patches[patch])?;
                assert_eq!(finished, Ok(slot));
                Ok(())
            }
            Step::Old(slot, patch) => {
                let finished = self.push(slot, &self.scenario.patches[patch])?;
                let is_refused = matches!(finished, Err(FinishError::Store(Error::Older { .. })));
                assert!(is_refused, "{finished:?}");
                Ok(())
            }
            Step::Keep(slot) => {
                self.activate(slot)?;
                if self.device.trial().is_some() {
                    let result = self.device.confirm();
                    self.done(result)?;
                }
                Ok(())
            }
            Step::Refuse(slot) => {
                self.activate(slot)?;
                let result = self.device.roll_back(Ended::SelfCheck);
                self.done(result)
            }
            Step::Reset(slot) => self.activate(slot),
            Step::RollBack(to) if self.model.active() == to => Ok(()),
            Step::RollBack(_) => {
                let result = self.device.roll_back(Ended::Asked);
                self.done(result)
            }
        }
    }

    fn activate(&mut self, slot: u8) -> Result<(), Off> {
        let verified = self.device.verify(slot, stamp_of).expect("it is a patch");
        let result = self.device.activate(verified);
        self.done(result)
    }

    /// Sends the pages of a patch that are not there, and has the device check it.
    fn push(&mut self, slot: u8, patch: &[u8]) -> Result<Result<u8, FinishError<(), Off>>, Off> {
        let upload = upload(patch);
        if self.device.slot(slot).and_then(|slot| slot.contents) == Some(upload) {
            return Ok(Ok(slot));
        }
        let result = self.device.begin(slot, upload);
        self.done(result)?;
        for (index, page) in patch.chunks(ERASE).enumerate() {
            let offset = (index * ERASE) as u32;
            if unless_off(self.holds(offset, page))? {
                self.kept += usize::from(self.sent.contains(&offset));
                continue;
            }
            assert!(
                !self.sent.contains(&offset),
                "the page at byte {offset} is lost"
            );
            self.send_page(offset, page)?;
            self.sent.push(offset);
        }
        match self.device.finish(stamp_of) {
            Err(FinishError::Store(Error::Flash(Off))) => Err(Off),
            finished => Ok(finished),
        }
    }

    fn send_page(&mut self, offset: u32, page: &[u8]) -> Result<(), Off> {
        let chunks = (offset..)
            .step_by(Self::CHUNK)
            .zip(page.chunks(Self::CHUNK));
        for (offset, chunk) in chunks {
            unless_off(self.device.write(offset, chunk))?;
            let operations = self.device.flash().operations;
            unless_off(self.device.write(offset, chunk))?;
            assert_eq!(
                self.device.flash().operations,
                operations,
                "a repeated chunk is written"
            );
        }
        Ok(())
    }

    /// Whether the device has these bytes already.
    fn holds(&mut self, offset: u32, bytes: &[u8]) -> Result<bool, Error<Off>> {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes);
        Ok(self.device.checksum(offset, bytes.len() as u32)? == crc)
    }

    /// Notes a step of the device that has succeeded. Anything but success or a cut is a failure of the test.
    fn done<T>(&mut self, result: Result<T, Error<Off>>) -> Result<T, Off> {
        let done = unless_off(result)?;
        self.committed |= self.device.sequence() != self.sequence;
        Ok(done)
    }

    /// Every slot that is not empty, and so what is served, holds a whole patch: the one that the model says.
    fn check_slots(&mut self) {
        for (slot, expected) in (0..).zip(&self.model.slots) {
            let Some((expected, _)) = expected else {
                continue;
            };
            let is_whole = |flash: &&mut Flash<READ, WRITE, ERASE>, range: Range<u32>| {
                let bytes = &flash.bytes[range.start as usize..range.end as usize];
                if upload(bytes) == *expected {
                    Ok(None)
                } else {
                    Err("a mixture")
                }
            };
            self.device
                .verify(slot, is_whole)
                .expect("it is a whole patch");
        }
    }
}

/// The records that are committed on the way through a step, from what is before it to what is after it.
fn stages(model: &Model, step: Step, patches: &[Vec<u8>]) -> Vec<Model> {
    let mut stages = vec![model.clone()];
    let mut model = model.clone();
    match step {
        Step::Push(slot, patch) => {
            let upload = upload(&patches[patch]);
            if model.slots[usize::from(slot)].map(|(upload, _)| upload) != Some(upload) {
                model.begin(slot).expect("it is free");
                stages.push(model.clone());
                model.finish(slot, upload).expect("it is new");
            }
        }
        Step::Old(slot, patch) => {
            model.begin(slot).expect("it is free");
            let refused = model.finish(slot, upload(&patches[patch]));
            refused.expect_err("it is old");
        }
        Step::Keep(slot) if model.active() == Some(slot) => {}
        Step::Keep(slot) => {
            model.activate(slot).expect("it is written");
            stages.push(model.clone());
            model.confirm().expect("it is on trial");
        }
        Step::Refuse(slot) => {
            model.activate(slot).expect("it is written");
            stages.push(model.clone());
            model.roll_back(Ended::SelfCheck).expect("it is on trial");
        }
        Step::Reset(slot) => model.activate(slot).expect("it is written"),
        Step::RollBack(to) if model.active() == to => {}
        Step::RollBack(_) => model.roll_back(Ended::Asked).expect("another is active"),
    }
    stages.push(model);
    stages
}

fn upload(patch: &[u8]) -> Upload {
    Upload {
        length: patch.len() as u32,
        digest: *blake3::hash(patch).as_bytes(),
        answer: answer(patch),
    }
}

/// The check of a device: what the patch says of its task and counter.
fn stamp_of<const READ: usize, const WRITE: usize, const ERASE: usize>(
    flash: &&mut Flash<READ, WRITE, ERASE>,
    part: Range<u32>,
) -> Result<Option<Stamp>, ()> {
    let patch = &flash.bytes[part.start as usize..part.end as usize];
    Ok(stamp(answer(patch)))
}

/// Anything but success or a cut is a failure of the test.
fn unless_off<T>(result: Result<T, Error<Off>>) -> Result<T, Off> {
    match result {
        Err(Error::Flash(Off)) => Err(Off),
        result => Ok(result.expect("the step is allowed")),
    }
}
