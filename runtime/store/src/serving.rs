//! What each task is served with, and how that follows its state.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use graft_runtime::{Patch, TaskSlot};

use crate::error::Error;
use crate::event::Event;
use crate::files;
use crate::self_check;
use crate::state::{Ended, TaskState, Trial};
use crate::store::PatchStore;

/// What a task is served with.
pub(crate) struct Served {
    pub(crate) slot: Arc<TaskSlot>,
    pub(crate) version: Option<u32>,
    /// The part of the state that this was chosen by; `None` before the first choice.
    chosen_by: Option<Named>,
}

/// A trial that this process serves.
pub(crate) struct Running {
    version: u32,
    patch: Arc<Patch>,
    good_runs: u32,
}

/// What decides which version is served: the trial, and the active version.
type Named = (Option<Trial>, Option<u32>);

fn named(state: &TaskState) -> Named {
    (state.trial(), state.active())
}

impl PatchStore {
    pub(crate) fn served(&self) -> MutexGuard<'_, BTreeMap<String, Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn trials(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a task is served with, to begin with the backbone's own values.
    pub(crate) fn entry<'a>(
        &self,
        served: &'a mut BTreeMap<String, Served>,
        task: &str,
    ) -> &'a mut Served {
        served.entry(task.into()).or_insert_with(|| Served {
            slot: Arc::new(TaskSlot::new(task, self.backbone.identity())),
            version: None,
            chosen_by: None,
        })
    }

    /// Counts a run of the patch on trial. Returns the version if this run decides: it has failed, which ends the trial
    /// for this process, or it is one of enough.
    pub(crate) fn count_run(&self, task: &str, patch: &Arc<Patch>, is_ok: bool) -> Option<u32> {
        let mut trials = self.trials();
        let trial = trials.get_mut(task)?;
        if !Arc::ptr_eq(&trial.patch, patch) {
            return None;
        }
        let version = trial.version;
        if !is_ok {
            trials.remove(task);
            return Some(version);
        }
        trial.good_runs = trial.good_runs.saturating_add(1);
        let enough = self.options.good_after?;
        (trial.good_runs >= enough).then_some(version)
    }

    /// Serves a task as its state says, whatever was chosen before.
    pub(crate) fn settle_anew(&self, task: &str) -> Vec<Event> {
        if let Some(served) = self.served().get_mut(task) {
            served.chosen_by = None;
        }
        self.settle(task)
    }

    /// Serves a task as its state says, or as well as can be.
    pub(crate) fn settle(&self, task: &str) -> Vec<Event> {
        let mut events = Vec::new();
        let mut all = self.served();
        let served = self.entry(&mut all, task);
        // What is found on the way may change the state, and so may other processes.
        loop {
            match self.folder.task(task) {
                Ok(state) if served.chosen_by == Some(named(&state)) => break,
                Ok(state) => {
                    self.choose(task, &state, served, &mut events);
                    served.chosen_by = Some(named(&state));
                }
                Err(Error::NoTask { .. }) => {
                    self.publish(task, served, None, &mut events);
                    break;
                }
                Err(error) => {
                    events.push(failure(task, error));
                    break;
                }
            }
        }
        events.iter().for_each(Event::log);
        events
    }

    /// Publishes the version that the state says, or the next best one.
    fn choose(&self, task: &str, state: &TaskState, served: &mut Served, events: &mut Vec<Event>) {
        let on_trial = state.trial().map(|trial| trial.version);
        if let Some(trial) = state.trial() {
            let is_running = |running: &Running| running.version == trial.version;
            if trial.is_served && self.trials().get(task).is_some_and(is_running) {
                return;
            }
            if let Some(patch) = self.begin_trial(task, state, trial, events) {
                return self.publish(task, served, Some((trial.version, patch, true)), events);
            }
        }
        // Without an active version the backbone's own values are it.
        let fallbacks = state.fallbacks().filter(|_| state.active().is_some());
        let candidates = state.active().into_iter().chain(fallbacks);
        for version in candidates.filter(|&version| Some(version) != on_trial) {
            let patch = match served.version == Some(version) {
                true => Ok(served.slot.patch()),
                false => self.load(task, state, version),
            };
            match patch {
                Ok(patch) => {
                    return self.publish(task, served, Some((version, patch, false)), events);
                }
                Err(error) => {
                    if let Error::Damaged { .. } = error {
                        let _ = self.leave(task, version, Ended::Damaged, events);
                    }
                    events.push(failure(task, error));
                }
            }
        }
        self.publish(task, served, None, events);
    }

    /// The patch of a trial that this process is the first to serve. Any other ends: its owner did not live to confirm
    /// it. So does one that fails a check, and one of which it cannot be written that it is served.
    fn begin_trial(
        &self,
        task: &str,
        state: &TaskState,
        trial: Trial,
        events: &mut Vec<Event>,
    ) -> Option<Arc<Patch>> {
        let version = trial.version;
        if trial.is_served {
            let _ = self.leave(task, version, Ended::Reset, events);
            return None;
        }
        let has_policy = self.backbone.trust().is_some();
        // Before anything of the patch runs: if that ends the process, the next owner must know.
        let is_begun = self
            .folder
            .change(task, |state| state.serve_trial(version, has_policy));
        let checked = is_begun.and_then(|is_begun| match is_begun {
            true => self.load_checked(task, state, version).map(Some),
            false => Ok(None),
        });
        match checked {
            Ok(patch) => patch,
            Err(error) => {
                let why = match matches!(error, Error::Damaged { .. }) {
                    true => Ended::Damaged,
                    false => Ended::SelfCheck,
                };
                events.push(failure(task, error));
                let _ = self.leave(task, version, why, events);
                None
            }
        }
    }

    fn load(&self, task: &str, state: &TaskState, version: u32) -> Result<Arc<Patch>, Error> {
        let damaged = || Error::Damaged {
            task: task.into(),
            version,
        };
        let version = state.version(version).ok_or_else(damaged)?;
        Ok(self.folder.load(task, version, &self.backbone)?.into())
    }

    fn load_checked(
        &self,
        task: &str,
        state: &TaskState,
        version: u32,
    ) -> Result<Arc<Patch>, Error> {
        let patch = self.load(task, state, version)?;
        self_check::run(&patch, &self.backbone)?;
        if let Some(check) = &self.options.check {
            check(&patch).map_err(|reason| Error::SelfCheck { reason })?;
        }
        Ok(patch)
    }

    /// Writes that a version is left, and tells it. Where another process was quicker nothing is written, and told.
    pub(crate) fn leave(
        &self,
        task: &str,
        version: u32,
        why: Ended,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let is_left = self.folder.change(task, |state| {
            Ok(match why {
                Ended::Damaged => state.discard(version),
                Ended::Asked | Ended::Reset | Ended::SelfCheck => state.end_trial(version, why),
            })
        })?;
        if !is_left {
            return Ok(());
        }
        events.push(Event::Left {
            task: task.into(),
            version,
            why,
        });
        if why == Ended::Damaged {
            // Where it stays, it is garbage: no number is given twice.
            let _ = files::remove(&self.folder.patch_path(task, version));
        }
        Ok(())
    }

    /// Publishes a patch of a version, on trial or not, or the backbone's own values.
    fn publish(
        &self,
        task: &str,
        served: &mut Served,
        chosen: Option<(u32, Arc<Patch>, bool)>,
        events: &mut Vec<Event>,
    ) {
        let (version, patch, on_trial) = match chosen {
            Some((version, patch, on_trial)) => (Some(version), patch, on_trial),
            None => (None, self.backbone.identity().into(), false),
        };
        let was_on_trial = self.trials().remove(task).is_some();
        if let (Some(version), true) = (version, on_trial) {
            let patch = patch.clone();
            let running = Running {
                version,
                patch,
                good_runs: 0,
            };
            self.trials().insert(task.into(), running);
        }
        if !Arc::ptr_eq(&served.slot.patch(), &patch)
            && let Err(error) = served.slot.publish(patch)
        {
            events.push(failure(task, error.into()));
            return;
        }
        if served.version != version || was_on_trial != on_trial {
            served.version = version;
            events.push(Event::Serving {
                task: task.into(),
                version,
                on_trial,
            });
        }
    }
}

fn failure(task: &str, error: Error) -> Event {
    Event::Failed {
        task: task.into(),
        error,
    }
}
