//! Requests of the host, and the answers to them.

use core::fmt::Write as _;

use graft_link::{CHUNK, Device, Refusal, Reply, Request, Task};
use graft_patches::signature::Trust;
use graft_slots::{Ended, Error as SlotError, Store, Upload};

use crate::board::{Board, Clock};
use crate::error::Problem;
use crate::server::{FlashError, Server};
use crate::wire;

impl<B: Board> Server<B> {
    /// Does what the host asks, and gives the reply.
    pub(crate) fn handle(&mut self, request: Request<'_>, reply: &mut dyn FnMut(Reply<'_>)) {
        match self.fulfil(request) {
            Ok(answer) => reply(answer),
            Err(problem) => reply(Reply::Refused(self.refusal(problem))),
        }
    }

    fn fulfil(&mut self, request: Request<'_>) -> Result<Reply<'_>, Problem<FlashError<B>>> {
        match request {
            Request::Device => return Ok(Reply::Device(self.describe())),
            Request::Memory => return Ok(Reply::Memory(self.memory())),
            Request::Slot(slot) => {
                let contents = self.store.slot(slot).ok_or(Refusal::NoSuchSlot {
                    slots: self.store.layout().slots,
                })?;
                let patch = self.tasks.get(Task::Slot(slot));
                return Ok(Reply::Slot(wire::slot(contents, patch)));
            }
            Request::Input(task) => {
                let shape = self.patch(task)?.input().shape;
                let sides = [shape.height, shape.width, shape.channels];
                return Ok(Reply::Input(sides.map(|side| side as u32)));
            }
            Request::Metadata { task, offset } => {
                return Ok(part(self.metadata(task)?, offset)?);
            }
            Request::Scores(offset) => return Ok(part(self.score_bytes(), offset)?),
            Request::Layers(offset) => return Ok(part(self.layer_bytes(), offset)?),
            Request::Checksum { offset, length } => {
                return Ok(Reply::Checksum(self.checksum(offset, length)?));
            }
            Request::Run(task) => {
                let task = task.unwrap_or(self.serving);
                let ticks = self.run(task)?;
                return Ok(self.ran(task, 0, ticks));
            }
            Request::Profile(task) => {
                let task = task.unwrap_or(self.serving);
                let ticks = self.profile(task)?;
                return Ok(self.ran(task, self.layer_count, ticks));
            }
            Request::Begin {
                slot,
                length,
                digest,
                answer,
            } => self.begin(
                slot,
                Upload {
                    length,
                    digest,
                    answer,
                },
            )?,
            Request::Write { offset, bytes } => self.store.write(offset, bytes)?,
            Request::Finish => self.finish()?,
            Request::Activate(slot) => self.activate(slot)?,
            Request::Confirm => self.confirm()?,
            Request::Rollback => self.go_back(Ended::Asked)?,
            Request::Image { offset, bytes } => self.receive_image(offset, bytes)?,
            #[cfg(feature = "learn")]
            Request::Teach(label) => {
                let (examples, ticks) = self.teach(label)?;
                return Ok(Reply::Taught { examples, ticks });
            }
            #[cfg(feature = "learn")]
            Request::Forget(label) => self.forget(label)?,
            #[cfg(feature = "learn")]
            Request::Learn { slot, name, recipe } => {
                let (length, ticks) = self.learn(slot, name, recipe)?;
                return Ok(Reply::Learned { length, ticks });
            }
            #[cfg(feature = "learn")]
            Request::Learner => {
                let learner = self.learner.as_ref().ok_or(Refusal::CannotLearn)?;
                return Ok(Reply::Learner(learner.describe()));
            }
            #[cfg(feature = "learn")]
            Request::Class(class) => {
                let (label, examples) = self
                    .learner
                    .as_ref()
                    .ok_or(Refusal::CannotLearn)?
                    .describe_class(class)?;
                return Ok(Reply::Class { label, examples });
            }
            #[cfg(not(feature = "learn"))]
            Request::Teach(_)
            | Request::Forget(_)
            | Request::Learn { .. }
            | Request::Learner
            | Request::Class(_) => return Err(Refusal::CannotLearn.into()),
            // The loop does it.
            Request::Restart => {}
        }
        Ok(Reply::Done)
    }

    fn describe(&mut self) -> Device<'static> {
        let layout = self.store.layout();
        let input = self.backbone.image().input().shape;
        Device {
            board: B::NAME,
            firmware: env!("CARGO_PKG_VERSION"),
            backbone: self.backbone.id().0,
            input: [input.height, input.width, input.channels].map(|side| side as u32),
            kernels: self.session.kernels(),
            slots: layout.slots,
            slot_len: layout.slot_len,
            page_len: Store::<B::Flash>::page_len(),
            serving: self.serving,
            active: wire::task(self.store.active()),
            trial: self.store.trial(),
            previous: self.store.previous().map(wire::task),
            ended: self.store.ended().map(wire::ended),
            sequence: self.store.sequence(),
            frames: self.frames,
            ticks_per_second: B::Clock::TICKS_PER_SECOND,
            keys: self.keys(),
            counters: [self.store.counters().count() as u8, layout.tasks],
        }
    }

    fn keys(&self) -> [Option<[u8; 8]>; 2] {
        let trust = self.backbone.trust();
        let mut keys = trust.into_iter().flat_map(Trust::keys);
        [(); 2].map(|()| keys.next().map(|key| key.id().0))
    }

    fn metadata(&self, task: Task) -> Result<&[u8], Refusal<'static>> {
        let image = self.patch(task)?.image();
        Ok(
            image.map_or(self.backbone.image().metadata_bytes(), |image| {
                image.metadata_bytes()
            }),
        )
    }

    /// At most a page a request: reading more would keep frames waiting.
    fn checksum(&mut self, offset: u32, length: u32) -> Result<u32, Problem<FlashError<B>>> {
        let page = Store::<B::Flash>::page_len();
        if length > page {
            return Err(Refusal::OutOfRange { length: page }.into());
        }
        Ok(self.store.checksum(offset, length)?)
    }

    fn ran(&self, task: Task, layers: usize, ticks: u32) -> Reply<'static> {
        Reply::Ran {
            task,
            scores: self.score_count as u32,
            layers: layers as u32,
            ticks,
        }
    }

    fn refusal(&mut self, problem: Problem<FlashError<B>>) -> Refusal<'_> {
        match problem {
            Problem::Refused(refusal) => refusal,
            Problem::Slots(error) => refused_by_slots(error),
            Problem::Patch(error) => {
                self.reason.clear();
                // What does not fit is left out.
                let _ = write!(self.reason, "{error}");
                Refusal::Patch {
                    reason: &self.reason,
                }
            }
            #[cfg(feature = "learn")]
            Problem::Learn(remedy) => Refusal::Learn { remedy },
        }
    }
}

/// A part of something that may be longer than a message.
fn part(bytes: &[u8], offset: u32) -> Result<Reply<'_>, Refusal<'static>> {
    let total = bytes.len() as u32;
    let rest = bytes
        .get(offset as usize..)
        .ok_or(Refusal::OutOfRange { length: total })?;
    Ok(Reply::Bytes {
        total,
        bytes: &rest[..rest.len().min(CHUNK)],
    })
}

fn refused_by_slots<F: core::fmt::Debug>(error: SlotError<F>) -> Refusal<'static> {
    match error {
        SlotError::NoSlot { slots, .. } => Refusal::NoSuchSlot { slots },
        SlotError::TooLong { length, capacity } => Refusal::TooLong { length, capacity },
        SlotError::OutOfRange { length } => Refusal::OutOfRange { length },
        SlotError::Unaligned { expected } => Refusal::Unaligned { multiple: expected },
        SlotError::InUse { slot } => Refusal::InUse { slot },
        SlotError::OnTrial { slot } => Refusal::OnTrial { slot },
        SlotError::Empty { slot } => Refusal::Empty { slot },
        SlotError::NoTrial => Refusal::NoTrial,
        SlotError::NoPrevious => Refusal::NoPrevious,
        SlotError::NoUpload => Refusal::NoUpload,
        SlotError::OutOfOrder { expected } => Refusal::OutOfOrder { expected },
        SlotError::Older { found, expected } => Refusal::Older { found, expected },
        SlotError::NoCounter { tasks } => Refusal::NoCounter { tasks },
        SlotError::Flash(_)
        | SlotError::Geometry { .. }
        | SlotError::SlotCount { .. }
        | SlotError::TaskCount { .. }
        | SlotError::SlotLength { .. }
        | SlotError::Capacity { .. }
        | SlotError::PageTooSmall { .. }
        | SlotError::Version { .. }
        | SlotError::Layout { .. }
        | SlotError::Exhausted
        | SlotError::Unwritten { .. }
        | SlotError::Stale { .. } => Refusal::Flash,
    }
}
