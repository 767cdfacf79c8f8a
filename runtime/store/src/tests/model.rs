//! Random steps, allowed and not: the store serves and says what a plain model does, in memory and after a start.

use std::collections::BTreeSet;
use std::fs;

use graft_runtime::Backbone;
use proptest::prelude::*;

use super::shared::{backbone, folder, patch};
use crate::{Ended, Error, Limits, Options, PatchStore, State, StoreFolder};

const GOOD_AFTER: u32 = 3;
const LIMITS: Limits = Limits {
    tasks: 1,
    versions: 6,
    patch_bytes: 1 << 20,
    bytes: 1 << 24,
    keep: 1,
};

#[derive(Clone, Debug)]
enum Step {
    /// A patch of this score, by the owner or from outside.
    Install(u8, bool),
    /// The version of this number, or the newest; by the owner or from outside.
    Activate(Option<u32>, bool),
    Confirm(bool),
    RollBack(bool),
    Run(bool),
    CollectGarbage,
    /// The file of this version goes.
    Damage(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let version = prop::option::weighted(0.6, 1..10_u32);
    prop_oneof![
        6 => (0..8_u8, any::<bool>()).prop_map(|(score, outside)| Step::Install(score, outside)),
        8 => (version, any::<bool>()).prop_map(|(version, outside)| Step::Activate(version, outside)),
        5 => any::<bool>().prop_map(Step::Confirm),
        3 => any::<bool>().prop_map(Step::RollBack),
        5 => prop::bool::weighted(0.9).prop_map(Step::Run),
        2 => Just(Step::CollectGarbage),
        1 => (1..10_u32).prop_map(Step::Damage),
        2 => Just(Step::Restart),
    ]
}

#[derive(Debug, PartialEq)]
struct Refused;

/// What a task should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// Number, score, whether it is good.
    versions: Vec<(u32, u8, bool)>,
    installed: u32,
    /// What was confirmed, oldest first, as far as a rollback can reach: at most two.
    confirmed: Vec<u32>,
    /// Number and runs.
    trial: Option<(u32, u32)>,
    ended: Option<Ended>,
    /// What was left and not confirmed since.
    left: BTreeSet<u32>,
    missing: BTreeSet<u32>,
}

impl Model {
    fn has(&self, number: u32) -> bool {
        self.versions.iter().any(|version| version.0 == number)
    }

    fn active(&self) -> Option<u32> {
        self.confirmed.last().copied()
    }

    fn serving(&self) -> Option<u32> {
        self.trial.map(|trial| trial.0).or(self.active())
    }

    fn take(&mut self, step: &Step) -> Result<(), Refused> {
        match *step {
            Step::Install(score, _) => self.install(score),
            Step::Activate(number, _) => self.activate(number),
            Step::Confirm(_) => self.confirm(),
            Step::RollBack(_) => self.roll_back(Ended::Asked),
            Step::Run(is_ok) => {
                self.run(is_ok);
                Ok(())
            }
            Step::CollectGarbage => {
                self.collect_garbage();
                Ok(())
            }
            Step::Damage(number) => {
                if self.has(number) {
                    self.missing.insert(number);
                }
                Ok(())
            }
            Step::Restart => {
                if let Some((number, _)) = self.trial.take() {
                    self.left.insert(number);
                    self.ended = Some(Ended::Reset);
                }
                self.leave_missing();
                Ok(())
            }
        }
    }

    fn install(&mut self, score: u8) -> Result<(), Refused> {
        if let Some(version) = self.versions.iter().find(|version| version.1 == score) {
            self.missing.remove(&version.0);
            return Ok(());
        }
        // At most five are kept, so there is room then.
        if self.versions.len() as u64 == LIMITS.versions {
            self.collect_garbage();
        }
        self.installed += 1;
        self.versions.push((self.installed, score, false));
        Ok(())
    }

    fn activate(&mut self, number: Option<u32>) -> Result<(), Refused> {
        let newest = self.versions.last().ok_or(Refused)?.0;
        let number = number.unwrap_or(newest);
        if !self.has(number) {
            return Err(Refused);
        }
        if self.serving() == Some(number) {
            return Ok(());
        }
        if self.trial.is_some() || self.missing.contains(&number) {
            return Err(Refused);
        }
        self.trial = Some((number, 0));
        self.ended = None;
        Ok(())
    }

    fn confirm(&mut self) -> Result<(), Refused> {
        let (number, _) = self.trial.take().ok_or(Refused)?;
        let confirmed = self.versions.iter_mut().find(|found| found.0 == number);
        confirmed.expect("it is there").2 = true;
        self.left.remove(&number);
        self.confirmed.push(number);
        self.confirmed
            .drain(..self.confirmed.len().saturating_sub(2));
        Ok(())
    }

    fn roll_back(&mut self, why: Ended) -> Result<(), Refused> {
        let left = match self.trial.take() {
            Some((number, _)) => number,
            None => self.confirmed.pop().ok_or(Refused)?,
        };
        self.left.insert(left);
        self.ended = Some(why);
        self.leave_missing();
        Ok(())
    }

    fn run(&mut self, is_ok: bool) {
        let Some(trial) = &mut self.trial else {
            return;
        };
        trial.1 += 1;
        match is_ok {
            true if trial.1 == GOOD_AFTER => self.confirm().expect("one is on trial"),
            true => {}
            false => self.roll_back(Ended::SelfCheck).expect("one is on trial"),
        }
    }

    fn collect_garbage(&mut self) {
        let newest = self.versions.last().map(|version| version.0);
        let good = self.versions.iter().rfind(|version| version.2);
        let mut kept: Vec<u32> = newest.into_iter().chain(good.map(|g| g.0)).collect();
        kept.extend(self.confirmed.iter().copied().chain(self.serving()));
        self.versions.retain(|version| kept.contains(&version.0));
    }

    /// What comes to be served must be there.
    fn leave_missing(&mut self) {
        while let Some(active) = self.active()
            && self.missing.contains(&active)
        {
            self.versions.retain(|version| version.0 != active);
            self.confirmed
                .retain(|number| *number != active && !self.left.contains(number));
            if self.confirmed.is_empty() {
                let mut good = self.versions.iter().filter(|version| version.2);
                let good = good.rfind(|version| !self.left.contains(&version.0));
                self.confirmed.extend(good.map(|version| version.0));
            }
            let skip = self.confirmed.len().saturating_sub(1);
            self.confirmed.drain(..skip);
            self.ended = Some(Ended::Damaged);
        }
    }
}

/// The store under test, and a tool beside it.
struct Tested {
    backbone: Backbone,
    outside: StoreFolder,
    store: Option<PatchStore>,
}

impl Tested {
    fn open(&mut self) {
        self.store = None; // One owner at a time.
        let options = Options {
            limits: LIMITS,
            good_after: Some(GOOD_AFTER),
            check: None,
        };
        let store = PatchStore::open(self.outside.path(), &self.backbone, options);
        self.store = Some(store.unwrap());
    }

    fn store(&self) -> &PatchStore {
        self.store.as_ref().expect("it is open")
    }

    fn take(&mut self, step: &Step) -> Result<(), Error> {
        let (outside, store) = (&self.outside, self.store());
        match *step {
            Step::Install(score, is_outside) => {
                let bytes = patch(&self.backbone, "t", score.into());
                match is_outside {
                    true => outside.install(&bytes, &self.backbone).map(drop),
                    false => store.install(&bytes).map(drop),
                }?;
            }
            Step::Activate(version, is_outside) => {
                match is_outside {
                    true => outside.activate("t", version, &self.backbone),
                    false => store.activate("t", version),
                }?;
            }
            Step::Confirm(is_outside) => {
                match is_outside {
                    true => outside.confirm("t"),
                    false => store.confirm("t"),
                }?;
            }
            Step::RollBack(is_outside) => {
                match is_outside {
                    true => outside.roll_back("t", Ended::Asked),
                    false => store.roll_back("t", Ended::Asked),
                }?;
            }
            Step::Run(is_ok) => {
                let patch = store.slot("t")?.patch();
                store.record_run("t", &patch, is_ok)?;
            }
            Step::CollectGarbage => {
                store.collect_garbage()?;
            }
            Step::Damage(version) => drop(fs::remove_file(outside.patch_path("t", version))),
            Step::Restart => self.open(),
        }
        self.store().refresh().unwrap();
        Ok(())
    }

    /// The model that says what the store says.
    fn seen(&self, model: &Model) -> Model {
        let Ok(task) = self.outside.task("t") else {
            return Model::default();
        };
        let versions = task.versions().iter().map(|version| {
            let state = task.state(version);
            let is_trial = task.trial().map(|t| t.version) == Some(version.number);
            assert_eq!(state == State::Trial, is_trial);
            let score = (0..8).find(|&score| {
                let bytes = patch(&self.backbone, "t", score.into());
                graft_patches::Digest::of(&bytes) == version.digest
            });
            (
                version.number,
                score.expect("it was installed"),
                version.is_good,
            )
        });
        let confirmed = task.previous().into_iter().chain(task.active());
        Model {
            versions: versions.collect(),
            confirmed: confirmed.collect(),
            trial: task.trial().map(|trial| {
                assert!(trial.is_served);
                (trial.version, model.trial.map_or(0, |trial| trial.1))
            }),
            ended: task.ended(),
            ..model.clone()
        }
    }
}

fn compare(steps: &[Step]) {
    let folder = folder();
    let mut tested = Tested {
        backbone: backbone(),
        outside: StoreFolder::new(folder.path(), LIMITS),
        store: None,
    };
    tested.open();
    let mut model = Model::default();
    for step in steps {
        let mut next = model.clone();
        let allowed = next.take(step);
        match tested.take(step) {
            Ok(()) => {
                assert_eq!(allowed, Ok(()), "{step:?} was not refused");
                model = next;
            }
            Err(error) => assert_eq!(allowed, Err(Refused), "{step:?}: {error}"),
        }
        let seen = tested.seen(&model);
        assert_eq!(seen, model, "after {step:?}");
        assert_eq!(
            tested.store().version("t"),
            model.serving(),
            "after {step:?}"
        );
        let served = tested.store().slot("t").unwrap().patch();
        let digest = served.image().map(|image| image.bytes().to_vec());
        let score = model.serving().and_then(|number| {
            model
                .versions
                .iter()
                .find(|version| version.0 == number)
                .map(|version| patch(&tested.backbone, "t", version.1.into()))
        });
        assert!(digest == score, "after {step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn the_store_does_what_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        compare(&steps);
    }
}
