use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::message::{
    Device, Ended, Learner, Memory, Refusal, Reply, Request, Signed, Slot, State, Task,
};

/// The parts of messages.
#[derive(Clone, Debug)]
struct Parts {
    which: usize,
    byte: u8,
    numbers: [u32; 8],
    digest: [u8; 32],
    bytes: Vec<u8>,
    text: std::string::String,
}

fn parts() -> impl Strategy<Value = Parts> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..=CHUNK),
        vec(1..=u8::MAX, CHUNK - 20..=CHUNK),
        vec(Just(0), 0..=CHUNK)
    ];
    let numbers = prop_oneof![any::<[u32; 8]>(), Just([u32::MAX; 8])];
    (
        0_usize..64,
        any::<u8>(),
        numbers,
        any::<[u8; 32]>(),
        bytes,
        ".{0,60}",
    )
        .prop_map(|(which, byte, numbers, digest, bytes, text)| Parts {
            which,
            byte,
            numbers,
            digest,
            bytes,
            text,
        })
}

impl Parts {
    fn one_of<T: Copy>(&self, all: &[T]) -> T {
        all[self.which % all.len()]
    }

    fn task(&self) -> Task {
        self.one_of(&[Task::Own, Task::Slot(self.byte)])
    }

    fn request(&self) -> Request<'_> {
        let (offset, length, bytes) = (self.numbers[0], self.numbers[1], &self.bytes[..]);
        let answer = self.digest.first_chunk().copied();
        self.one_of(&[
            Request::Device,
            Request::Memory,
            Request::Slot(self.byte),
            Request::Metadata {
                task: self.task(),
                offset,
            },
            Request::Input(self.task()),
            Request::Begin {
                slot: self.byte,
                length,
                digest: self.digest,
                answer: answer.filter(|_| self.byte < 128),
            },
            Request::Checksum { offset, length },
            Request::Write { offset, bytes },
            Request::Finish,
            Request::Activate(self.byte),
            Request::Confirm,
            Request::Rollback,
            Request::Image { offset, bytes },
            Request::Run(Some(self.task())),
            Request::Scores(offset),
            Request::Profile(None),
            Request::Layers(offset),
            Request::Teach(&self.text),
            Request::Forget(&self.text),
            Request::Learn {
                slot: self.byte,
                name: &self.text,
                recipe: &self.digest,
            },
            Request::Learner,
            Request::Class(self.byte),
            Request::Restart,
        ])
    }

    fn reply(&self) -> Reply<'_> {
        let [a, b, c, d, e, f, g, _] = self.numbers;
        self.one_of(&[
            Reply::Taught {
                examples: a,
                ticks: b,
            },
            Reply::Learned {
                length: a,
                ticks: b,
            },
            Reply::Learner(Learner {
                classes: self.byte,
                capacity: 64,
                dimensions: a as u16,
                bytes: b,
            }),
            Reply::Class {
                label: &self.text,
                examples: a,
            },
            Reply::Done,
            Reply::Device(self.device()),
            Reply::Memory(Memory {
                code: a,
                backbone: b,
                statics: c,
                arena: d,
                arena_used: e,
                stack: f,
                stack_used: g,
            }),
            Reply::Slot(Slot {
                state: self.one_of(&[State::Empty, State::Written, State::Trial, State::Good]),
                length: a,
                digest: self.digest,
                has_answer: self.byte < 128,
                signed: (self.byte > 64).then_some(Signed {
                    key: [self.byte; 8],
                    counter: u64::from(a) << 9,
                }),
            }),
            Reply::Input([a, b, c]),
            Reply::Checksum(a),
            Reply::Ran {
                task: self.task(),
                scores: a,
                layers: b,
                ticks: c,
            },
            Reply::Bytes {
                total: a,
                bytes: &self.bytes,
            },
            Reply::Refused(self.refusal()),
        ])
    }

    fn device(&self) -> Device<'_> {
        Device {
            board: &self.text,
            firmware: &self.text,
            backbone: self.digest,
            input: [self.numbers[0], self.numbers[1], self.numbers[2]],
            kernels: "",
            slots: self.byte,
            slot_len: self.numbers[3],
            page_len: self.numbers[4],
            serving: self.task(),
            active: self.task(),
            trial: Some(self.byte),
            previous: None,
            ended: Some(self.one_of(&[
                Ended::Asked,
                Ended::Reset,
                Ended::SelfCheck,
                Ended::Damaged,
            ])),
            sequence: self.numbers[5],
            frames: self.numbers[6],
            ticks_per_second: self.numbers[7],
            keys: [None, Some([self.byte; 8])],
            counters: [self.byte, 16],
        }
    }

    fn refusal(&self) -> Refusal<'_> {
        let (slot, [a, b, ..]) = (self.byte, self.numbers);
        self.one_of(&[
            Refusal::Malformed,
            Refusal::NoSuchSlot { slots: slot },
            Refusal::InUse { slot },
            Refusal::TooLong {
                length: a,
                capacity: b,
            },
            Refusal::NoUpload,
            Refusal::OutOfOrder { expected: a },
            Refusal::Digest,
            Refusal::Patch { reason: &self.text },
            Refusal::Empty { slot },
            Refusal::OnTrial { slot },
            Refusal::NoTrial,
            Refusal::Older {
                found: a.into(),
                expected: b.into(),
            },
            Refusal::NoCounter { tasks: slot },
            Refusal::NoPrevious,
            Refusal::SelfCheck,
            Refusal::Image {
                found: a,
                expected: b,
            },
            Refusal::CannotLearn,
            Refusal::OnlySigned,
            Refusal::NoSuchClass,
            Refusal::NoMoreClasses { capacity: slot },
            Refusal::LongLabel { most: slot },
            Refusal::NoRoom {
                found: a,
                expected: b,
            },
            Refusal::Learn { remedy: &self.text },
            Refusal::OutOfRange { length: a },
            Refusal::Flash,
        ])
    }
}

fn line(id: u16, message: &impl Serialize) -> Vec<u8> {
    encode(id, message, &mut [0; FRAME]).unwrap().to_vec()
}

/// The events that a receiver makes of bytes; of frames their ids.
fn received(bytes: &[u8]) -> Vec<Result<u16, FrameError>> {
    let mut receiver = Receiver::new();
    let mut all = Vec::new();
    for &byte in bytes {
        all.extend(
            receiver
                .push(byte)
                .map(|result| result.map(|frame| frame.id)),
        );
    }
    all
}

/// The check, and the only frame, in a line.
fn with_frame(line: &[u8], check: impl Fn(Frame<'_>)) {
    let mut receiver = Receiver::new();
    let mut count = 0;
    for &byte in line {
        if let Some(frame) = receiver.push(byte) {
            check(frame.unwrap());
            count += 1;
        }
    }
    assert_eq!(count, 1);
}

#[test]
fn the_layout_is_the_documented_one() {
    // Version 3, id 0x0201, request 10 and its CRC-32; each zero is replaced by the way to the next one.
    let crc = checksum(&[3, 1, 2, 10]).to_le_bytes();
    assert!(!crc.contains(&0));
    let expected = [&[0, 9, 3, 1, 2, 10], &crc[..], &[0]].concat();
    assert_eq!(line(0x0201, &Request::Confirm), expected);
    assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
}

#[test]
fn the_longest_frame_is_that_of_a_full_chunk_without_zeros() {
    let request = Request::Write {
        offset: u32::MAX,
        bytes: &[255; CHUNK],
    };
    let reply = Reply::Bytes {
        total: u32::MAX,
        bytes: &[255; CHUNK],
    };
    assert_eq!(line(0xffff, &request).len(), FRAME);
    assert_eq!(line(0xffff, &reply).len(), FRAME);
}

#[test]
fn messages_longer_than_a_frame_are_refused() {
    for length in CHUNK..2 * CHUNK {
        let request = Request::Write {
            offset: u32::MAX,
            bytes: &[1; 2 * CHUNK][..length],
        };
        let mut buffer = [0; FRAME];
        let encoded = encode(1, &request, &mut buffer);
        assert_eq!(encoded.is_ok(), length == CHUNK, "{length}: {encoded:?}");
    }
}

#[test]
fn a_frame_of_another_version_names_both_and_its_id() {
    let mut buffer = [0; FRAME];
    let line = encode_version(VERSION + 1, 77, &Request::Device, &mut buffer).unwrap();
    let error = received(line).pop().unwrap().unwrap_err();
    let (found, expected) = (VERSION + 1, VERSION);
    assert_eq!(
        error,
        FrameError::Version {
            found,
            expected,
            id: 77
        }
    );
    let text = std::string::ToString::to_string(&error);
    assert!(
        text.contains(&std::format!("version {found}"))
            && text.contains(&std::format!("version {expected}")),
        "{text}"
    );
}

#[test]
fn more_or_less_than_a_message_is_malformed() {
    with_frame(&line(1, &(Reply::Done, 7_u8)), |frame| {
        assert_eq!(frame.message::<Reply<'_>>(), Err(FrameError::Malformed));
    });
    with_frame(&line(1, &()), |frame| {
        assert_eq!(frame.message::<Reply<'_>>(), Err(FrameError::Malformed));
    });
}

#[test]
fn only_delimiters_are_nothing() {
    assert_eq!(received(&[0; 1000]), []);
}

#[test]
fn endless_noise_takes_no_memory_and_ends_with_the_delimiter() {
    let mut bytes = std::vec![255; 1_000_000];
    bytes.extend(line(5, &Request::Device));
    let all = received(&bytes);
    assert!(matches!(all[..], [Err(_), Ok(5)]), "{all:?}");
    // As above, but the noise ends like a frame.
    let run = [&[255][..], &[1; 254]].concat();
    let frame = [run.repeat(5), std::vec![1, 0]].concat();
    assert_eq!(received(&frame), [Err(FrameError::TooLong)]);
}

proptest! {
    #[test]
    fn every_message_comes_back(id: u16, parts in parts()) {
        with_frame(&line(id, &parts.request()), |frame| {
            assert_eq!((frame.id, frame.message()), (id, Ok(parts.request())));
        });
        with_frame(&line(id, &parts.reply()), |frame| {
            assert_eq!((frame.id, frame.message()), (id, Ok(parts.reply())));
        });
    }

    #[test]
    fn any_bytes_are_survived_and_followed_by_a_good_frame(
        noise in vec(prop_oneof![Just(0), any::<u8>()], 0..3000),
        parts in parts(),
    ) {
        let all = received(&[&noise[..], &line(9, &parts.request())].concat());
        prop_assert_eq!(all.last(), Some(&Ok(9)));
        // A CRC-32 does not let noise of this length pass by chance.
        prop_assert!(all[..all.len() - 1].iter().all(Result::is_err));
    }

    #[test]
    fn flipped_bits_are_found(parts in parts(), at: prop::sample::Index, bit in 0..8) {
        let mut bytes = line(3, &parts.reply());
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        // The first delimiter ends what was before: that it is no zero any more makes noise of the frame.
        bytes.extend(line(4, &Reply::Done));
        let all = received(&bytes);
        prop_assert_eq!(all.last(), Some(&Ok(4)));
        prop_assert!(!all.contains(&Ok(3)));
    }

    #[test]
    fn cut_frames_are_dropped_and_the_next_one_is_found(
        parts in parts(),
        from: prop::sample::Index,
        count in 1_usize..600,
    ) {
        let mut bytes = line(3, &parts.reply());
        // All but the delimiters, of which the next frame has another one.
        let from = 1 + from.index(bytes.len() - 2);
        let end = (from + count).min(bytes.len() - 1);
        bytes.drain(from..end);
        bytes.extend(line(4, &Reply::Done));
        let all = received(&bytes);
        prop_assert_eq!(all.last(), Some(&Ok(4)));
        prop_assert!(!all.contains(&Ok(3)));
    }

    #[test]
    fn frames_back_to_back_all_arrive(all in vec(parts(), 0..8)) {
        let ids = 0..all.len() as u16;
        let bytes: Vec<u8> = ids.clone().zip(&all).flat_map(|(id, parts)| line(id, &parts.reply())).collect();
        prop_assert_eq!(received(&bytes), ids.map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn any_message_is_read_or_refused(bytes in vec(any::<u8>(), 0..600)) {
        let frame = Frame { id: 0, checksum: 0, message: &bytes };
        let is_known = |error| error == FrameError::Malformed;
        prop_assert!(frame.message::<Request<'_>>().err().is_none_or(is_known));
        prop_assert!(frame.message::<Reply<'_>>().err().is_none_or(is_known));
    }
}
