//! The state of the device: its store, its tasks and the session that serves them.

use core::ops::Range;

use embedded_storage::nor_flash::ErrorType;
use graft_link::{Memory, Task};
use graft_runtime::{Backbone, Patch, Session};
use graft_slots::{Ended, Error as SlotError, FinishError, Layout, Stamp, State, Store, Verified};
use heapless::String;

use crate::board::Board;
use crate::error::{Error, Problem};
use crate::log::{info, warning};
use crate::tasks::{Tasks, bind};
use crate::wire;

/// Most bytes of text about a patch that is refused.
const REASON: usize = 200;

/// The error of the flash of a board.
pub(crate) type FlashError<B> = <<B as Board>::Flash as ErrorType>::Error;

/// Memory that the device works in, for the life of the program.
pub struct Buffers {
    /// Of the session, aligned to 64: at least [`Session::arena_len`].
    pub arena: &'static mut [u8],
    /// The patches of the slots: at least as many as there are.
    pub patches: &'static mut [Option<Patch>],
    /// One image, 8-bit pixels: at least height x width x channels of the backbone's input.
    pub image: &'static mut [u8],
    /// The scores of a run: at least as many as the backbone has classes.
    pub scores: &'static mut [f32],
    /// Ticks of each layer in a profile.
    pub layers: &'static mut [u32],
    /// To learn in.
    #[cfg(feature = "learn")]
    pub learn: crate::learn::LearnBuffers,
}

/// Serves tasks from the slots.
pub(crate) struct Server<B: Board> {
    pub(crate) board: B,
    pub(crate) backbone: Backbone,
    pub(crate) session: Session<'static>,
    pub(crate) store: Store<B::Flash>,
    pub(crate) tasks: Tasks,
    /// The task of frames: at the start the active task, then what the button and the host choose.
    pub(crate) serving: Task,
    pub(crate) image: &'static mut [u8],
    /// Bytes of the image that have arrived.
    pub(crate) image_len: usize,
    /// Frames until the camera may take the place of the host's image.
    pub(crate) held_for: u32,
    pub(crate) scores: &'static mut [f32],
    /// Scores of the last run that the host asked for.
    pub(crate) score_count: usize,
    pub(crate) layers: &'static mut [u32],
    /// Layers of the last profile.
    pub(crate) layer_count: usize,
    #[cfg(feature = "learn")]
    pub(crate) learner: Option<crate::learn::Learner>,
    pub(crate) frames: u32,
    /// Text of the last refusal of a patch.
    pub(crate) reason: String<REASON>,
    arena_len: usize,
}

impl<B: Board> Server<B> {
    pub(crate) fn start(
        board: B,
        backbone: Backbone,
        flash: B::Flash,
        layout: Layout,
        buffers: Buffers,
    ) -> Result<Self, Error<FlashError<B>>> {
        let Buffers {
            arena,
            patches,
            image,
            scores,
            layers,
            #[cfg(feature = "learn")]
            learn,
        } = buffers;
        let base = backbone.image();
        let image_len = base.input().shape.len();
        enough("patches", patches.len(), layout.slots.into())?;
        enough("bytes of an image", image.len(), image_len)?;
        enough("classes", scores.len(), backbone.identity().classes())?;
        enough("layers", layers.len(), base.layer_count())?;
        graft_link::test_pattern(&mut image[..image_len]);
        let arena_len = arena.len();
        let mut server = Self {
            #[cfg(feature = "learn")]
            learner: crate::learn::Learner::new(&backbone, learn)?,
            session: Session::in_arena(&backbone, arena)?,
            store: Store::open(flash, layout)?,
            tasks: Tasks::new(&backbone, patches),
            serving: Task::Own,
            board,
            backbone,
            image,
            image_len,
            held_for: 0,
            scores,
            score_count: 0,
            layers,
            layer_count: 0,
            frames: 0,
            reason: String::new(),
            arena_len,
        };
        server.bind_slots();
        server.serve_active();
        Ok(server)
    }

    /// Binds what the slots hold. What is damaged is discarded; what this firmware or backbone has no use for is left.
    fn bind_slots(&mut self) {
        for slot in 0..self.store.layout().slots {
            match self.bind_slot(slot) {
                Ok(_) | Err(FinishError::Store(SlotError::Empty { .. })) => {}
                Err(FinishError::Digest) => {
                    warning!("slot {=u8} is damaged and discarded", slot);
                    if self.store.discard(slot, Ended::Damaged).is_err() {
                        warning!("the flash of the slots fails");
                    }
                }
                Err(_) => warning!("slot {=u8} cannot be served", slot),
            }
        }
    }

    /// Checks and binds the patch in a slot, in place.
    pub(crate) fn bind_slot(
        &mut self,
        slot: u8,
    ) -> Result<Verified, FinishError<Problem<FlashError<B>>, FlashError<B>>> {
        let (mut patch, backbone, image_len) = (None, &self.backbone, self.image.len());
        let verified = self.store.verify(slot, |flash, part| {
            // SAFETY: the patch goes to the tasks, which drop it (`begin`) before its slot is written again.
            let bound = unsafe { bind_fitting::<B>(flash, part, backbone, image_len) }?;
            let stamp = stamp(&bound, backbone);
            patch = Some(bound);
            Ok(stamp)
        })?;
        self.tasks.set(slot, patch);
        Ok(verified)
    }

    /// Serves what the store says is active; the backbone's own values where it cannot be served.
    pub(crate) fn serve_active(&mut self) {
        let active = wire::task(self.store.active());
        let is_bound = self.tasks.get(active).is_some();
        self.serve(if is_bound { active } else { Task::Own });
    }

    /// The next frame is run with this task.
    pub(crate) fn serve(&mut self, task: Task) {
        self.serving = task;
        match task {
            Task::Own => info!("serving the backbone's own task"),
            Task::Slot(slot) => info!("serving slot {=u8}", slot),
        }
    }

    /// The task after the served one, among those that are good or on trial; then the backbone's own.
    pub(crate) fn next_task(&self) -> Task {
        let first = match self.serving {
            Task::Own => 0,
            Task::Slot(slot) => slot + 1,
        };
        let is_served = |&slot: &u8| {
            let slot = self.store.slot(slot);
            slot.is_some_and(|slot| matches!(slot.state, State::Good | State::Trial))
        };
        let mut slots = first..self.store.layout().slots;
        slots.find(is_served).map_or(Task::Own, Task::Slot)
    }

    /// The use of memory.
    pub(crate) fn memory(&self) -> Memory {
        Memory {
            backbone: self.backbone.image().bytes().len() as u32,
            arena: self.arena_len as u32,
            arena_used: self.session.arena_bytes() as u32,
            ..self.board.memory()
        }
    }
}

/// The place of a patch among those of its task; on a device that trusts everybody none matters.
pub(crate) fn stamp(patch: &Patch, backbone: &Backbone) -> Option<Stamp> {
    backbone.trust()?;
    patch.signed().map(|signed| Stamp {
        task: signed.task.0,
        counter: signed.counter,
    })
}

fn enough<F: core::fmt::Debug>(
    what: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), Error<F>> {
    if found < expected {
        return Err(Error::Buffer {
            what,
            found,
            expected,
        });
    }
    Ok(())
}

/// Binds the patch in this part of the flash, if there is memory for its images.
///
/// # Safety
/// As [`bind`].
pub(crate) unsafe fn bind_fitting<B: Board>(
    flash: &B::Flash,
    part: Range<u32>,
    backbone: &Backbone,
    image_len: usize,
) -> Result<Patch, Problem<FlashError<B>>> {
    // SAFETY: by the caller's promise.
    let patch = unsafe { bind(flash, part, backbone) }?;
    let [found, expected] = [image_len, patch.input().shape.len()].map(|len| len as u32);
    if found < expected {
        return Err(graft_link::Refusal::Image { found, expected }.into());
    }
    Ok(patch)
}
