//! Peers that are no device of this release.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use graft_client::{Client, DeviceError, Patience, Port};
use graft_link::{FRAME, Receiver, Reply, Request, VERSION, checksum, encode};

/// A peer that answers each request with the bytes that `reply` makes of its id and itself.
fn peer(reply: impl FnMut(u16, Request<'_>) -> Vec<u8> + Send + 'static) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = port_of(&listener);
    thread::spawn(move || serve(&listener, reply));
    Client::open(&port)
        .expect("it listens")
        .with_patience(Patience {
            first: Duration::from_millis(20),
            times: 4,
        })
}

fn port_of(listener: &TcpListener) -> Port {
    let address = listener.local_addr().expect("it has one");
    format!("tcp:{address}").parse().expect("it is one")
}

/// A port that nothing listens on.
fn closed_port() -> Port {
    port_of(&TcpListener::bind("127.0.0.1:0").expect("a free port"))
}

/// Answers the next connection until it ends.
fn serve(listener: &TcpListener, mut reply: impl FnMut(u16, Request<'_>) -> Vec<u8>) {
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
        text.contains(&format!("version {}", VERSION + 8))
            && text.contains(&format!("version {VERSION}")),
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
        let answer = if matches!(request, Request::Checksum { .. } | Request::Confirm) {
            frame(id, Reply::Done)
        } else {
            frame(id, Reply::Input([id.into(), 2, 3]))
        };
        let all = [&before[..], &answer, &answer].concat();
        before = answer;
        all
    });
    for _ in 0..5 {
        client.confirm().unwrap();
        let [id, ..] = client.input(graft_client::Task::Own).unwrap();
        let [next, ..] = client.input(graft_client::Task::Own).unwrap();
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
    let metadata = client.metadata(graft_client::Task::Own);
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
    let metadata = client.metadata(graft_client::Task::Own);
    assert!(matches!(metadata, Err(DeviceError::Answer)));
}

#[test]
fn a_port_without_a_device_and_a_lost_one_are_errors_with_hints() {
    let serial = "/dev/no-such-port".parse().expect("it is one");
    for port in [closed_port(), serial] {
        let error = Client::open(&port).err().expect("nobody is there");
        assert!(matches!(error, DeviceError::Open { .. }), "{error:?}");
        assert!(error.to_string().contains(&port.to_string()) && !error.hint().is_empty());
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut client = Client::open(&port_of(&listener)).expect("it listens");
    drop(listener.accept().expect("a connection"));
    let error = client.device().unwrap_err();
    assert!(matches!(error, DeviceError::Lost { .. }), "{error:?}");
}

/// A device with nothing in its slots.
const DEVICE: graft_link::Device<'_> = graft_link::Device {
    board: "test",
    firmware: "0.0.0",
    backbone: [0; 32],
    input: [1; 3],
    kernels: "reference",
    slots: 0,
    slot_len: 0,
    page_len: 4096,
    serving: graft_link::Task::Own,
    active: graft_link::Task::Own,
    trial: None,
    previous: None,
    ended: None,
    sequence: 1,
    frames: 0,
    ticks_per_second: 1,
    keys: [None; 2],
    counters: [0; 2],
};

/// Far more than any of it takes.
const AMPLE: Duration = Duration::from_secs(60);

#[test]
fn a_device_that_is_still_starting_is_waited_for() {
    let port = closed_port();
    let late = port.to_string();
    let device = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        let address = late.trim_start_matches("tcp:");
        let listener = TcpListener::bind(address).expect("it is still free");
        // A bridge is there before what is behind it, which then misses the first question.
        drop(listener.accept().expect("a connection"));
        let mut asked = 0;
        serve(&listener, |id, request| {
            asked += 1;
            if !matches!(request, Request::Device) {
                frame(id, Reply::Done)
            } else if asked == 1 {
                Vec::new()
            } else {
                frame(id, Reply::Device(DEVICE))
            }
        });
        asked
    });
    let mut client = Client::wait(&port, AMPLE).expect("the device comes");
    client.confirm().unwrap();
    drop(client);
    assert_eq!(device.join().expect("no panic"), 3);
}

#[test]
fn a_device_that_never_comes_is_waited_for_until_the_time_is_up() {
    let (start, time) = (Instant::now(), Duration::from_millis(250));
    let error = Client::wait(&closed_port(), time).err();
    assert!(matches!(error, Some(DeviceError::Open { .. })), "{error:?}");
    assert!(start.elapsed() >= time);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let error = Client::wait(&port_of(&silent), time).err();
    assert!(
        matches!(error, Some(DeviceError::NoAnswer { .. })),
        "{error:?}"
    );
}

#[test]
fn what_a_device_says_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = port_of(&listener);
    // It accepts one connection: a second one would wait.
    let device = thread::spawn(move || serve(&listener, |id, _| frame(id, Reply::Done)));
    let error = Client::wait(&port, AMPLE).err();
    assert!(matches!(error, Some(DeviceError::Answer)), "{error:?}");
    device.join().expect("no panic");
}

#[test]
fn patience_takes_the_time_that_there_is() {
    for seconds in [0.2, 1.0, 2.9, 3.0, 120.0, 1e6, 4e9] {
        let time = Duration::from_secs_f64(seconds);
        let Patience { first, times } = Patience::within(time);
        let all = first * ((1 << times) - 1);
        assert!(
            all <= time && time - all < Duration::from_millis(1),
            "{seconds}"
        );
        assert!((1..=16).contains(&times));
    }
    assert_eq!(Patience::within(Duration::from_secs(120)).times, 6);
}
