//! What a store knows of a task, and the steps between its states.

use graft_patches::Digest;
use serde::{Deserialize, Serialize};

/// The knowledge of one task: everything but the bytes of its patches. One file holds it, and is replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// Its own name, so that the file of another task is not taken for it.
    pub(crate) task: String,
    pub(crate) backbone: Digest,
    /// In ascending order.
    pub(crate) versions: Vec<Version>,
    /// None: the backbone's own values, here and in `previous`.
    pub(crate) active: Option<u32>,
    pub(crate) previous: Option<u32>,
    pub(crate) trial: Option<Trial>,
    pub(crate) ended: Option<Ended>,
    pub(crate) highest_counter: Option<u64>,
    /// Number of the next version: none is given twice.
    pub(crate) next: u32,
}

/// A version of a task: a patch that was checked when it was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Number, from 1, which grows with every install of the task.
    pub number: u32,
    /// BLAKE3 of the whole file.
    pub digest: Digest,
    /// Bytes of the file.
    pub bytes: u64,
    /// Counter of its signature, which nobody has checked without a policy; `None` where it is not signed.
    pub counter: Option<u64>,
    /// Whether it was confirmed once.
    pub is_good: bool,
    /// Whether it was left since it was confirmed last: then it never comes in place of another version.
    pub is_left: bool,
}

/// A trial: a version that is served until it is confirmed, or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The version.
    pub version: u32,
    /// Whether an owner has begun to serve it. The next owner, then, ends the trial: the one before did not live to
    /// confirm it.
    pub is_served: bool,
}

/// The state of a version, in the words of the slots on a microcontroller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was checked and installed.
    Written,
    /// It is served until its owner ends, unless it is confirmed.
    Trial,
    /// It was confirmed.
    Good,
}

/// The reason for leaving a trial, or the active version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Somebody asked.
    Asked,
    /// The owner of the store ended before it was confirmed.
    Reset,
    /// It failed a check, or a run.
    SelfCheck,
    /// Its file has changed or is missing.
    Damaged,
}

/// The reason why a step is refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No version at all.
    #[error("it has no version")]
    NoVersions,
    /// No such version.
    #[error("it has no version {found}, the newest is {expected}")]
    NoVersion {
        /// The version that was asked for.
        found: u32,
        /// The newest.
        expected: u32,
    },
    /// Another version is on trial.
    #[error("version {version} is on trial")]
    OnTrial {
        /// That version.
        version: u32,
    },
    /// No version is on trial.
    #[error("no version is on trial")]
    NoTrial,
    /// The backbone's own values are active: there is nothing before them.
    #[error("there is nothing to roll back to")]
    NoPrevious,
    /// The patch is older than another one of the task that was installed, and was never confirmed here.
    #[error("the patch has counter {found}, one with {expected} was installed")]
    Older {
        /// Counter of the patch.
        found: u64,
        /// The highest one of the task.
        expected: u64,
    },
    /// As many versions as there are numbers for.
    #[error("there are no more version numbers")]
    Exhausted,
}

impl Refusal {
    /// The remedy, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoVersions => "install a patch of this task first",
            Self::NoVersion { .. } => "see the versions with patchtool store list",
            Self::OnTrial { .. } => "confirm it or roll it back first",
            Self::NoTrial => "activate a version first",
            Self::NoPrevious => "the backbone's own values are served; activate a version",
            Self::Older { .. } => {
                "sign the patch with a counter that is not lower, or go back to a version that was confirmed on this device"
            }
            Self::Exhausted => "begin anew in another folder",
        }
    }
}

impl TaskState {
    /// A task without versions.
    pub(crate) fn new(task: &str, backbone: Digest) -> Self {
        Self {
            task: task.into(),
            backbone,
            versions: Vec::new(),
            active: None,
            previous: None,
            trial: None,
            ended: None,
            highest_counter: None,
            next: 1,
        }
    }

    /// Name of the task.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// Id of the backbone that its patches are for.
    pub fn backbone(&self) -> Digest {
        self.backbone
    }

    /// The versions, oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version of a number.
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|found| found.number == number)
    }

    /// The state of a version that there is.
    pub fn state(&self, version: &Version) -> State {
        match version.is_good {
            _ if self.trial.map(|trial| trial.version) == Some(version.number) => State::Trial,
            true => State::Good,
            false => State::Written,
        }
    }

    /// The version that is served when no trial is; `None` for the backbone's own values.
    pub fn active(&self) -> Option<u32> {
        self.active
    }

    /// The version that was active before, where there was one and it is still there.
    pub fn previous(&self) -> Option<u32> {
        self.previous
    }

    /// The version on trial.
    pub fn trial(&self) -> Option<Trial> {
        self.trial
    }

    /// The version that is served: the one on trial, else the active one; `None` for the backbone's own values.
    pub fn serving(&self) -> Option<u32> {
        self.trial.map(|trial| trial.version).or(self.active)
    }

    /// The reason for leaving the last trial or active version, if one was since the last activation.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Highest counter of a signature that was checked by a policy and installed; it never falls.
    pub fn highest_counter(&self) -> Option<u64> {
        self.highest_counter
    }

    /// Adds a version and returns its number. Its counter matters where a policy has checked the signature.
    pub(crate) fn install(
        &mut self,
        digest: Digest,
        bytes: u64,
        counter: Option<u64>,
        has_policy: bool,
    ) -> Result<u32, Refusal> {
        let checked = counter.filter(|_| has_policy);
        self.check_counter(checked)?;
        let number = self.next;
        self.next = number.checked_add(1).ok_or(Refusal::Exhausted)?;
        self.highest_counter = self.highest_counter.max(checked);
        self.versions.push(Version {
            number,
            digest,
            bytes,
            counter,
            is_good: false,
            is_left: false,
        });
        Ok(number)
    }

    /// Refuses a counter below the highest one seen.
    pub(crate) fn check_counter(&self, counter: Option<u64>) -> Result<(), Refusal> {
        match (counter, self.highest_counter) {
            (Some(found), Some(expected)) if found < expected => {
                Err(Refusal::Older { found, expected })
            }
            _ => Ok(()),
        }
    }

    /// The version that [`Self::activate`] would put on trial: the one asked for, else the newest.
    pub(crate) fn choose(&self, number: Option<u32>) -> Result<Version, Refusal> {
        let newest = self.versions.last().ok_or(Refusal::NoVersions)?;
        let Some(found) = number else {
            return Ok(*newest);
        };
        self.version(found).copied().ok_or(Refusal::NoVersion {
            found,
            expected: newest.number,
        })
    }

    /// Puts a version on trial. Nothing happens if it is on trial already, or active. With a policy its counter must not
    /// be too old.
    pub(crate) fn activate(&mut self, number: u32, has_policy: bool) -> Result<(), Refusal> {
        let version = self.choose(Some(number))?;
        if self.serving() == Some(number) {
            return Ok(());
        }
        if let Some(Trial { version, .. }) = self.trial {
            return Err(Refusal::OnTrial { version });
        }
        self.check_age(&version, has_policy)?;
        self.trial = Some(Trial {
            version: number,
            is_served: false,
        });
        self.ended = None;
        Ok(())
    }

    /// Refuses a version that was never confirmed here and has an older counter, if a policy checks signatures.
    fn check_age(&self, version: &Version, has_policy: bool) -> Result<(), Refusal> {
        let matters = has_policy && !version.is_good;
        self.check_counter(version.counter.filter(|_| matters))
    }

    /// Notes that the version is served from now on; false if it is not on trial any more. It may have been activated
    /// without the policy of its owner, so its counter is compared once more.
    pub(crate) fn serve_trial(&mut self, number: u32, has_policy: bool) -> Result<bool, Refusal> {
        if self.trial.map(|trial| trial.version) != Some(number) {
            return Ok(false);
        }
        self.check_age(&self.choose(Some(number))?, has_policy)?;
        let is_served = true;
        self.trial = Some(Trial {
            version: number,
            is_served,
        });
        Ok(true)
    }

    /// Makes the version on trial good, and active; returns it.
    pub(crate) fn confirm(&mut self) -> Result<u32, Refusal> {
        let Trial { version, .. } = self.trial.take().ok_or(Refusal::NoTrial)?;
        self.previous = self.active;
        self.active = Some(version);
        let confirmed = self
            .versions
            .iter_mut()
            .filter(|found| found.number == version);
        confirmed.for_each(|found| (found.is_good, found.is_left) = (true, false));
        Ok(version)
    }

    /// Ends the trial of this version; false if it is not on trial any more.
    pub(crate) fn end_trial(&mut self, number: u32, why: Ended) -> bool {
        let is_on_trial = self.trial.is_some_and(|trial| trial.version == number);
        if is_on_trial {
            self.trial = None;
            self.leave(number, why);
        }
        is_on_trial
    }

    fn leave(&mut self, number: u32, why: Ended) {
        let left = self
            .versions
            .iter_mut()
            .filter(|found| found.number == number);
        left.for_each(|found| found.is_left = true);
        self.ended = Some(why);
    }

    /// Ends the trial; without one, goes back to the previous version. Returns the one that is active then.
    pub(crate) fn roll_back(&mut self, why: Ended) -> Result<Option<u32>, Refusal> {
        let left = match self.trial.take() {
            Some(trial) => trial.version,
            None => {
                let active = self.active.ok_or(Refusal::NoPrevious)?;
                self.active = self.previous.take();
                active
            }
        };
        self.leave(left, why);
        Ok(self.active)
    }

    /// Forgets a version whose file is damaged; false if it is not there any more. In place of the active one comes the
    /// best of [`Self::fallbacks`], else the backbone's own values.
    pub(crate) fn discard(&mut self, number: u32) -> bool {
        if self.version(number).is_none() {
            return false;
        }
        self.versions.retain(|version| version.number != number);
        self.end_trial(number, Ended::Damaged);
        if self.previous == Some(number) {
            self.previous = None;
        }
        if self.active == Some(number) {
            // What is on trial cannot be what its failure goes back to.
            let on_trial = self.trial.map(|trial| trial.version);
            let next = self.fallbacks().find(|&other| Some(other) != on_trial);
            self.active = next;
            self.previous = None;
            self.ended = Some(Ended::Damaged);
        }
        true
    }

    /// What to serve where the active version cannot be, best first: the previous one, then the good ones, newest first;
    /// none that was left since it was confirmed.
    pub(crate) fn fallbacks(&self) -> impl Iterator<Item = u32> {
        let is_new = |number: &u32| ![self.active, self.previous].contains(&Some(*number));
        let good = self.versions.iter().rev().filter(|version| version.is_good);
        let good = good.map(|version| version.number).filter(is_new);
        let is_kept = |number: &u32| self.version(*number).is_some_and(|found| !found.is_left);
        self.previous.into_iter().chain(good).filter(is_kept)
    }

    /// Forgets all versions but those in use, the one that is `served` among them, the `keep` newest good ones and the newest of
    /// all, which is about to be activated. Returns those that it forgets.
    pub(crate) fn forget_old(&mut self, keep: usize, served: Option<u32>) -> Vec<Version> {
        let good = self.versions.iter().rev().filter(|version| version.is_good);
        let mut kept: Vec<u32> = good.take(keep).map(|version| version.number).collect();
        kept.extend(self.versions.last().map(|version| version.number));
        kept.extend(
            [self.active, self.previous, self.serving(), served]
                .into_iter()
                .flatten(),
        );
        self.versions
            .extract_if(.., |version| !kept.contains(&version.number))
            .collect()
    }
}
