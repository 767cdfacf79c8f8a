//! Runs the image.

use graft_link::{Refusal, Task};
use graft_runtime::Patch;
use zerocopy::IntoBytes as _;

use crate::board::{Board, Clock};
use crate::error::Problem;
use crate::log::info;
use crate::server::{FlashError, Server};

/// The most frames that are run in a second.
pub const FRAMES_PER_SECOND: u32 = 2;
/// Frames for which an image that the host has begun is left alone, if it is not run before: ten seconds.
const FRAMES_HELD: u32 = 10 * FRAMES_PER_SECOND;

/// Swaps that are timed together: one is shorter than a tick.
const SWAPS: u32 = 1000;

impl<B: Board> Server<B> {
    /// Takes the next frame of the camera; whether there is one, or a whole image of the host. An image that the host has
    /// begun is left alone until it is run, but not for ever.
    pub(crate) fn capture(&mut self) -> bool {
        let length = self.tasks.get_or_own(self.serving).input().shape.len();
        if self.held_for > 0 {
            self.held_for -= 1;
        } else if self.board.capture(&mut self.image[..length]) {
            self.image_len = length;
        } else if self.image_len != length {
            graft_link::test_pattern(&mut self.image[..length]);
            self.image_len = length;
        }
        self.image_len == length
    }

    /// A part of the host's next image.
    pub(crate) fn receive_image(
        &mut self,
        offset: u32,
        bytes: &[u8],
    ) -> Result<(), Refusal<'static>> {
        let offset = offset as usize;
        let length = self.image.len() as u32;
        if offset != 0 && offset != self.image_len {
            return Err(Refusal::OutOfOrder {
                expected: self.image_len as u32,
            });
        }
        let place = self
            .image
            .get_mut(offset..)
            .and_then(|rest| rest.get_mut(..bytes.len()));
        place
            .ok_or(Refusal::OutOfRange { length })?
            .copy_from_slice(bytes);
        self.image_len = offset + bytes.len();
        if offset == 0 && self.held_for == 0 {
            self.held_for = FRAMES_HELD;
        }
        Ok(())
    }

    /// The patch of a task.
    pub(crate) fn patch(&self, task: Task) -> Result<&Patch, Refusal<'static>> {
        let slots = self.store.layout().slots;
        self.tasks.get(task).ok_or(match task {
            Task::Slot(slot) if slot < slots => Refusal::Empty { slot },
            Task::Own | Task::Slot(_) => Refusal::NoSuchSlot { slots },
        })
    }

    /// Refuses a task whose image is not there as a whole.
    pub(crate) fn ready(&self, task: Task) -> Result<(), Refusal<'static>> {
        let expected = self.patch(task)?.input().shape.len() as u32;
        let found = self.image_len as u32;
        if found != expected {
            return Err(Refusal::Image { found, expected });
        }
        Ok(())
    }

    /// Runs the image with the served task. The scores that the host asked for stay: it may not have read them yet.
    pub(crate) fn run_frame(&mut self) -> Result<(), Problem<FlashError<B>>> {
        self.ready(self.serving)?;
        let patch = self.tasks.get_or_own(self.serving);
        self.session.run(patch, &self.image[..self.image_len])?;
        Ok(())
    }

    /// Runs the image with a task and keeps the scores; returns the ticks that it took.
    pub(crate) fn run(&mut self, task: Task) -> Result<u32, Problem<FlashError<B>>> {
        self.ready(task)?;
        self.held_for = 0;
        let Self {
            session,
            tasks,
            image,
            board,
            ..
        } = self;
        let start = board.clock().ticks();
        let scores = session.run(tasks.get_or_own(task), &image[..self.image_len])?;
        let ticks = board.clock().ticks().wrapping_sub(start);
        let count = scores.len();
        let room = self.scores.len() as u32;
        let place = self
            .scores
            .get_mut(..count)
            .ok_or(Refusal::OutOfRange { length: room })?;
        place.copy_from_slice(scores);
        self.score_count = count;
        Ok(ticks)
    }

    /// Runs the image with a task, times every layer or fused block and a swap, and logs them.
    pub(crate) fn profile(&mut self, task: Task) -> Result<u32, Problem<FlashError<B>>> {
        self.ready(task)?;
        self.held_for = 0;
        self.layer_count = 0;
        let Self {
            session,
            tasks,
            image,
            board,
            layers,
            ..
        } = self;
        let patch = tasks.get_or_own(task);
        // Layers inside of a fused block have no time of their own.
        layers.fill(0);
        let start = board.clock().ticks();
        let mut last = start;
        session.run_observed(patch, &image[..self.image_len], |layer, _| {
            let now = board.clock().ticks();
            layers[layer] = now.wrapping_sub(last);
            last = board.clock().ticks();
        })?;
        let ticks = board.clock().ticks().wrapping_sub(start);
        self.layer_count = self.backbone.image().layer_count();
        for (layer, ticks) in self.layers[..self.layer_count].iter().enumerate() {
            info!("layer {=usize}: {=u32} ticks", layer, *ticks);
        }
        info!(
            "network: {=u32} ticks of {=u32} a second",
            ticks,
            B::Clock::TICKS_PER_SECOND
        );
        self.profile_swaps(task);
        Ok(ticks)
    }

    /// The time until another patch is what the next frame reads.
    fn profile_swaps(&mut self, task: Task) {
        let serving = self.serving;
        let start = self.board.clock().ticks();
        for swap in 0..SWAPS {
            self.serving = if swap % 2 == 0 { task } else { Task::Own };
            core::hint::black_box(self.tasks.get_or_own(core::hint::black_box(self.serving)));
        }
        let ticks = self.board.clock().ticks().wrapping_sub(start);
        self.serving = serving;
        info!("{=u32} swaps: {=u32} ticks", SWAPS, ticks);
    }

    /// The scores of the last run, as bytes.
    pub(crate) fn score_bytes(&self) -> &[u8] {
        self.scores[..self.score_count].as_bytes()
    }

    /// The ticks of the layers of the last profile, as bytes.
    pub(crate) fn layer_bytes(&self) -> &[u8] {
        self.layers[..self.layer_count].as_bytes()
    }
}
