//! A device with its flash memory, and what every check does with it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graft_client::{Client, Pushed, Task, Upload, answer};
use graft_runtime::{Backbone, Patch};
use graft_tests::cases::{self, Case, TASKS, digest};
use tempfile::TempDir;

use crate::machine::Machine;
use crate::qemu::Qemu;

/// Time that a device may take until it serves.
const START: Duration = Duration::from_secs(20);

/// The slots of a device's life: that of the patch for `sign-digits`.
pub(crate) const DIGITS: u8 = 0;
/// For `greek`.
pub(crate) const LETTERS: u8 = 1;
/// For `fashion`.
pub(crate) const CLOTHES: u8 = 2;

/// Name of the task whose patch is pushed to a slot.
pub(crate) fn pushed_to(task: Task) -> Option<&'static str> {
    match task {
        Task::Own => Some("own"),
        Task::Slot(DIGITS) => Some("sign-digits"),
        Task::Slot(LETTERS) => Some("greek"),
        Task::Slot(CLOTHES) => Some("fashion"),
        Task::Slot(_) => None,
    }
}

/// A machine with a flash memory that outlives its power.
pub(crate) struct Device {
    machine: Machine,
    backbone: PathBuf,
    verbose: bool,
    folder: TempDir,
    /// `None` while it is switched off.
    qemu: Option<Qemu>,
    cases: Vec<Case>,
}

impl Device {
    /// Switches it on for the first time, with the demo's backbone: its flash is blank.
    ///
    /// # Errors
    /// As [`Qemu::start`].
    pub(crate) fn new(machine: Machine, verbose: bool) -> Result<Self> {
        Self::with_backbone(machine, cases::demo("demo.backbone"), verbose)
    }

    /// The same with another backbone.
    ///
    /// # Errors
    /// As [`Qemu::start`].
    pub(crate) fn with_backbone(
        machine: Machine,
        backbone: PathBuf,
        verbose: bool,
    ) -> Result<Self> {
        let mut device = Self {
            machine,
            backbone,
            verbose,
            folder: TempDir::new()?,
            qemu: None,
            cases: cases::recorded(),
        };
        device.switch_on()?;
        Ok(device)
    }

    /// Switches it on with what is in its flash.
    pub(crate) fn switch_on(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let mut qemu = Qemu::start(&self.machine, &self.backbone, folder, self.verbose)?;
        qemu.wait_for("serving", START)?;
        self.qemu = Some(qemu);
        Ok(())
    }

    /// Pulls the plug.
    pub(crate) fn pull_the_plug(&mut self) {
        self.qemu = None;
    }

    /// The running machine.
    pub(crate) fn qemu(&mut self) -> Result<&mut Qemu> {
        self.qemu.as_mut().context("the device is switched off")
    }

    /// A host. There can be one at a time: drop it before the next one.
    pub(crate) fn client(&mut self) -> Result<Client> {
        Ok(Client::open(&self.qemu()?.port().parse()?)?)
    }

    /// Brings the patch of one of the demo's tasks to a slot, with what it must give in the self-check.
    pub(crate) fn push(&mut self, slot: u8, task: &str) -> Result<Pushed> {
        let bytes = patch(task)?;
        let backbone = Backbone::open(cases::demo("demo.backbone"))?;
        self.upload(Upload {
            slot,
            bytes: &bytes,
            answer: answer(&backbone, &Patch::from_bytes(&bytes, &backbone)?)?,
            all: false,
        })
    }

    /// Brings any bytes to a slot.
    pub(crate) fn upload(&mut self, upload: Upload<'_>) -> Result<Pushed> {
        Ok(self.client()?.upload(upload, |_| {})?)
    }

    /// All cases.
    pub(crate) fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The first images of a task give the recorded scores, with this slot or with what is served.
    pub(crate) fn sees(&mut self, task: &str, with: Option<Task>) -> Result<()> {
        let mut client = self.client()?;
        for case in self.cases.iter().filter(|case| case.task == task).take(2) {
            let found = client.run(&case.pixels(), with)?;
            let found = digest(&found.scores);
            ensure!(
                found == case.scores,
                "{task}/{}: scores {found}, expected {}",
                case.shows,
                case.scores
            );
        }
        Ok(())
    }
}

/// The patch of one of the demo's tasks.
pub(crate) fn patch(task: &str) -> Result<Vec<u8>> {
    let path = cases::demo(&format!("{task}.patch"));
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Slot of the task when all are pushed in order.
pub(crate) fn slot_of(task: &str) -> Task {
    match TASKS.iter().position(|&name| name == task) {
        None | Some(0) => Task::Own,
        Some(index) => Task::Slot(index as u8 - 1),
    }
}
