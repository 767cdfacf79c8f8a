//! The life of a device, from blank flash over power cuts to hostile hosts.

use anyhow::{Context as _, Result, ensure};
use graft_client::{Client, DeviceError, Ended, State, Task, Upload};
use graft_tests::int8;

use crate::device::{CLOTHES, DIGITS, Device, LETTERS, patch};
use crate::hostile;
use crate::machine::M4;
use crate::report::Report;

type Step = fn(&mut Device) -> Result<()>;

const STEPS: &[(&str, Step)] = &[
    ("blank flash: the backbone's own task", blank),
    (
        "a patch is pushed, activated, confirmed, served",
        first_patch,
    ),
    (
        "frames go on while another patch is pushed",
        push_while_running,
    ),
    ("the pushed patch is served after activation", swap),
    (
        "the plug is pulled in the middle of a push, and the confirmed patch is served",
        cut_push,
    ),
    ("the push goes on where it was cut", resume),
    ("a restart during the trial rolls back", restart_in_trial),
    (
        "the plug is pulled during the trial, and it is rolled back",
        cut_trial,
    ),
    (
        "a confirmed patch outlives a power cut; rollback returns to the one before",
        confirm_and_roll_back,
    ),
    (
        "a patch with other scores than it should have fails its self-check",
        wrong_answer,
    ),
    ("patches that do not fit are refused", refused),
    (
        "noise, half frames and other versions do not disturb",
        hostile::noise,
    ),
    (
        "random requests change nothing but what they may",
        hostile::requests,
    ),
    ("a host that never listens is survived", hostile::deaf),
];

/// Tells the story on the M4.
pub(crate) fn run(verbose: bool, report: &mut Report) -> Result<()> {
    let mut device = Device::new(M4, verbose)?;
    report.story(STEPS, |step| step(&mut device));
    Ok(())
}

/// The device serves `task`, now and after a reset.
fn serves(client: &mut Client, task: Task) -> Result<()> {
    let device = client.device()?;
    let (serving, active, trial) = (device.serving, device.active, device.trial);
    ensure!(
        (serving, active, trial) == (task, task, None),
        "serves {serving:?}, active {active:?}, on trial {trial:?}; expected {task:?}"
    );
    Ok(())
}

fn ended(client: &mut Client, why: Ended) -> Result<()> {
    let found = client.device()?.ended;
    ensure!(found == Some(why), "ended by {found:?}, expected {why:?}");
    Ok(())
}

fn holds(client: &mut Client, slot: u8, state: State) -> Result<()> {
    let found = client.slot(slot)?.state;
    ensure!(
        found == state,
        "slot {slot} is {found:?}, expected {state:?}"
    );
    Ok(())
}

/// These bytes, and nothing about what they must give.
fn upload(slot: u8, bytes: &[u8]) -> Upload<'_> {
    Upload {
        slot,
        bytes,
        answer: None,
        all: false,
    }
}

fn blank(device: &mut Device) -> Result<()> {
    {
        let mut client = device.client()?;
        serves(&mut client, Task::Own)?;
        for slot in 0..client.device()?.slots {
            holds(&mut client, slot, State::Empty)?;
        }
    }
    device.sees("own", None)
}

fn first_patch(device: &mut Device) -> Result<()> {
    device.push(DIGITS, "sign-digits")?;
    {
        let mut client = device.client()?;
        holds(&mut client, DIGITS, State::Written)?;
        client.activate(DIGITS)?;
        holds(&mut client, DIGITS, State::Trial)?;
        client.confirm()?;
        holds(&mut client, DIGITS, State::Good)?;
        serves(&mut client, Task::Slot(DIGITS))?;
    }
    device.sees("sign-digits", None)
}

fn push_while_running(device: &mut Device) -> Result<()> {
    let before = device.client()?.device()?.frames;
    let bytes = patch("greek")?;
    // All of it is sent again and again, until the push has taken as long as some frames do.
    for _ in 0..100 {
        device.upload(Upload {
            all: true,
            ..upload(LETTERS, &bytes)
        })?;
        if device.client()?.device()?.frames >= before + 3 {
            return device.sees("sign-digits", None);
        }
    }
    anyhow::bail!("no three frames in a hundred pushes")
}

fn swap(device: &mut Device) -> Result<()> {
    {
        let mut client = device.client()?;
        client.activate(LETTERS)?;
        client.confirm()?;
        serves(&mut client, Task::Slot(LETTERS))?;
    }
    device.sees("greek", None)?;
    device.sees("sign-digits", Some(Task::Slot(DIGITS)))?;
    device.sees("own", Some(Task::Own))
}

fn cut_push(device: &mut Device) -> Result<()> {
    let mut client = device.client()?;
    let bytes = patch("fashion")?;
    let cut = client.upload(upload(CLOTHES, &bytes), |step| {
        if step.done > step.total / 2 {
            device.pull_the_plug();
        }
    });
    ensure!(cut.is_err(), "the push went on without power");
    drop(client);
    device.switch_on()?;
    {
        let mut client = device.client()?;
        serves(&mut client, Task::Slot(LETTERS))?;
        holds(&mut client, CLOTHES, State::Empty)?;
    }
    device.sees("greek", None)?;
    device.sees("sign-digits", Some(Task::Slot(DIGITS)))
}

fn resume(device: &mut Device) -> Result<()> {
    let pushed = device.push(CLOTHES, "fashion")?;
    ensure!(
        pushed.kept > 0 && pushed.sent > 0,
        "{} pages were kept and {} sent",
        pushed.kept,
        pushed.sent
    );
    holds(&mut device.client()?, CLOTHES, State::Written)?;
    device.sees("fashion", Some(Task::Slot(CLOTHES)))
}

fn restart_in_trial(device: &mut Device) -> Result<()> {
    {
        let mut client = device.client()?;
        client.activate(CLOTHES)?;
        ensure!(
            client.device()?.serving == Task::Slot(CLOTHES),
            "the trial is not served"
        );
        client.restart()?;
        serves(&mut client, Task::Slot(LETTERS))?;
        ended(&mut client, Ended::Reset)?;
        holds(&mut client, CLOTHES, State::Written)?;
    }
    device.sees("greek", None)
}

fn cut_trial(device: &mut Device) -> Result<()> {
    device.client()?.activate(CLOTHES)?;
    device.sees("fashion", None)?;
    device.pull_the_plug();
    device.switch_on()?;
    {
        let mut client = device.client()?;
        serves(&mut client, Task::Slot(LETTERS))?;
        ended(&mut client, Ended::Reset)?;
    }
    device.sees("greek", None)
}

fn confirm_and_roll_back(device: &mut Device) -> Result<()> {
    {
        let mut client = device.client()?;
        client.activate(CLOTHES)?;
        client.confirm()?;
    }
    device.pull_the_plug();
    device.switch_on()?;
    serves(&mut device.client()?, Task::Slot(CLOTHES))?;
    device.sees("fashion", None)?;
    {
        let mut client = device.client()?;
        client.rollback()?;
        serves(&mut client, Task::Slot(LETTERS))?;
        ended(&mut client, Ended::Asked)?;
    }
    device.sees("greek", None)
}

fn wrong_answer(device: &mut Device) -> Result<()> {
    device.upload(Upload {
        answer: Some([0; 8]),
        ..upload(CLOTHES, &patch("fashion")?)
    })?;
    {
        let mut client = device.client()?;
        let refused = client.activate(CLOTHES);
        ensure!(
            matches!(refused, Err(DeviceError::SelfCheck)),
            "activation gave {refused:?}"
        );
        serves(&mut client, Task::Slot(LETTERS))?;
        ended(&mut client, Ended::SelfCheck)?;
    }
    device.sees("greek", None)
}

fn refused(device: &mut Device) -> Result<()> {
    let good = patch("fashion")?;
    let mut corrupted = good.clone();
    corrupted[good.len() / 2] ^= 1;
    let slot_len = device.client()?.device()?.slot_len as usize;
    for (what, bytes, says) in [
        ("of another backbone", &foreign()?, "refuses the patch"),
        ("with a changed byte", &corrupted, "refuses the patch"),
        (
            "without its end",
            &good[..good.len() / 2].to_vec(),
            "refuses the patch",
        ),
        ("of no bytes", &Vec::new(), ""),
        ("longer than a slot", &vec![0; slot_len + 1], "a slot has"),
    ] {
        match device.upload(upload(CLOTHES, bytes)) {
            Ok(_) => anyhow::bail!("a patch {what} was taken"),
            Err(error) => {
                let text = error.to_string();
                ensure!(text.contains(says), "a patch {what}: {text}");
            }
        }
        let mut client = device.client()?;
        ensure!(
            client.activate(CLOTHES).is_err(),
            "a patch {what} was activated"
        );
        serves(&mut client, Task::Slot(LETTERS))?;
    }
    device.sees("greek", None)
}

/// An int8 patch of another network.
fn foreign() -> Result<Vec<u8>> {
    let float = graft_tests::backbone(32, 1);
    let twin =
        graft_runtime::Backbone::from_bytes(&int8::backbone(&float)).context("it is valid")?;
    let [_, patch] = int8::random_patches(&float, &twin, 10, 5);
    Ok(patch)
}
