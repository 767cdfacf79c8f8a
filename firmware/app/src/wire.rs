//! The slots' terms in those of the link.

use graft_link as link;
use graft_runtime::Patch;
use graft_slots as slots;

pub(crate) fn task(task: slots::Task) -> link::Task {
    match task {
        slots::Task::Own => link::Task::Own,
        slots::Task::Slot(slot) => link::Task::Slot(slot),
    }
}

pub(crate) fn ended(ended: slots::Ended) -> link::Ended {
    match ended {
        slots::Ended::Asked => link::Ended::Asked,
        slots::Ended::Reset => link::Ended::Reset,
        slots::Ended::SelfCheck => link::Ended::SelfCheck,
        slots::Ended::Damaged => link::Ended::Damaged,
    }
}

/// The slot, with the patch that is bound to it.
pub(crate) fn slot(slot: slots::Slot, patch: Option<&Patch>) -> link::Slot {
    let contents = slot.contents.as_ref();
    link::Slot {
        state: match slot.state {
            slots::State::Empty => link::State::Empty,
            slots::State::Written => link::State::Written,
            slots::State::Trial => link::State::Trial,
            slots::State::Good => link::State::Good,
        },
        length: contents.map_or(0, |upload| upload.length),
        digest: contents.map_or([0; 32], |upload| upload.digest),
        has_answer: contents.is_some_and(|upload| upload.answer.is_some()),
        signed: patch.and_then(Patch::signed).map(|signed| link::Signed {
            key: signed.key.0,
            counter: signed.counter,
        }),
    }
}
