//! Frames: what keeps messages apart on a line that loses bytes, and tells a good one from a bad one.

use cobs::{CobsEncoder, DecodeResult, DecoderState};
use crc::{CRC_32_ISO_HDLC, Crc, Digest, NoTable};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::VERSION;
use crate::message::CHUNK;

/// Ends a frame; nothing else on the line is zero.
const DELIMITER: u8 = 0;
/// Version and id.
const HEADER: usize = 3;
/// Most bytes of a message: beside a chunk, what it is (1), where it goes (at most 5) and its length (2).
const MESSAGE: usize = CHUNK + 8;
/// Most bytes of a frame before COBS.
const DECODED: usize = HEADER + MESSAGE + size_of::<u32>();
/// Most bytes of a frame on the line, with its delimiters.
pub const FRAME: usize = 1 + cobs::max_encoding_length(DECODED) + 1;

/// Without a table, which would be 1 kB of a microcontroller's flash.
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// The CRC-32 of frames and of [`Reply::Checksum`](crate::Reply::Checksum): that of ISO HDLC, Ethernet and zip.
pub fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// The reason why bytes are no frame, or a frame no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Noise, or a frame that has lost or changed bytes: the peer is to be asked again.
    #[error("a frame arrived damaged")]
    Damaged,
    /// More than a frame can hold: texts of a message, or noise.
    #[error("a frame is longer than {FRAME} bytes: expected messages of at most {MESSAGE}")]
    TooLong,
    /// The peer speaks another version.
    #[error("the peer speaks version {found} of the protocol, expected version {expected}")]
    Version {
        /// That of the peer.
        found: u8,
        /// This one's.
        expected: u8,
        /// Of the frame, to answer it.
        id: u16,
    },
    /// The frame is whole, but holds no such message.
    #[error("a frame holds no message of version {VERSION} of the protocol")]
    Malformed,
}

/// Writes the frame of a message; what is returned goes on the line.
///
/// # Errors
/// [`FrameError::TooLong`] where texts or bytes of the message are longer than [`CHUNK`].
pub fn encode<'a>(
    id: u16,
    message: &impl Serialize,
    buffer: &'a mut [u8; FRAME],
) -> Result<&'a [u8], FrameError> {
    encode_version(VERSION, id, message, buffer)
}

fn encode_version<'a>(
    version: u8,
    id: u16,
    message: &impl Serialize,
    buffer: &'a mut [u8; FRAME],
) -> Result<&'a [u8], FrameError> {
    let (start, rest) = buffer.split_at_mut(1);
    start[0] = DELIMITER;
    let mut encoder = Encoder {
        cobs: CobsEncoder::new(rest),
        crc: CRC.digest(),
    };
    let [low, high] = id.to_le_bytes();
    let length = encoder
        .try_extend(&[version, low, high])
        .and_then(|()| postcard::serialize_with_flavor(message, encoder))
        .map_err(|_| FrameError::TooLong)?;
    let end = 1 + length;
    *buffer.get_mut(end).ok_or(FrameError::TooLong)? = DELIMITER;
    Ok(&buffer[..=end])
}

/// Takes the bytes of a frame as they are made.
struct Encoder<'a> {
    cobs: CobsEncoder<'a>,
    crc: Digest<'static, u32, NoTable>,
}

impl Flavor for Encoder<'_> {
    /// Bytes after COBS.
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // The encoder takes an empty slice for the end of a run.
        if bytes.is_empty() {
            return Ok(());
        }
        self.crc.update(bytes);
        let pushed = self.cobs.push(bytes);
        pushed.map_err(|_| postcard::Error::SerializeBufferFull)
    }

    fn finalize(mut self) -> postcard::Result<usize> {
        let crc = self.crc.finalize().to_le_bytes();
        let pushed = self.cobs.push(&crc);
        pushed.map_err(|_| postcard::Error::SerializeBufferFull)?;
        Ok(self.cobs.finalize())
    }
}

/// A whole frame of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Of the request, and of the answer to it.
    pub id: u16,
    /// With `id`, tells a repeated request from another one.
    pub checksum: u32,
    message: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The message in it.
    ///
    /// # Errors
    /// [`FrameError::Malformed`] where there is no such message, or more than one.
    pub fn message<T: Deserialize<'a>>(&self) -> Result<T, FrameError> {
        match postcard::take_from_bytes(self.message) {
            Ok((message, [])) => Ok(message),
            _ => Err(FrameError::Malformed),
        }
    }
}

/// Finds frames in the bytes that come from the line.
#[derive(Debug)]
pub struct Receiver {
    cobs: DecoderState,
    decoded: [u8; DECODED],
    /// Bytes of the frame so far, also those that have no room.
    length: usize,
}

impl Receiver {
    /// A receiver that has seen nothing yet.
    pub const fn new() -> Self {
        Self {
            cobs: DecoderState::Idle,
            decoded: [0; DECODED],
            length: 0,
        }
    }

    /// Takes the next byte. The last one of a frame gives that frame, the last one of anything else what is wrong with it;
    /// then the receiver is ready for the next frame.
    ///
    /// # Errors
    /// All but [`FrameError::Malformed`].
    pub fn push(&mut self, byte: u8) -> Option<Result<Frame<'_>, FrameError>> {
        if let DecoderState::Idle = self.cobs {
            self.length = 0;
        }
        match self.cobs.feed(byte) {
            Ok(DecodeResult::NoData) => None,
            Ok(DecodeResult::DataContinue(byte)) => {
                if let Some(next) = self.decoded.get_mut(self.length) {
                    *next = byte;
                }
                self.length = self.length.saturating_add(1);
                None
            }
            Ok(DecodeResult::DataComplete) => Some(self.frame()),
            Err(_) => Some(Err(FrameError::Damaged)),
        }
    }

    fn frame(&self) -> Result<Frame<'_>, FrameError> {
        let decoded = self.decoded.get(..self.length).ok_or(FrameError::TooLong)?;
        let (content, stored) = decoded.split_last_chunk().ok_or(FrameError::Damaged)?;
        let checksum = checksum(content);
        let [version, low, high, message @ ..] = content else {
            return Err(FrameError::Damaged);
        };
        let id = u16::from_le_bytes([*low, *high]);
        if checksum != u32::from_le_bytes(*stored) {
            return Err(FrameError::Damaged);
        }
        if *version != VERSION {
            return Err(FrameError::Version {
                found: *version,
                expected: VERSION,
                id,
            });
        }
        Ok(Frame {
            id,
            checksum,
            message,
        })
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
