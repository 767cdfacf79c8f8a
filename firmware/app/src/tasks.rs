//! The patches in the slots, bound to the backbone.

use core::ops::Range;

use graft_link::Task;
use graft_runtime::{Backbone, Error, Patch, Verify};

use crate::board::MappedFlash;

/// The backbone's own values, and a patch for each slot that holds one: to swap is to take another one of them.
pub(crate) struct Tasks {
    own: Patch,
    slots: &'static mut [Option<Patch>],
}

impl Tasks {
    pub(crate) fn new(backbone: &Backbone, slots: &'static mut [Option<Patch>]) -> Self {
        Self {
            own: backbone.identity(),
            slots,
        }
    }

    /// `None` where the slot holds no patch.
    pub(crate) fn get(&self, task: Task) -> Option<&Patch> {
        match task {
            Task::Own => Some(&self.own),
            Task::Slot(slot) => self.slots.get(usize::from(slot))?.as_ref(),
        }
    }

    /// The patch that a task runs with; the backbone's own values where its slot holds no patch.
    pub(crate) fn get_or_own(&self, task: Task) -> &Patch {
        self.get(task).unwrap_or(&self.own)
    }

    pub(crate) fn set(&mut self, slot: u8, patch: Option<Patch>) {
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = patch;
        }
    }
}

/// Binds the patch that lies in this part of the flash, in place, and checks every byte of it.
///
/// # Safety
/// The part is not written or erased while the patch, or a clone of it, lives.
pub(crate) unsafe fn bind<F: MappedFlash>(
    flash: &F,
    part: Range<u32>,
    backbone: &Backbone,
) -> Result<Patch, Error> {
    let [start, end] = [part.start, part.end].map(|offset| offset as usize);
    // SAFETY: the store has checked that the part is inside of the flash, which is readable for as long as the program runs
    // ([`MappedFlash`]); the caller sees to it that nothing changes it.
    let bytes =
        unsafe { core::slice::from_raw_parts(flash.base().add(start), end.saturating_sub(start)) };
    Patch::from_static(bytes, backbone, Verify::Full)
}
