//! Reasons why a device does not do what it is asked to.

use std::io;
use std::time::Duration;

use graft_link::{FrameError, Refusal};
use graft_patches::Digest;

use crate::port::Port;

/// Reasons why a device does not do what it is asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is nothing to talk to.
    #[error("cannot open {port}")]
    Open {
        /// The port.
        port: Port,
        /// The system's error.
        source: io::Error,
    },
    /// The line is gone. The system's error is kept as text: a command whose own output is cut off ends well, this does not.
    #[error("lost the connection to the device at {port}: {reason}")]
    Lost {
        /// The port.
        port: Port,
        /// The system's error.
        reason: String,
    },
    /// The line is there, but nobody answers.
    #[error("no answer from {port} within {} s", .waited.as_secs_f32())]
    NoAnswer {
        /// The port.
        port: Port,
        /// Time that was waited.
        waited: Duration,
    },
    /// The device has firmware of another release.
    #[error("the device speaks version {found} of the protocol, this patchtool version {expected}")]
    Version {
        /// Of the device.
        found: u8,
        /// Of this tool.
        expected: u8,
    },
    /// A frame that cannot be written, or an answer that cannot be read.
    #[error(transparent)]
    Frame(FrameError),
    /// An answer, but to something else.
    #[error("the device gives another answer than was asked for")]
    Answer,
    /// The bytes in flash are others than were sent.
    #[error("the device says: {}", Refusal::Digest)]
    Digest,
    /// The patch was tried and gave wrong scores.
    #[error("the device says: {}", Refusal::SelfCheck)]
    SelfCheck,
    /// The firmware was built without learning.
    #[error("the device says: {}", Refusal::CannotLearn)]
    CannotLearn,
    /// Any other thing that the device refuses.
    #[error("the device says: {text}")]
    Refused {
        /// Its words.
        text: String,
        /// Advice to the user.
        hint: &'static str,
    },
    /// A file of or for another backbone.
    #[error("the file is of backbone {found:.12}, the device has {expected:.12}")]
    OtherBackbone {
        /// That of the file.
        found: Digest,
        /// That of the device.
        expected: Digest,
    },
    /// Every slot is needed.
    #[error(
        "none of the {slots} slots is free: each is active, on trial or what a rollback goes back to"
    )]
    NoFreeSlot {
        /// Their number.
        slots: u8,
    },
    /// Metadata in a slot that cannot be read.
    #[error("the device has metadata that this patchtool cannot read")]
    Metadata,
}

impl DeviceError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Open {
                port: Port::Tcp(_), ..
            } => "start the simulator or bridge, and check host and port",
            Self::Open { .. } => {
                "check that the device is connected, the name of the port, and that you may open it"
            }
            Self::Lost { .. } => {
                "check the cable and run the command again: a push goes on where it was cut"
            }
            Self::NoAnswer { .. } => {
                "check port, --baud and that the device runs Graft's firmware; then reset the device"
            }
            Self::Version { .. } | Self::Frame(_) | Self::Answer | Self::Metadata => {
                "use the patchtool of the same release as the firmware"
            }
            Self::Digest => Refusal::Digest.hint(),
            Self::SelfCheck => Refusal::SelfCheck.hint(),
            Self::CannotLearn => Refusal::CannotLearn.hint(),
            Self::Refused { hint, .. } => hint,
            Self::OtherBackbone { .. } => {
                "use the backbone that the device has, and export the patch for it"
            }
            Self::NoFreeSlot { .. } => {
                "name one with --slot, after activating or rolling back another"
            }
        }
    }
}

impl From<Refusal<'_>> for DeviceError {
    fn from(refusal: Refusal<'_>) -> Self {
        match refusal {
            Refusal::Digest => Self::Digest,
            Refusal::SelfCheck => Self::SelfCheck,
            Refusal::CannotLearn => Self::CannotLearn,
            Refusal::Malformed
            | Refusal::NoSuchSlot { .. }
            | Refusal::InUse { .. }
            | Refusal::TooLong { .. }
            | Refusal::NoUpload
            | Refusal::OutOfOrder { .. }
            | Refusal::Unaligned { .. }
            | Refusal::Patch { .. }
            | Refusal::Empty { .. }
            | Refusal::OnTrial { .. }
            | Refusal::NoTrial
            | Refusal::NoPrevious
            | Refusal::Older { .. }
            | Refusal::NoCounter { .. }
            | Refusal::Image { .. }
            | Refusal::OnlySigned
            | Refusal::NoSuchClass
            | Refusal::NoMoreClasses { .. }
            | Refusal::LongLabel { .. }
            | Refusal::NoRoom { .. }
            | Refusal::Learn { .. }
            | Refusal::OutOfRange { .. }
            | Refusal::Flash => Self::Refused {
                text: refusal.to_string(),
                hint: refusal.hint(),
            },
        }
    }
}
