//! Writes the seed corpora of the fuzz targets: `cargo run --manifest-path firmware/fuzz/Cargo.toml --example seeds`.

#[path = "../fuzz_targets/device/mod.rs"]
mod device;

use std::fs;
use std::path::Path;

use device::{CAPACITY, LAYOUT, Nor, serve, take};
use graft_link::{
    Device, Ended, FRAME, Learner, Refusal, Reply, Request, Signed, Slot, State, Task, VERSION,
    checksum, encode,
};
use graft_slots::Store;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Kinds of steps, see [`take`].
const BEGIN: u8 = 0;
const WRITE: u8 = 2;
const FINISH: u8 = 4;
const ACTIVATE: u8 = 5;
const CONFIRM: u8 = 6;
const ROLL_BACK: u8 = 7;

/// The number of a step.
const fn step(kind: u8, argument: u8) -> u8 {
    9 * argument + kind
}

/// An upload whose length and slot follow from its number, signed with a counter that is a number, too.
fn upload(number: u8, counter: u8) -> [u8; 4] {
    let slot = number % 3;
    [
        step(BEGIN, number),
        step(WRITE, number),
        step(FINISH, counter),
        step(ACTIVATE, slot),
    ]
}

/// Flash that was blank before these steps.
fn flash_after(steps: &[u8]) -> Vec<u8> {
    let mut flash = Nor::new(vec![0xff; CAPACITY], ChaCha8Rng::seed_from_u64(0));
    let mut store = Store::open(&mut flash, LAYOUT).expect("it is blank");
    for &step in steps {
        take(&mut store, step);
        serve(&mut store);
    }
    flash.bytes
}

fn slots() -> Vec<(&'static str, Vec<u8>)> {
    let confirmed = [&upload(9, 7)[..], &[step(CONFIRM, 0)]].concat();
    let both = [&confirmed[..], &upload(10, 11), &[step(CONFIRM, 0)]].concat();
    let on_trial = [&confirmed[..], &upload(10, 11)].concat();
    let input = |steps: &[u8], flash: Vec<u8>| [&[steps.len() as u8], steps, &flash].concat();
    let mut damaged = flash_after(&both);
    // The first byte of the patch that is served.
    damaged[CAPACITY / 3 * 2] ^= 1;
    vec![
        (
            "slots/life",
            input(&[&both[..], &[step(ROLL_BACK, 0)]].concat(), Vec::new()),
        ),
        (
            "slots/good",
            input(&[step(ROLL_BACK, 0)], flash_after(&both)),
        ),
        (
            "slots/trial",
            input(&[step(CONFIRM, 0)], flash_after(&on_trial)),
        ),
        ("slots/older", input(&upload(12, 6), flash_after(&both))),
        ("slots/damaged", input(&[step(ROLL_BACK, 0)], damaged)),
    ]
}

fn frame(id: u16, message: Result<&Request<'_>, &Reply<'_>>) -> Vec<u8> {
    let mut buffer = [0; FRAME];
    let line = match message {
        Ok(request) => encode(id, request, &mut buffer),
        Err(reply) => encode(id, reply, &mut buffer),
    };
    line.expect("it is short").to_vec()
}

fn link() -> Vec<(&'static str, Vec<u8>)> {
    let begin = Request::Begin {
        slot: 2,
        length: 5760,
        digest: std::array::from_fn(|at| at as u8),
        answer: Some(*b"12345678"),
    };
    let write = Request::Write {
        offset: 1024,
        bytes: &[7; 64],
    };
    let device = Reply::Device(Device {
        board: "mps2-an386",
        firmware: "0.1.0",
        backbone: [3; 32],
        input: [96, 96, 3],
        kernels: "smlad",
        slots: 2,
        slot_len: 1 << 16,
        page_len: 1 << 12,
        serving: Task::Slot(1),
        active: Task::Own,
        trial: Some(1),
        previous: None,
        ended: Some(Ended::SelfCheck),
        sequence: 17,
        frames: 1000,
        ticks_per_second: 25_000_000,
        keys: [Some(*b"key-one!"), None],
        counters: [3, 8],
    });
    let learn = Request::Learn {
        slot: 1,
        name: "letters",
        // Two steps, and a confidence.
        recipe: &[1.5f32, 1.0, 7.0, 0.0, 7.5].map(f32::to_le_bytes).concat(),
    };
    let learner = Reply::Learner(Learner {
        classes: 2,
        capacity: 8,
        dimensions: 64,
        bytes: 68_896,
    });
    let slot = Reply::Slot(Slot {
        state: State::Good,
        length: 5760,
        digest: [5; 32],
        has_answer: true,
        signed: Some(Signed {
            key: *b"key-one!",
            counter: 1_700_000_000,
        }),
    });
    let refused = Reply::Refused(Refusal::Patch { reason: "wrong" });
    let older = Reply::Refused(Refusal::Older {
        found: 3,
        expected: 5,
    });
    let noise = b"\0noise\0".to_vec();
    // What the target puts into a frame.
    let contents = [VERSION, 7, 0, 0].to_vec();
    let mut old = vec![VERSION - 1, 3, 0, 0];
    old.extend(checksum(&old).to_le_bytes());
    let other_version = [&[0], &cobs::encode_vec(&old)[..], &[0]].concat();
    vec![
        ("link/begin", frame(1, Ok(&begin))),
        ("link/write", frame(2, Ok(&write))),
        ("link/device", frame(3, Err(&device))),
        ("link/slot", frame(4, Err(&slot))),
        ("link/teach", frame(6, Ok(&Request::Teach("alpha")))),
        ("link/learn", frame(7, Ok(&learn))),
        ("link/learner", frame(8, Err(&learner))),
        ("link/refused", frame(5, Err(&refused))),
        ("link/older", frame(6, Err(&older))),
        ("link/contents", contents),
        ("link/other_version", other_version),
        (
            "link/back_to_back",
            [
                frame(1, Ok(&Request::Device)),
                frame(2, Ok(&Request::Activate(1))),
                noise,
                frame(3, Ok(&Request::Run(Some(Task::Own)))),
            ]
            .concat(),
        ),
    ]
}

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, bytes) in slots().into_iter().chain(link()) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it has a folder"))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
