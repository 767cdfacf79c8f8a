//! The serial protocol between `patchtool` and a device that runs Graft.
//!
//! The host asks with a [`Request`], the device answers it with one [`Reply`], and only then comes the next request. Any
//! line that carries bytes will do: a UART, USB, TCP. It may lose and change bytes.
//!
//! # A frame
//! Each message is one frame, which begins and ends with a zero; the two between frames may be one and the same.
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | zero: ends noise that came before |
//! | | the following with COBS, which leaves no zero in it and takes a byte more for every 254 or part of them |
//! | 1 | [`VERSION`] |
//! | 2 | id, little endian: of the request, and again of the answer to it |
//! | n | the message in [postcard](https://postcard.jamesmunns.com/wire-format) |
//! | 4 | CRC-32 of the bytes before it (version, id, message), little endian: [`checksum`] |
//! | 1 | zero |
//!
//! A frame has at most [`FRAME`] bytes: that of a [`CHUNK`]. What is no such frame is dropped up to the next zero.
//!
//! # Loss
//! A host that gets no answer sends the same frame again. A frame with the id and checksum of the one before is that one
//! repeated: the device sends its answer again, and does nothing a second time. A host drops answers with other ids than
//! that of its request, and begins with an arbitrary id, so that its first request is not taken for the last of another
//! host.
//!
//! # An upload
//! The device keeps no state of an upload but which slot it goes to, and the host needs none of what was sent before a
//! lost connection or a power cut: both compare what is in flash.
//!
//! 1. [`Request::Begin`]: the slot is empty from now on; what is in flash stays.
//! 2. For each page of the slot that the patch covers (the last may be short): [`Request::Checksum`]. Where it differs from
//!    that of the patch, the page is sent with as many [`Request::Write`] as it takes, in order. The first one, which goes
//!    to the page's start, erases it.
//! 3. [`Request::Finish`]: the device reads all of it, compares the digest, checks the patch against its backbone, and only
//!    then commits that the slot holds a patch.
//!
//! [`Request::Activate`] starts a trial, [`Request::Confirm`] ends it well. A device that is reset before goes back to what
//! it served.
//!
//! # Versions
//! A change of messages is a new [`VERSION`]. What is around them stays: the frame, and in it version, id and CRC. So every
//! version reads the version of every other one: a device answers a frame of another version with any frame of its own,
//! and the host can name both.
#![no_std]
#[cfg(test)]
extern crate std;

mod frame;
mod message;

pub use frame::{FRAME, Frame, FrameError, Receiver, checksum, encode};
pub use message::{
    CHUNK, Device, Ended, Learner, Memory, Refusal, Reply, Request, Signed, Slot, State, Task,
};

/// Version of the protocol. A peer of another version is refused.
pub const VERSION: u8 = 3;

/// Writes the image of the self-check: pixels that depend on nothing but their place.
pub fn test_pattern(pixels: &mut [u8]) {
    // Xorshift; the seed is arbitrary, but not zero.
    let mut state = 0x9e37_79b9_u32;
    for pixel in pixels {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *pixel = (state >> 24) as u8;
    }
}
