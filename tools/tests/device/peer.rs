//! Peers that are no device of this release.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use graft_link::{FRAME, Receiver, Reply, Request, VERSION, checksum, encode};
use patchtool::device::{Client, DeviceError, Patience, Port};

/// A peer that answers each request with the bytes that `reply` makes of its id and itself.
fn peer(mut reply: impl FnMut(u16, Request<'_>) -> Vec<u8> + Send + 'static) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut receiver = Receiver::new();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            if let Some(Ok(frame)) = receiver.push(byte[0]) {
                let request = frame.message().expect("a request");
                let bytes = reply(frame.id, request);
                let _ = stream.write_all(&bytes);
            }
        }
    });
    let port: Port = format!("tcp:{address}").parse().expect("it is one");
    Client::open(&port)
        .expect("it listens")
        .with_patience(Patience {
            first: Duration::from_millis(20),
            times: 4,
        })
}

fn frame(id: u16, reply: Reply<'_>) -> Vec<u8> {
    encode(id, &reply, &mut [0; FRAME])
        .expect("it fits")
        .to_vec()
}

#[test]
fn a_device_of_another_version_is_named_with_both() {
    let mut client = peer(|id, _| {
        let [low, high] = id.to_le_bytes();
        let mut bytes = vec![VERSION + 8, low, high, 1, 2, 3];
        let crc = checksum(&bytes);
        bytes.extend(crc.to_le_bytes());
        let mut encoded = vec![0; 64];
        let length = cobs::encode(&bytes, &mut encoded);
        encoded.truncate(length);
        encoded.push(0);
        encoded
    });
    let error = client.device().unwrap_err();
    assert!(
        matches!(error, DeviceError::Version { found, expected } if found == VERSION + 8 && expected == VERSION)
    );
    let text = error.to_string();
    assert!(
        text.contains("version 9") && text.contains("version 1"),
        "{text}"
    );
}

#[test]
fn a_silent_peer_is_asked_with_more_and_more_time_and_given_up() {
    let mut client = peer(|_, _| Vec::new());
    let start = Instant::now();
    let error = client.device().unwrap_err();
    // 20 + 40 + 80 + 160 ms.
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(matches!(error, DeviceError::NoAnswer { .. }), "{error:?}");
}

#[test]
fn a_lost_answer_is_asked_for_with_the_same_id() {
    let mut ids = Vec::new();
    let mut client = peer(move |id, _| {
        ids.push(id);
        match ids[..] {
            [first, second, third] => {
                assert_eq!((first, second), (third, third));
                frame(id, Reply::Done)
            }
            _ => Vec::new(),
        }
    });
    client.confirm().unwrap();
}

#[test]
fn late_and_double_answers_are_dropped() {
    // Each answer comes with a copy of itself and of the one before.
    let mut before = Vec::new();
    let mut client = peer(move |id, request| {
        let answer = match request {
            Request::Checksum { .. } | Request::Confirm => frame(id, Reply::Done),
            _ => frame(id, Reply::Input([id.into(), 2, 3])),
        };
        let all = [&before[..], &answer, &answer].concat();
        before = answer;
        all
    });
    for _ in 0..5 {
        client.confirm().unwrap();
        let [id, ..] = client.input(patchtool::device::Task::Own).unwrap();
        let [next, ..] = client.input(patchtool::device::Task::Own).unwrap();
        assert_eq!((id as u16).wrapping_add(1), next as u16);
    }
}

#[test]
fn answers_to_something_else_are_refused() {
    let mut client = peer(|id, _| frame(id, Reply::Checksum(1)));
    assert!(matches!(client.device(), Err(DeviceError::Answer)));
    assert!(matches!(client.confirm(), Err(DeviceError::Answer)));
}

#[test]
fn endless_answers_are_refused() {
    let mut client = peer(|id, _| {
        let bytes = &[0; 8];
        frame(
            id,
            Reply::Bytes {
                total: u32::MAX,
                bytes,
            },
        )
    });
    let metadata = client.metadata(patchtool::device::Task::Own);
    assert!(matches!(metadata, Err(DeviceError::Answer)));
    let mut client = peer(|id, _| {
        frame(
            id,
            Reply::Bytes {
                total: 4,
                bytes: &[],
            },
        )
    });
    let metadata = client.metadata(patchtool::device::Task::Own);
    assert!(matches!(metadata, Err(DeviceError::Answer)));
}

#[test]
fn a_port_without_a_device_and_a_lost_one_are_errors_with_hints() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("it has one")
    };
    for port in [format!("tcp:{address}"), "/dev/no-such-port".into()] {
        let error = Client::open(&port.parse().expect("it is one"))
            .err()
            .expect("nobody is there");
        assert!(matches!(error, DeviceError::Open { .. }), "{error:?}");
        assert!(error.to_string().contains(&port) && !error.hint().is_empty());
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("tcp:{}", listener.local_addr().expect("it has one"));
    let mut client = Client::open(&port.parse().expect("it is one")).expect("it listens");
    drop(listener.accept().expect("a connection"));
    let error = client.device().unwrap_err();
    assert!(matches!(error, DeviceError::Lost { .. }), "{error:?}");
}
