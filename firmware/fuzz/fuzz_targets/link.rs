//! Any bytes on the line: as they are, as the contents of a frame whose checksum is right, and before good frames, which must
//! arrive.
#![no_main]

use graft_link::{FRAME, Frame, Receiver, Reply, Request, checksum, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut receiver = Receiver::new();
    read(&mut receiver, bytes);
    read(&mut receiver, &framed(bytes));
    read(&mut receiver, bytes);
    let mut buffer = [0; FRAME];
    let line = encode(7, &Request::Confirm, &mut buffer).expect("it is short");
    let (last, before) = line.split_last().expect("it is not empty");
    for &byte in before {
        let _ = receiver.push(byte);
    }
    let frame = receiver
        .push(*last)
        .expect("a frame ends")
        .expect("it is good");
    assert_eq!((frame.id, frame.message()), (7, Ok(Request::Confirm)));
});

/// A frame of these contents: version, id, message.
fn framed(contents: &[u8]) -> Vec<u8> {
    let whole = [contents, &checksum(contents).to_le_bytes()].concat();
    let mut line = vec![0];
    line.extend(cobs::encode_vec(&whole));
    line.push(0);
    line
}

fn read(receiver: &mut Receiver, line: &[u8]) {
    for &byte in line {
        if let Some(Ok(frame)) = receiver.push(byte) {
            answer(&frame);
        }
    }
}

/// What can be read can be written, and is read again as the same.
fn answer(frame: &Frame<'_>) {
    let mut buffer = [0; FRAME];
    if let Ok(request) = frame.message::<Request<'_>>() {
        let line = encode(frame.id, &request, &mut buffer);
        let mut receiver = Receiver::new();
        let again = arrives(
            &mut receiver,
            line.expect("what fits a frame fits it again"),
        );
        assert_eq!((again.id, again.message()), (frame.id, Ok(request)));
    }
    if let Ok(reply) = frame.message::<Reply<'_>>() {
        let line = encode(frame.id, &reply, &mut buffer);
        let mut receiver = Receiver::new();
        let again = arrives(
            &mut receiver,
            line.expect("what fits a frame fits it again"),
        );
        assert_eq!((again.id, again.message()), (frame.id, Ok(reply)));
    }
}

/// The only frame of a line.
fn arrives<'a>(receiver: &'a mut Receiver, line: &[u8]) -> Frame<'a> {
    let (last, before) = line.split_last().expect("it is not empty");
    for &byte in before {
        assert!(receiver.push(byte).is_none(), "a frame has not ended yet");
    }
    receiver
        .push(*last)
        .expect("a frame ends")
        .expect("it is good")
}
