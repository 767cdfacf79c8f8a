//! Any bytes on the line: as they are, and between good frames, which must arrive.
#![no_main]

use graft_link::{FRAME, Receiver, Reply, Request, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut receiver = Receiver::new();
    let mut buffer = [0; FRAME];
    for &byte in bytes {
        if let Some(Ok(frame)) = receiver.push(byte) {
            let id = frame.id;
            if let Ok(request) = frame.message::<Request<'_>>() {
                encode(id, &request, &mut buffer).expect("what fits a frame fits it again");
            }
            if let Ok(reply) = frame.message::<Reply<'_>>() {
                encode(id, &reply, &mut buffer).expect("what fits a frame fits it again");
            }
        }
    }
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
