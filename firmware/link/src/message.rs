//! The messages between host and device.
//!
//! The host asks, the device answers; offsets and lengths are in bytes. See the crate's documentation for their order.

use serde::{Deserialize, Serialize};

/// Most bytes of an image, a patch or metadata in one message.
pub const CHUNK: usize = 512;

/// The values that a backbone runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// The backbone's own.
    Own,
    /// Those of the patch in a slot.
    Slot(u8),
}

/// A request of the host.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// The device: [`Reply::Device`].
    Device,
    /// The use of its memory: [`Reply::Memory`].
    Memory,
    /// A slot: [`Reply::Slot`].
    Slot(u8),
    /// The metadata section of a task's image, from an offset: [`Reply::Bytes`].
    Metadata {
        /// The backbone's or a patch's.
        task: Task,
        /// The offset to read on from.
        offset: u32,
    },
    /// Of which size a task takes images: [`Reply::Input`].
    Input(Task),
    /// A patch is coming. The slot is empty from now on: [`Reply::Done`].
    Begin {
        /// One that is neither active nor on trial.
        slot: u8,
        /// Of the whole file.
        length: u32,
        /// BLAKE3 of the whole file.
        digest: [u8; 32],
        /// The first bytes of the BLAKE3 digest of the scores (f32, little endian) that the patch gives for
        /// [`crate::test_pattern`]: the device runs it when the patch is activated, and goes back if they differ.
        answer: Option<[u8; 8]>,
    },
    /// The CRC-32 of a part of the slot of the upload, as it is in flash: [`Reply::Checksum`].
    Checksum {
        /// The offset where it begins.
        offset: u32,
        /// At most a page.
        length: u32,
    },
    /// A part of the upload, in order or from the start of a page, which is erased: [`Reply::Done`].
    Write {
        /// Its offset.
        offset: u32,
        /// At most [`CHUNK`].
        bytes: &'a [u8],
    },
    /// The upload is complete: digest and patch are checked: [`Reply::Done`].
    Finish,
    /// Checks the patch once more and serves it on trial: [`Reply::Done`].
    Activate(u8),
    /// The patch on trial is good: [`Reply::Done`].
    Confirm,
    /// Ends the trial, or goes back to what was active before: [`Reply::Done`].
    Rollback,
    /// A part of the input image, 8-bit pixels, NHWC: [`Reply::Done`].
    Image {
        /// Its offset; 0 begins another image.
        offset: u32,
        /// At most [`CHUNK`].
        bytes: &'a [u8],
    },
    /// Runs the image: [`Reply::Ran`].
    Run(Option<Task>),
    /// Scores of the last run that was asked for, little-endian f32, from an offset: [`Reply::Bytes`].
    Scores(u32),
    /// Runs the image, and times every layer: [`Reply::Ran`].
    Profile(Option<Task>),
    /// Ticks of the layers of the last profile, little-endian u32, from an offset: [`Reply::Bytes`].
    Layers(u32),
    /// Adds the image to the examples of a class, a new one if the device does not know it: [`Reply::Taught`].
    Teach(&'a str),
    /// Takes a class away with all of its examples: [`Reply::Done`].
    Forget(&'a str),
    /// Makes a head of what was taught, writes it to a slot and serves it on trial: [`Reply::Learned`].
    Learn {
        /// One that is neither active nor on trial.
        slot: u8,
        /// The task's name.
        name: &'a str,
        /// The factor of scores, then eta and gamma of each step, little-endian f32; empty for the device's own.
        recipe: &'a [u8],
    },
    /// What was taught: [`Reply::Learner`].
    Learner,
    /// A class that was taught, counted from 0: [`Reply::Class`].
    Class(u8),
    /// Starts anew, as after power on; comes before the restart: [`Reply::Done`].
    Restart,
}

/// An answer of the device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// It is done.
    Done,
    /// Answer to [`Request::Device`].
    Device(Device<'a>),
    /// Answer to [`Request::Memory`].
    Memory(Memory),
    /// Answer to [`Request::Slot`].
    Slot(Slot),
    /// Answer to [`Request::Input`]: height, width and channels, of which a patch may have its own.
    Input([u32; 3]),
    /// Answer to [`Request::Checksum`].
    Checksum(u32),
    /// A run has finished.
    Ran {
        /// The task that it ran with.
        task: Task,
        /// The number of scores.
        scores: u32,
        /// The number of those that were timed; 0 where none was asked for.
        layers: u32,
        /// The time that it took, in ticks of [`Device::ticks_per_second`].
        ticks: u32,
    },
    /// A part of something longer.
    Bytes {
        /// All bytes of it.
        total: u32,
        /// At most [`CHUNK`].
        bytes: &'a [u8],
    },
    /// An example was added.
    Taught {
        /// Examples of its class.
        examples: u32,
        /// The time that it took, with the embedding, in ticks of [`Device::ticks_per_second`].
        ticks: u32,
    },
    /// A head was made and is served on trial.
    Learned {
        /// Bytes of the patch.
        length: u32,
        /// The time that it took to make it, without writing it, in ticks.
        ticks: u32,
    },
    /// Answer to [`Request::Learner`].
    Learner(Learner),
    /// Answer to [`Request::Class`].
    Class {
        /// Its name.
        label: &'a str,
        /// Its examples.
        examples: u32,
    },
    /// It is not done, and why.
    Refused(Refusal<'a>),
}

/// What was taught, and how much more can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learner {
    /// Classes with examples.
    pub classes: u8,
    /// Classes that there is memory for.
    pub capacity: u8,
    /// Dimensions that embeddings are projected to.
    pub dimensions: u16,
    /// Bytes of the sums.
    pub bytes: u32,
}

/// The description and the state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device<'a> {
    /// Board and CPU.
    pub board: &'a str,
    /// Version of the firmware.
    pub firmware: &'a str,
    /// Id of the backbone.
    pub backbone: [u8; 32],
    /// Height, width and channels of the backbone's own input.
    pub input: [u32; 3],
    /// Kernels that it runs on.
    pub kernels: &'a str,
    /// The number of slots.
    pub slots: u8,
    /// Bytes of each.
    pub slot_len: u32,
    /// Bytes of a page, which is erased as a whole.
    pub page_len: u32,
    /// The task that runs with no other task named.
    pub serving: Task,
    /// The task that it serves after a reset.
    pub active: Task,
    /// The slot on trial.
    pub trial: Option<u8>,
    /// The task that a rollback without a trial goes back to.
    pub previous: Option<Task>,
    /// The reason why it last went back.
    pub ended: Option<Ended>,
    /// Number of the newest record of the slots: it grows with each change.
    pub sequence: u32,
    /// Frames run since it started.
    pub frames: u32,
    /// The unit of time of [`Reply::Ran`].
    pub ticks_per_second: u32,
    /// Ids of the keys that it trusts; none where it runs whatever it is given.
    pub keys: [Option<[u8; 8]>; 2],
    /// Tasks that it keeps signature counters of, and of how many it can.
    pub counters: [u8; 2],
}

/// The use of memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Code and constants in flash.
    pub code: u32,
    /// The backbone, in flash.
    pub backbone: u32,
    /// All static memory, with the arena.
    pub statics: u32,
    /// Memory reserved for the arena.
    pub arena: u32,
    /// The part of it that the session uses.
    pub arena_used: u32,
    /// Memory reserved for the stack.
    pub stack: u32,
    /// The most that was ever used of it.
    pub stack_used: u32,
}

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Whether there is a patch, and how far it is trusted.
    pub state: State,
    /// Length of the patch; 0 where empty.
    pub length: u32,
    /// BLAKE3 of the patch; zeros where empty.
    pub digest: [u8; 32],
    /// Whether the host gave scores to check it by.
    pub has_answer: bool,
    /// The signature of the patch, where it has one. A device that trusts keys has checked it.
    pub signed: Option<Signed>,
}

/// What the signature of a patch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Id of the key.
    pub key: [u8; 8],
    /// The patch's place among those of its task.
    pub counter: u64,
}

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The reason for leaving a trial, or the active patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The reason why a request is not done. Nothing has changed, unless it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal<'a> {
    /// The frame's checksum is right, but it holds no request of this version.
    #[error("the device does not understand the request")]
    Malformed,
    /// No such slot.
    #[error("there is no such slot: the device has {slots}")]
    NoSuchSlot {
        /// The number of slots.
        slots: u8,
    },
    /// The slot is served.
    #[error("slot {slot} is in use")]
    InUse {
        /// The slot.
        slot: u8,
    },
    /// The patch is longer than a slot.
    #[error("the patch has {length} bytes, a slot has {capacity}")]
    TooLong {
        /// Of the patch.
        length: u32,
        /// Of a slot.
        capacity: u32,
    },
    /// Nothing is being uploaded.
    #[error("no upload has begun, or the device has restarted")]
    NoUpload,
    /// A part of the upload comes out of order.
    #[error("the device expects the upload to go on at byte {expected}")]
    OutOfOrder {
        /// The offset where it goes on.
        expected: u32,
    },
    /// A part of the upload that begins or ends inside of what the flash writes at once.
    #[error("parts of an upload are multiples of {multiple} bytes, but for the last")]
    Unaligned {
        /// In bytes.
        multiple: u32,
    },
    /// The digest of what is in the slot is not that of the upload.
    #[error("what is in flash is not the patch that was sent")]
    Digest,
    /// It is not a patch for this backbone.
    #[error("the device refuses the patch: {reason}")]
    Patch {
        /// The fault.
        reason: &'a str,
    },
    /// The slot holds no patch.
    #[error("slot {slot} is empty")]
    Empty {
        /// The slot.
        slot: u8,
    },
    /// Another patch is on trial.
    #[error("slot {slot} is on trial")]
    OnTrial {
        /// The slot.
        slot: u8,
    },
    /// No patch is on trial.
    #[error("no patch is on trial")]
    NoTrial,
    /// There is nothing to go back to.
    #[error("there is nothing to roll back to")]
    NoPrevious,
    /// The patch gives other scores than it should, and was rolled back.
    #[error("the patch failed its self-check and was rolled back")]
    SelfCheck,
    /// The image is not complete, or of another size.
    #[error("the image has {found} bytes, the task takes {expected}")]
    Image {
        /// Bytes of the image so far.
        found: u32,
        /// Bytes of the task's input.
        expected: u32,
    },
    /// The patch is older than another one of its task that was installed, and was never confirmed here.
    #[error("the patch has counter {found}, a patch of its task with {expected} was installed")]
    Older {
        /// Counter of the patch.
        found: u64,
        /// The highest one of its task.
        expected: u64,
    },
    /// A patch of yet another task.
    #[error("the device keeps the counters of {tasks} tasks, and this is another one")]
    NoCounter {
        /// The number of tasks.
        tasks: u8,
    },
    /// The firmware was built without learning.
    #[error("the device cannot learn")]
    CannotLearn,
    /// A device that runs only signed patches cannot sign its own.
    #[error("the device runs only signed patches, and cannot sign what it learns")]
    OnlySigned,
    /// A class that was not taught.
    #[error("the device was not taught such a class")]
    NoSuchClass,
    /// No memory for another class.
    #[error("the device has memory for {capacity} classes")]
    NoMoreClasses {
        /// Most classes.
        capacity: u8,
    },
    /// A class name that is too long.
    #[error("names of classes have at most {most} bytes")]
    LongLabel {
        /// In bytes.
        most: u8,
    },
    /// Too little memory to make a head in.
    #[error("the device has {found} bytes to learn in, it takes {expected} or more")]
    NoRoom {
        /// Bytes of the arena.
        found: u32,
        /// Bytes that are known to be needed.
        expected: u32,
    },
    /// What was taught makes no head.
    #[error("the device cannot make a head of what it was taught: {remedy}")]
    Learn {
        /// What to do.
        remedy: &'a str,
    },
    /// An offset or length beyond what there is.
    #[error("there are only {length} bytes")]
    OutOfRange {
        /// Bytes that there are.
        length: u32,
    },
    /// The flash memory failed.
    #[error("the flash memory of the device failed")]
    Flash,
}

impl Refusal<'_> {
    /// The remedy.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed
            | Self::OutOfOrder { .. }
            | Self::OutOfRange { .. }
            | Self::Unaligned { .. } => "use the patchtool of the same release as the firmware",
            Self::NoSuchSlot { .. } => "the slots are numbered from 0: name one that is there",
            Self::InUse { .. } => "take another slot, or activate another patch first",
            Self::TooLong { .. } => {
                "export a smaller patch (fewer sites, half precision), or build the firmware with larger slots"
            }
            Self::NoUpload => "push again: what is in flash already is kept",
            Self::Digest => "push again with all pages; if it stays, the flash memory is worn",
            Self::Patch { .. } => "export the patch for the backbone that the device has",
            Self::Empty { .. } => "push a patch to it first",
            Self::OnTrial { .. } => "confirm it or roll it back first",
            Self::NoTrial => "activate a patch first; a reset ends a trial that is not confirmed",
            Self::NoPrevious => "activate the patch of another slot instead",
            Self::SelfCheck => {
                "the device serves what it served before: push the patch again, or export it anew"
            }
            Self::Older { .. } => {
                "push a newer patch; to one that was confirmed on this device it can go back by activate or rollback"
            }
            Self::NoCounter { .. } => "build the firmware for more tasks",
            Self::CannotLearn => {
                "build the firmware with learning (firmware/mps2/build an386-learn)"
            }
            Self::OnlySigned => "learn on the host with patchtool generate, and sign the patch",
            Self::NoSuchClass => "patchtool device info lists the classes that it was taught",
            Self::NoMoreClasses { .. } => "forget a class first, or build the firmware for more",
            Self::LongLabel { .. } => "give the class a shorter name",
            Self::NoRoom { .. } => "forget a class, or build the firmware with a larger arena",
            Self::Learn { .. } => {
                "patchtool device info shows what it was taught; a restart begins anew"
            }
            Self::Image { .. } => "send an image of the size of the task's input",
            Self::Flash => "restart the device; if it stays, its flash memory is broken",
        }
    }
}
