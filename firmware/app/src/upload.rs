//! Takes patches from the host.

use graft_link::{Refusal, Task};
use graft_slots::Upload;

use crate::board::Board;
use crate::error::Problem;
use crate::log::info;
use crate::server::{FlashError, Server, bind_fitting, stamp};

impl<B: Board> Server<B> {
    /// The slot is empty from now on.
    pub(crate) fn begin(&mut self, slot: u8, upload: Upload) -> Result<(), Problem<FlashError<B>>> {
        // Frames may be run with a slot that is neither active nor on trial: the button's choice.
        if self.serving == Task::Slot(slot) {
            return Err(Refusal::InUse { slot }.into());
        }
        self.store.begin(slot, upload)?;
        self.tasks.set(slot, None);
        Ok(())
    }

    /// Checks the upload: digest, then the patch itself, in place.
    pub(crate) fn finish(&mut self) -> Result<(), Problem<FlashError<B>>> {
        let (mut patch, backbone, image_len) = (None, &self.backbone, self.image.len());
        let slot = self.store.finish(|flash, part| {
            // SAFETY: the patch goes to the tasks, which drop it (`begin`) before its slot is written again.
            let bound = unsafe { bind_fitting::<B>(flash, part, backbone, image_len) }?;
            let stamp = stamp(&bound, backbone);
            patch = Some(bound);
            Ok::<_, Problem<_>>(stamp)
        })?;
        info!("slot {=u8} holds a patch", slot);
        self.tasks.set(slot, patch);
        Ok(())
    }
}
