//! Hosts that mean no good.

use std::io::{ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use graft_client::{State, Task};
use graft_link::{FRAME, FrameError, Receiver, Request, VERSION, checksum, encode};
use graft_tests::Random;

use crate::device::{Device, pushed_to};

/// Time that an answer or a frame may take: half a second of the device's time is many of a busy host's.
const PATIENCE: Duration = Duration::from_secs(60);

/// The device answers, and knows what it knew.
fn lives(device: &mut Device) -> Result<()> {
    let before = device.client()?.device()?.frames;
    device.sees("own", Some(Task::Own))?;
    let start = Instant::now();
    while device.client()?.device()?.frames == before {
        ensure!(start.elapsed() < PATIENCE, "no frame is run any more");
    }
    Ok(())
}

/// The served task, and every slot that is not empty, still gives the scores of the patch that was pushed there.
fn serves_good_slots(device: &mut Device) -> Result<()> {
    let (serving, slots) = {
        let mut client = device.client()?;
        let info = client.device()?;
        ensure!(
            info.active == info.serving && info.trial.is_none(),
            "serves {:?}, active {:?}, on trial {:?}",
            info.serving,
            info.active,
            info.trial
        );
        let mut slots = vec![Task::Own];
        for slot in 0..info.slots {
            if client.slot(slot)?.state != State::Empty {
                slots.push(Task::Slot(slot));
            }
        }
        (info.serving, slots)
    };
    ensure!(slots.contains(&serving), "serves {serving:?}, of {slots:?}");
    ensure!(slots.len() > 1, "no slot is left");
    for slot in slots {
        let task = pushed_to(slot).with_context(|| format!("nothing was pushed to {slot:?}"))?;
        device.sees(task, Some(slot))?;
        if slot == serving {
            device.sees(task, None)?;
        }
    }
    Ok(())
}

/// A whole frame of any version and contents, with the right checksum.
fn frame(version: u8, id: u16, message: &[u8]) -> Vec<u8> {
    let [low, high] = id.to_le_bytes();
    let mut bytes = vec![version, low, high];
    bytes.extend_from_slice(message);
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    let mut frame = vec![0];
    frame.extend(cobs::encode_vec(&bytes));
    frame.push(0);
    frame
}

fn random_bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count)
        .map(|_| (random.value() * 128.0 + 128.0) as u8)
        .collect()
}

pub(crate) fn noise(device: &mut Device) -> Result<()> {
    let mut random = Random(1);
    {
        let mut wire = device.qemu()?.wire()?;
        // Longer than any buffer, without an end.
        wire.write_all(&vec![0x55; 4 * FRAME])?;
        for length in 0..200 {
            wire.write_all(&random_bytes(&mut random, length))?;
        }
    }
    lives(device)?;
    let mut buffer = [0; FRAME];
    let whole = encode(7, &Request::Device, &mut buffer)?.to_vec();
    for half in 1..whole.len() {
        device.qemu()?.wire()?.write_all(&whole[..half])?;
    }
    lives(device)?;
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        device.qemu()?.wire()?.write_all(&changed)?;
    }
    lives(device)?;
    other_version(device)
}

/// A host of another version learns the device's.
fn other_version(device: &mut Device) -> Result<()> {
    {
        let mut wire = device.qemu()?.wire()?;
        wire.write_all(&frame(VERSION + 1, 77, &[0]))?;
        let answered = version_of_answer(&mut wire, 77)?;
        ensure!(answered == VERSION, "the answer has version {answered}");
    }
    lives(device)
}

/// The version of the answer with this id.
fn version_of_answer(wire: &mut TcpStream, id: u16) -> Result<u8> {
    wire.set_read_timeout(Some(PATIENCE))?;
    let mut receiver = Receiver::new();
    loop {
        let mut byte = [0];
        wire.read_exact(&mut byte)
            .context("no answer to a host of another version")?;
        match receiver.push(byte[0]) {
            Some(Ok(frame)) if frame.id == id => return Ok(VERSION),
            Some(Err(FrameError::Version { found, id: of, .. })) if of == id => return Ok(found),
            _ => {}
        }
    }
}

/// Requests that are whole but senseless. They may push, activate and roll back, as any host may.
pub(crate) fn requests(device: &mut Device) -> Result<()> {
    let mut random = Random(2);
    {
        let mut wire = device.qemu()?.wire()?;
        wire.set_read_timeout(Some(Duration::from_millis(1)))?;
        for id in 0..2000 {
            let length = 1 + (id as usize * 7) % 40;
            let mut message = random_bytes(&mut random, length);
            message[0] %= 20;
            wire.write_all(&frame(VERSION, id, &message))?;
            drain(&mut wire)?;
        }
    }
    lives(device)?;
    device.pull_the_plug();
    device.switch_on()?;
    lives(device)?;
    serves_good_slots(device)
}

/// Reads what is there.
fn drain(wire: &mut TcpStream) -> Result<()> {
    let mut bytes = [0; 1024];
    match wire.read(&mut bytes) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A host that asks for more than the line holds, reads nothing, and goes.
pub(crate) fn deaf(device: &mut Device) -> Result<()> {
    let before = device.client()?.device()?;
    // What was logged before is of no interest.
    device.qemu()?.log();
    {
        let mut wire = device.qemu()?.wire()?;
        wire.set_write_timeout(Some(Duration::from_secs(2)))?;
        let mut buffer = [0; FRAME];
        for id in 0..20_000 {
            let request = Request::Metadata {
                task: graft_link::Task::Own,
                offset: 0,
            };
            // The line is full at some time.
            if wire.write_all(encode(id, &request, &mut buffer)?).is_err() {
                break;
            }
        }
    }
    lives(device)?;
    let after = device.client()?.device()?;
    ensure!(
        (after.active, after.sequence, after.ended)
            == (before.active, before.sequence, before.ended),
        "what it serves has changed: {before:?}, then {after:?}"
    );
    // That is logged at every start, and after a panic or fault.
    let log = device.qemu()?.log();
    let started = |line: &&String| line.contains("serving") || line.starts_with("ERROR");
    if let Some(line) = log.iter().find(started) {
        bail!("the device has started anew: {line}");
    }
    serves_good_slots(device)
}
