//! A message: all that leaves a client. What one head said of some public images in a round.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `GFD1` |
//! | 32 | BLAKE3 digest of what clients have in common: [`Federation::digest`] |
//! | 4 | round, counted from 0 |
//! | 1 | head: 0 is the main one, which only sees private labels |
//! | 4 | index of the first public image |
//! | rest | [`Predictions`], as many images as [`Federation::part`] says |
//!
//! All numbers are little endian. The sender is not in it: the transport says who that is, so that a broker can check.

use std::ops::Range;

use graft_patches::Digest;
use serde::{Deserialize, Serialize};

use crate::predictions::{Predictions, PredictionsError};

const MAGIC: [u8; 4] = *b"GFD1";
const HEADER: usize = 4 + 32 + 4 + 1 + 4;
/// Images of a message at most, so that one has less than 128 KB, the least limit of the brokers that devices meet.
pub const PART: usize = 8_000;
/// Bytes of the longest message.
pub const MAX_BYTES: usize = HEADER + PART * crate::predictions::TOP * 3;

/// A federation: what its clients have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Federation {
    /// Of the public images in their order, the labels and the numbers of heads and rounds.
    pub digest: Digest,
    /// Public images.
    pub images: usize,
    /// Classes.
    pub classes: usize,
    /// Heads that say something: all but the last, from which nobody learns.
    pub speaking: usize,
}

/// One head's word on some public images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Counted from 0.
    pub round: u32,
    /// Counted from 0.
    pub head: usize,
    /// Index of the first image.
    pub first: usize,
    /// Of the images from there on.
    pub predictions: Predictions,
}

/// Reasons why bytes are no message of a federation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not even a header.
    #[error("{found} bytes, expected at least {HEADER}")]
    Short {
        /// Bytes.
        found: usize,
    },
    /// More than any message has.
    #[error("{found} bytes, expected at most {MAX_BYTES}")]
    Oversized {
        /// Bytes.
        found: usize,
    },
    /// Something else.
    #[error("no message of a federation, or one of another version")]
    Magic,
    /// Clients with other public images, labels or heads.
    #[error("a message about the public set {found}, expected {expected}")]
    Foreign {
        /// Its digest.
        found: Digest,
        /// That of this federation.
        expected: Digest,
    },
    /// No such head.
    #[error("head {found} of {expected} that speak")]
    Head {
        /// The head.
        found: usize,
        /// Their number.
        expected: usize,
    },
    /// Images that are no part.
    #[error("{found} images from image {first} on, expected {expected}")]
    Images {
        /// Index of the first.
        first: usize,
        /// Their number.
        found: usize,
        /// The number of images of that part; 0 where none begins there.
        expected: usize,
    },
    /// Predictions that no head makes.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
}

impl Federation {
    /// The images of each message of a head and round.
    pub fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let images = self.images;
        let firsts = (0..images).step_by(PART);
        firsts.map(move |first| first..images.min(first + PART))
    }

    /// The images of the part that begins with this one, if one does.
    pub fn part(&self, first: usize) -> Option<Range<usize>> {
        self.parts().find(|part| part.start == first)
    }
}

/// The place of a message, where it is kept until the next one of the same place takes it.
///
/// Even rounds have one place, odd ones another: who is a round behind finds what its round needs still there, and learns
/// what it would have learned at the same time as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// [`turn`] of the round.
    pub turn: usize,
    /// The head.
    pub head: usize,
    /// The part of the images, counted from 0.
    pub part: usize,
}

/// Rounds that are kept at the same time.
pub const TURNS: usize = 2;

/// 0 for even rounds, 1 for odd ones.
pub fn turn(round: u32) -> usize {
    round as usize % TURNS
}

impl Message {
    /// The message as it is sent.
    pub fn to_bytes(&self, federation: &Federation) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(federation.digest.0);
        bytes.extend(self.round.to_le_bytes());
        bytes.push(self.head as u8);
        bytes.extend((self.first as u32).to_le_bytes());
        bytes.extend(self.predictions.to_bytes());
        bytes
    }

    /// Reads a message.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn from_bytes(bytes: &[u8], federation: &Federation) -> Result<Self, MessageError> {
        let found = bytes.len();
        if found > MAX_BYTES {
            return Err(MessageError::Oversized { found });
        }
        let short = MessageError::Short { found };
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(short.clone())?;
        if *magic != MAGIC {
            return Err(MessageError::Magic);
        }
        let (digest, rest) = rest.split_first_chunk().ok_or(short.clone())?;
        let (round, rest) = rest.split_first_chunk().ok_or(short.clone())?;
        let (head, rest) = rest.split_first().ok_or(short.clone())?;
        let (first, rest) = rest.split_first_chunk().ok_or(short)?;
        let digest = Digest(*digest);
        if digest != federation.digest {
            return Err(MessageError::Foreign {
                found: digest,
                expected: federation.digest,
            });
        }
        let head = usize::from(*head);
        if head >= federation.speaking {
            return Err(MessageError::Head {
                found: head,
                expected: federation.speaking,
            });
        }
        let first = u32::from_le_bytes(*first) as usize;
        let predictions = Predictions::from_bytes(rest, federation.classes)?;
        let (found, expected) = (
            predictions.images(),
            federation.part(first).map_or(0, |part| part.len()),
        );
        if expected == 0 || found != expected {
            return Err(MessageError::Images {
                first,
                found,
                expected,
            });
        }
        Ok(Self {
            round: u32::from_le_bytes(*round),
            head,
            first,
            predictions,
        })
    }
}

/// The round that bytes say they are of; 0 where they are too few.
pub fn round_of(bytes: &[u8]) -> u32 {
    let round = bytes.get(36..).and_then(<[u8]>::first_chunk);
    round.map_or(0, |round| u32::from_le_bytes(*round))
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_tests::Random;
    use proptest::prelude::*;

    fn federation(images: usize) -> Federation {
        Federation {
            digest: Digest::of(b"public"),
            images,
            classes: 10,
            speaking: 3,
        }
    }

    fn message(first: usize, images: usize) -> Message {
        Message {
            round: 7,
            head: 2,
            first,
            predictions: Predictions::of(&Random(1).values(10 * images, 3.0), 10),
        }
    }

    #[test]
    fn a_thousand_images_are_less_than_10_kb() {
        let (federation, message) = (federation(1000), message(0, 1000));
        let bytes = message.to_bytes(&federation);
        assert_eq!(
            (bytes.len(), round_of(&bytes), round_of(&bytes[..39])),
            (8045, 7, 0)
        );
        assert_eq!(Message::from_bytes(&bytes, &federation), Ok(message));
    }

    #[test]
    fn many_images_go_in_parts_that_every_broker_takes() {
        let federation = federation(20_001);
        let parts: Vec<_> = federation.parts().collect();
        assert_eq!(parts, [0..8_000, 8_000..16_000, 16_000..20_001]);
        for part in parts {
            let message = message(part.start, part.len());
            let bytes = message.to_bytes(&federation);
            assert!(bytes.len() <= MAX_BYTES && bytes.len() < 128_000);
            assert_eq!(Message::from_bytes(&bytes, &federation), Ok(message));
        }
    }

    #[test]
    fn whatever_is_no_message_is_refused() {
        let federation = federation(9);
        let bytes = message(0, 9).to_bytes(&federation);
        for length in 0..bytes.len() {
            assert!(Message::from_bytes(&bytes[..length], &federation).is_err());
        }
        let changed = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            Message::from_bytes(&bytes, &federation).unwrap_err()
        };
        assert_eq!(changed(0, b'x'), MessageError::Magic);
        assert!(matches!(
            changed(4, bytes[4] ^ 1),
            MessageError::Foreign { .. }
        ));
        assert_eq!(
            changed(40, 3),
            MessageError::Head {
                found: 3,
                expected: 3
            }
        );
        let (first, found, expected) = (1, 9, 0);
        assert_eq!(
            changed(41, 1),
            MessageError::Images {
                first,
                found,
                expected
            }
        );
        let long = vec![0; MAX_BYTES + 1];
        let found = long.len();
        assert_eq!(
            Message::from_bytes(&long, &federation),
            Err(MessageError::Oversized { found })
        );
        let longer = [&bytes[..], &bytes[HEADER..HEADER + 8]].concat();
        assert!(matches!(
            Message::from_bytes(&longer, &federation),
            Err(MessageError::Images { .. })
        ));
    }

    proptest! {
        #[test]
        fn damaged_messages_never_panic(at in 0_usize..117, byte in any::<u8>(), length in 0_usize..117) {
            let federation = federation(9);
            let mut bytes = message(0, 9).to_bytes(&federation);
            bytes[at] = byte;
            let _ = Message::from_bytes(&bytes[..length], &federation);
        }
    }
}
