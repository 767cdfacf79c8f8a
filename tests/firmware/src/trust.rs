//! A device that runs only what the keys of the tests have signed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use graft_client::{DeviceError, State, Task, Upload};
use graft_patches::minisign;
use graft_patches::writer::{SigningKey, sign};
use graft_runtime::ImageBytes;

use crate::device::{CLOTHES, DIGITS, Device, LETTERS, patch};
use crate::machine::TRUSTING_M4;
use crate::report::Report;

type Step = fn(&mut Device) -> Result<()>;

const STEPS: &[(&str, Step)] = &[
    ("the device says which keys it trusts", keys),
    (
        "what nobody or another key has signed is refused",
        strangers,
    ),
    ("signed patches of both keys are served", both_keys),
    (
        "an older patch is refused, after a power cut as well",
        older,
    ),
    ("the device goes back to what was confirmed", back),
];

/// The keys whose public halves are in `keys/`; for tests only, as everybody knows them.
fn key(number: u8) -> SigningKey {
    SigningKey::from_seed([number; 32])
}

/// Takes the steps on the M4.
pub(crate) fn run(verbose: bool, report: &mut Report) -> Result<()> {
    for (number, name) in [(1, "first.pub"), (2, "second.pub")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("keys")
            .join(name);
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let expected = minisign::public_key(&key(number).public());
        ensure!(text == expected, "{} is not\n{expected}", path.display());
    }
    let mut device = Device::new(TRUSTING_M4, verbose)?;
    for (name, step) in STEPS {
        report.result(name, step(&mut device));
    }
    Ok(())
}

fn signed(task: &str, number: u8, counter: u64) -> Result<Vec<u8>> {
    let bytes = ImageBytes::copied(&patch(task)?);
    Ok(sign(bytes.as_slice(), &key(number), counter)?)
}

fn push(device: &mut Device, slot: u8, bytes: &[u8]) -> Result<(), DeviceError> {
    let upload = Upload {
        slot,
        bytes,
        answer: None,
        all: false,
    };
    let mut client = device.client().expect("it is switched on");
    client.upload(upload, |_| {}).map(drop)
}

fn is_refused(pushed: Result<(), DeviceError>, words: &str) -> Result<()> {
    match pushed {
        Err(error) if error.to_string().contains(words) => Ok(()),
        Err(error) => Err(error).context("another refusal than expected"),
        Ok(()) => bail!("the patch was taken"),
    }
}

fn keys(device: &mut Device) -> Result<()> {
    let found = device.client()?.device()?.keys;
    let expected = [1, 2].map(|number| key(number).public().id());
    ensure!(found == expected, "{found:?}, expected {expected:?}");
    Ok(())
}

fn strangers(device: &mut Device) -> Result<()> {
    is_refused(push(device, DIGITS, &patch("sign-digits")?), "not signed")?;
    let foreign = signed("sign-digits", 3, 1)?;
    is_refused(push(device, DIGITS, &foreign), "signed with key")?;
    let mut forged = signed("sign-digits", 1, 1)?;
    let last = forged.len() - 1;
    forged[last] ^= 1;
    graft_patches::writer::seal(&mut forged);
    is_refused(push(device, DIGITS, &forged), "does not match")?;
    let found = device.client()?.slot(DIGITS)?.state;
    ensure!(found == State::Empty, "the slot is {found:?}");
    device.sees("own", None)
}

fn both_keys(device: &mut Device) -> Result<()> {
    for (slot, task, number) in [(DIGITS, "sign-digits", 1), (LETTERS, "greek", 2)] {
        push(device, slot, &signed(task, number, 5)?)?;
        {
            let mut client = device.client()?;
            client.activate(slot)?;
            client.confirm()?;
            let of_slot = client.slot(slot)?.signed.context("no signature")?;
            ensure!(of_slot.key == key(number).public().id().0, "another key");
            ensure!(of_slot.counter == 5, "counter {}", of_slot.counter);
        }
        device.sees(task, None)?;
    }
    Ok(())
}

fn older(device: &mut Device) -> Result<()> {
    // Of a task of its own, that has seen none.
    push(device, CLOTHES, &signed("fashion", 1, 1)?)?;
    let words = "counter 4, a patch of its task with 5";
    is_refused(push(device, CLOTHES, &signed("greek", 1, 4)?), words)?;
    device.pull_the_plug();
    device.switch_on()?;
    is_refused(push(device, CLOTHES, &signed("greek", 1, 4)?), words)?;
    device.sees("greek", None)
}

fn back(device: &mut Device) -> Result<()> {
    push(device, CLOTHES, &signed("greek", 1, 9)?)?;
    {
        let mut client = device.client()?;
        client.activate(CLOTHES)?;
        client.confirm()?;
        client.rollback()?;
        ensure!(
            client.device()?.serving == Task::Slot(LETTERS),
            "another slot"
        );
        client.activate(DIGITS)?;
        client.confirm()?;
    }
    device.sees("sign-digits", None)
}
