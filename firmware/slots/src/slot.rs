//! Slots, the patches in them, and how flash is divided among them.

/// Most slots that a store can have.
pub const MAX_SLOTS: usize = 8;
/// Most tasks that a store can keep counters of.
pub const MAX_TASKS: usize = 16;

/// The division of flash: two pages of records at offset 0, then the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The number of slots, 1 to [`MAX_SLOTS`].
    pub slots: u8,
    /// Bytes of each: a multiple of the page.
    pub slot_len: u32,
    /// The number of tasks whose counters are kept, 0 to [`MAX_TASKS`]: of all that ever come, for none is forgotten.
    pub tasks: u8,
}

/// A patch's place among those of its task, as its signature says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The task; zeros stand for none.
    pub task: [u8; 8],
    /// Grows with each patch of the task: a lower one than was seen is not installed.
    pub counter: u64,
}

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing, or a part of a patch.
    Empty,
    /// A patch that was checked.
    Written,
    /// A patch that is served until the next reset, unless it is confirmed.
    Trial,
    /// A patch that was confirmed.
    Good,
}

/// The facts of a patch that come before its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Bytes of the whole file.
    pub length: u32,
    /// BLAKE3 of the whole file.
    pub digest: [u8; 32],
    /// The right answer of the self-check, where the host knows it. The store only keeps it.
    pub answer: Option<[u8; 8]>,
}

/// The contents of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Whether there is a patch, and how far it is trusted.
    pub state: State,
    /// The patch; `None` if [`State::Empty`].
    pub contents: Option<Upload>,
}

/// The values that a backbone runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The backbone's own.
    Own,
    /// Those of the patch in a slot.
    Slot(u8),
}

/// The reason for leaving a trial, or the active patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The host asked.
    Asked,
    /// A reset came before it was confirmed.
    Reset,
    /// It gave other scores than it should.
    SelfCheck,
    /// Its bytes in flash have changed.
    Damaged,
}
