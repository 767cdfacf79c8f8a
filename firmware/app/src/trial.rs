//! Activates patches on trial, and goes back.

use graft_link::{Refusal, Task};
use graft_patches::Digest;
use graft_slots::{Ended, Task as SlotTask};

use crate::board::Board;
use crate::error::Problem;
use crate::log::{info, warning};
use crate::server::{FlashError, Server};

impl<B: Board> Server<B> {
    /// Checks the patch once more and serves it until the next reset, or until it is confirmed.
    pub(crate) fn activate(&mut self, slot: u8) -> Result<(), Problem<FlashError<B>>> {
        let is_trial = self.store.trial() == Some(slot);
        if is_trial || self.store.active() == SlotTask::Slot(slot) {
            self.serve(Task::Slot(slot));
            return Ok(());
        }
        let verified = self.bind_slot(slot)?;
        self.store.activate(verified)?;
        self.serve(Task::Slot(slot));
        if !self.check_scores(slot) {
            warning!("slot {=u8} failed its self-check", slot);
            self.go_back(Ended::SelfCheck)?;
            return Err(Refusal::SelfCheck.into());
        }
        Ok(())
    }

    /// The patch on trial is good, and is what is served after a reset.
    pub(crate) fn confirm(&mut self) -> Result<(), Problem<FlashError<B>>> {
        self.store.confirm()?;
        info!("confirmed");
        Ok(())
    }

    /// Ends the trial, or goes back to what was active before.
    pub(crate) fn go_back(&mut self, why: Ended) -> Result<(), Problem<FlashError<B>>> {
        let written = self.store.roll_back(why);
        // Also where no record could be written: a trial has ended then, nothing else has changed.
        if self.store.trial().is_none() {
            self.serve_active();
        }
        Ok(written?)
    }

    /// Whether the patch can be run, and gives the scores for the test pattern that the host expects, where it says so. The
    /// pattern takes the place of the image.
    fn check_scores(&mut self, slot: u8) -> bool {
        let task = Task::Slot(slot);
        self.image_len = self.tasks.get_or_own(task).input().shape.len();
        graft_link::test_pattern(&mut self.image[..self.image_len]);
        if self.run(task).is_err() {
            return false;
        }
        let contents = self.store.slot(slot).and_then(|slot| slot.contents);
        match contents.and_then(|contents| contents.answer) {
            Some(answer) => Digest::of(self.score_bytes()).0.starts_with(&answer),
            None => self.scores[..self.score_count]
                .iter()
                .all(|score| score.is_finite()),
        }
    }
}
