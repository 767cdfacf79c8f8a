//! A device that learns: three kinds of hand signs from five frames each, as the host learns them from the same frames.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use graft_client::{DeviceError, Patience, State, Task, Taught};
use graft_patches::Digest;
use graft_runtime::{Backbone, Patch, Session};
use graft_tests::cases::{self, digest};

use crate::device::Device;
use crate::generated::{Drawing, asset, drawings, patchtool};
use crate::machine::{LEARNING_M4, M4};
use crate::report::Report;

/// What it is taught, and frames of each.
const CLASSES: [&str; 3] = ["2", "5", "9"];
const FRAMES: usize = 5;
/// Dimensions of its sums, as `firmware/mps2` has them.
const DIMENSIONS: &str = "64";
/// Slots that its heads are written to.
const FIRST: u8 = 0;
const SECOND: u8 = 1;
/// Of three classes, of which guessing finds one in three.
const LEAST: f64 = 0.6;
/// Power cuts while a head is made and written, and the time by which one surely is.
const CUTS: u32 = 16;
const LATE: Duration = Duration::from_millis(400);
/// Nanoseconds of a tick of the board's clock; QEMU gives each instruction one nanosecond.
const NANOSECONDS: f64 = 1e9;

type Step = fn(&Lesson, &mut Device) -> Result<()>;

const STEPS: &[(&str, Step)] = &[
    (
        "three classes are taught with five frames each",
        Lesson::teach,
    ),
    (
        "what the device learns is what the host learns, byte for byte",
        Lesson::learn,
    ),
    (
        "it tells frames apart that it has not seen, as on the host",
        Lesson::sees,
    ),
    (
        "it is confirmed and outlives a power cut; the sums do not",
        Lesson::confirm,
    ),
    (
        "a class is forgotten as if it had never been there",
        Lesson::forget,
    ),
    (
        "the plug is pulled while heads are made and written",
        Lesson::cut,
    ),
    ("what makes no sense is refused", Lesson::refused),
];

/// Takes the steps on the M4.
pub(crate) fn run(verbose: bool, report: &mut Report) -> Result<()> {
    let lesson = Lesson::new()?;
    let mut device = Device::new(LEARNING_M4, verbose)?;
    report.story(STEPS, |step| step(&lesson, &mut device));
    drop(device);
    let mut other = Device::new(M4, verbose)?;
    report.result("firmware without learning says so", cannot(&mut other));
    Ok(())
}

/// What is learned from.
struct Lesson {
    /// A folder of the frames of each class in `support`, and of others in `test`.
    folder: tempfile::TempDir,
}

impl Lesson {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let archive = asset("demo/sign-digits-train.tar");
        let all = folder.path().join("all");
        fs::create_dir(&all)?;
        let mut tar = Command::new("tar");
        let status = tar.arg("-xf").arg(&archive).arg("-C").arg(&all).status()?;
        ensure!(status.success(), "tar cannot read {}", archive.display());
        for class in CLASSES {
            let files = files(&all.join(class))?;
            for (set, range) in [("support", 0..FRAMES), ("test", FRAMES..3 * FRAMES)] {
                let few = files.get(range).context("too few images")?;
                copy(few, &folder.path().join(set).join(class))?;
            }
        }
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The frames of a class that the device is taught with.
    fn frames(&self, class: &str) -> PathBuf {
        self.path("support").join(class)
    }

    /// The patch that the host makes of these classes.
    fn host(&self, classes: &[&str]) -> Result<PathBuf> {
        let output = self.path(&format!("{}.patch", classes.concat()));
        if output.exists() {
            return Ok(output);
        }
        let support = self.path(&classes.concat());
        for class in classes {
            copy(&files(&self.frames(class))?, &support.join(class))?;
        }
        let backbone = cases::demo("demo.backbone");
        patchtool(&[
            "generate".as_ref(),
            "--method".as_ref(),
            "gd++".as_ref(),
            "--dimensions".as_ref(),
            DIMENSIONS.as_ref(),
            "--name".as_ref(),
            "signs".as_ref(),
            "--backbone".as_ref(),
            &backbone,
            "--support".as_ref(),
            &support,
            "-o".as_ref(),
            &output,
        ])?;
        Ok(output)
    }

    /// Frames that nobody learned from, as the backbone takes them, and the class of each.
    fn test(&self) -> Result<Vec<Drawing>> {
        let inputs = self.path("inputs");
        let (backbone, patch) = (cases::demo("demo.backbone"), self.host(&CLASSES)?);
        if !inputs.exists() {
            patchtool(&[
                "eval".as_ref(),
                "--backbone".as_ref(),
                &backbone,
                "--patch".as_ref(),
                &patch,
                "--data".as_ref(),
                &self.path("test"),
                "--dump-inputs".as_ref(),
                &inputs,
            ])?;
        }
        drawings(&inputs, &Backbone::open(&backbone)?.image().input())
    }

    /// By the command line, as a user does it; then what an example takes.
    fn teach(&self, device: &mut Device) -> Result<()> {
        for class in CLASSES {
            let port = device.qemu()?.port();
            patchtool(&[
                "device".as_ref(),
                "teach".as_ref(),
                class.as_ref(),
                &self.frames(class),
                "--port".as_ref(),
                port.as_ref(),
            ])?;
        }
        let test = self.test()?;
        let mut client = device.client()?;
        let Taught { learner, classes } = client.learner()?.context("it cannot learn")?;
        let expected = CLASSES.map(|class| (class.to_owned(), FRAMES as u32));
        ensure!(classes == expected, "it was taught {classes:?}");
        let tick = NANOSECONDS / f64::from(client.device()?.ticks_per_second);
        let frame = &test[0].pixels;
        let alone = client.run(frame, Some(Task::Own))?.ticks;
        let (_, ticks) = client.teach("another", frame)?;
        println!(
            "        {} bytes of sums for {} classes; an example takes {:.0} instructions, {:.0} of them for its embedding",
            learner.bytes,
            learner.capacity,
            f64::from(ticks) * tick,
            f64::from(alone) * tick,
        );
        Ok(client.forget("another")?)
    }

    fn learn(&self, device: &mut Device) -> Result<()> {
        let mut client = device.client()?;
        let (length, ticks) = client.learn(FIRST, "signs", None)?;
        let tick = NANOSECONDS / f64::from(client.device()?.ticks_per_second);
        println!(
            "        a head takes {:.0} instructions; its patch has {length} bytes",
            f64::from(ticks) * tick
        );
        let trial = client.device()?.trial;
        ensure!(trial == Some(FIRST), "on trial is {trial:?}");
        drop(client);
        self.is_the_hosts(device, FIRST, &CLASSES)
    }

    /// The slot holds the very bytes that the host makes of these classes.
    fn is_the_hosts(&self, device: &mut Device, slot: u8, classes: &[&str]) -> Result<()> {
        let expected = Digest::of(&fs::read(self.host(classes)?)?);
        let found = Digest(device.client()?.slot(slot)?.digest);
        ensure!(
            found == expected,
            "the device has {found}, the host {expected}"
        );
        Ok(())
    }

    fn sees(&self, device: &mut Device) -> Result<()> {
        let backbone = Backbone::open(cases::demo("demo.backbone"))?;
        let patch = Patch::open(self.host(&CLASSES)?, &backbone)?;
        let mut session = Session::new(&backbone)?;
        let (test, mut client) = (self.test()?, device.client()?);
        let mut right = 0;
        for Drawing { pixels, class } in &test {
            let found = client.run(pixels, Some(Task::Slot(FIRST)))?.scores;
            let expected = session.run(&patch, pixels)?;
            let same = digest(&found) == digest(expected);
            ensure!(same, "scores {found:?}, on the host {expected:?}");
            let best = (0..found.len()).max_by(|&a, &b| found[a].total_cmp(&found[b]));
            right += usize::from(best == Some(*class));
        }
        println!("        {right} of {} frames are recognised", test.len());
        let least = LEAST * test.len() as f64;
        ensure!(right as f64 >= least, "{right} are fewer than {least}");
        Ok(())
    }

    fn confirm(&self, device: &mut Device) -> Result<()> {
        device.client()?.confirm()?;
        device.pull_the_plug();
        device.switch_on()?;
        serves(device, Task::Slot(FIRST))?;
        let Taught { classes, .. } = device.client()?.learner()?.context("it cannot learn")?;
        ensure!(classes.is_empty(), "it still knows {classes:?}");
        Ok(())
    }

    fn forget(&self, device: &mut Device) -> Result<()> {
        self.teach(device)?;
        let mut client = device.client()?;
        client.forget(CLASSES[1])?;
        client.learn(SECOND, "signs", None)?;
        drop(client);
        self.is_the_hosts(device, SECOND, &[CLASSES[0], CLASSES[2]])?;
        let mut client = device.client()?;
        client.rollback()?;
        drop(client);
        serves(device, Task::Slot(FIRST))
    }

    /// Whatever was written by then: the confirmed patch is served, and a whole one can be learned afterwards.
    fn cut(&self, device: &mut Device) -> Result<()> {
        let (mut kept, mut empty, mut whole) = (0, 0, 0);
        // The search for the moment of the writing: before it the slot is as it was, after it there is the new patch.
        let (mut early, mut late, mut surely) = (Duration::ZERO, LATE, LATE);
        device.pull_the_plug();
        device.switch_on()?;
        for _ in 0..CUTS {
            self.teach(device)?;
            let before = device.client()?.slot(SECOND)?;
            let first = (early + late) / 2;
            let mut client = device.client()?.with_patience(Patience { first, times: 1 });
            match client.learn(SECOND, "signs", None) {
                Ok(_) | Err(DeviceError::NoAnswer { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            drop(client);
            device.pull_the_plug();
            device.switch_on()?;
            serves(device, Task::Slot(FIRST))?;
            let slot = device.client()?.slot(SECOND)?;
            match slot.state {
                _ if slot == before => {
                    (kept, early) = (kept + 1, first);
                    // A busy machine takes longer than was thought.
                    if whole == 0 && early * 4 > surely * 3 {
                        surely *= 4;
                        late = surely;
                    }
                }
                State::Empty => empty += 1,
                State::Written => {
                    self.is_the_hosts(device, SECOND, &CLASSES)?;
                    (whole, late) = (whole + 1, first);
                    // The next one is to be seen as new again.
                    self.learn_another(device)?;
                }
                State::Trial | State::Good => bail!("slot {SECOND} is {:?}", slot.state),
            }
        }
        println!(
            "        of {CUTS} cuts {kept} left the slot as it was, {empty} empty, {whole} with the new patch"
        );
        ensure!(
            kept > 0 && whole > 0,
            "no cut came before or none after the writing"
        );
        Ok(())
    }

    /// Writes a head of other classes to the slot, and leaves it.
    fn learn_another(&self, device: &mut Device) -> Result<()> {
        let frame = &self.test()?[0].pixels;
        let mut client = device.client()?;
        client.teach("one", frame)?;
        client.teach("another", frame)?;
        client.learn(SECOND, "signs", None)?;
        client.rollback()?;
        drop(client);
        device.pull_the_plug();
        device.switch_on()
    }

    fn refused(&self, device: &mut Device) -> Result<()> {
        device.pull_the_plug();
        device.switch_on()?;
        let test = self.test()?;
        let frame = &test[0].pixels;
        let mut client = device.client()?;
        is_refused(
            client.learn(SECOND, "signs", None),
            "examples of another class",
        )?;
        is_refused(client.forget("2"), "not taught such a class")?;
        is_refused(client.teach(&"long".repeat(20), frame), "at most 32 bytes")?;
        let Taught { learner, .. } = client.learner()?.context("it cannot learn")?;
        for class in 0..learner.capacity {
            client.teach(&class.to_string(), frame)?;
        }
        is_refused(client.teach("one more", frame), "memory for 8 classes")?;
        is_refused(client.learn(FIRST, "signs", None), "in use")?;
        // All classes look the same: a head that tells nothing apart, but a head.
        Ok(client.learn(SECOND, "signs", None).map(drop)?)
    }
}

fn cannot(device: &mut Device) -> Result<()> {
    let mut client = device.client()?;
    ensure!(client.learner()?.is_none(), "it can learn");
    is_refused(client.learn(FIRST, "signs", None), "cannot learn")?;
    is_refused(client.forget("2"), "cannot learn")
}

fn is_refused<T>(asked: Result<T, DeviceError>, words: &str) -> Result<()> {
    match asked {
        Err(error) if error.to_string().contains(words) => Ok(()),
        Err(error) => Err(error).context("another refusal than expected"),
        Ok(_) => bail!("the device did it, expected {words:?}"),
    }
}

fn serves(device: &mut Device, task: Task) -> Result<()> {
    let found = device.client()?.device()?;
    let is_right = found.serving == task && found.active == task && found.trial.is_none();
    ensure!(
        is_right,
        "serves {:?}, on trial {:?}",
        found.serving,
        found.trial
    );
    Ok(())
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn copy(files: &[PathBuf], to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for file in files {
        fs::copy(file, to.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
