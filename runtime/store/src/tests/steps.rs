//! Each step, what it refuses, and what a store serves after damage.

use std::fs;
use std::path::Path;

use graft_patches::Digest;
use graft_patches::signature::Trust;
use graft_patches::writer::{SigningKey, sign};
use graft_runtime::{ImageBytes, Session};
use tempfile::TempDir;

use super::shared::{backbone, folder, head, patch};
use crate::{
    Ended, Error, Event, Limit, Limits, Options, PatchStore, Refusal, State, StoreFolder, Trial,
};

struct Fixture {
    folder: TempDir,
    backbone: graft_runtime::Backbone,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: folder(),
            backbone: backbone(),
        }
    }

    fn path(&self, name: impl AsRef<Path>) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A store of its own.
    fn open(&self) -> PatchStore {
        self.open_with(Options::default())
    }

    fn open_with(&self, options: Options) -> PatchStore {
        PatchStore::open(self.folder.path(), &self.backbone, options).unwrap()
    }

    fn outside(&self) -> StoreFolder {
        StoreFolder::new(self.folder.path(), Limits::default())
    }

    fn patch(&self, score: f32) -> Vec<u8> {
        patch(&self.backbone, "t", score)
    }

    /// A store that has confirmed a version for each of these scores.
    fn confirmed(&self, scores: &[f32]) {
        let outside = self.outside();
        for &score in scores {
            outside.install(&self.patch(score), &self.backbone).unwrap();
            outside.activate("t", None, &self.backbone).unwrap();
            outside.confirm("t").unwrap();
        }
    }

    /// The score that the task is served with; `None` for the backbone's own values.
    fn score(&self, store: &PatchStore) -> Option<f32> {
        let patch = store.slot("t").unwrap().patch();
        patch.image()?;
        let mut session = Session::new(&self.backbone).unwrap();
        let scores = session.run(&patch, &[0; 48 * 48 * 3]).unwrap();
        Some(scores[0])
    }

    fn patch_file(&self, version: u32) -> std::path::PathBuf {
        self.path("tasks/t").join(format!("{version:010}.patch"))
    }
}

fn refusal(error: Error) -> Refusal {
    let Error::Refused { refusal, .. } = error else {
        panic!("{error}");
    };
    refusal
}

#[test]
fn a_patch_is_installed_tried_confirmed_and_left() {
    let f = Fixture::new();
    let store = f.open();
    let slot = store.slot("t").unwrap();
    assert!(slot.patch().image().is_none());
    let first = store.install(&f.patch(1.0)).unwrap();
    assert_eq!((first.version, first.is_new), (1, true));
    assert_eq!(f.score(&store), None);
    assert_eq!(store.activate("t", None).unwrap(), 1);
    assert_eq!(f.score(&store), Some(1.0));
    assert_eq!(store.confirm("t").unwrap(), 1);
    store.install(&f.patch(2.0)).unwrap();
    store.activate("t", None).unwrap();
    assert_eq!(f.score(&store), Some(2.0));
    let task = store.folder().task("t").unwrap();
    let states = task.versions().iter().map(|version| task.state(version));
    assert_eq!(states.collect::<Vec<_>>(), [State::Good, State::Trial]);
    assert_eq!(store.roll_back("t", Ended::Asked).unwrap(), Some(1));
    assert_eq!(f.score(&store), Some(1.0));
    assert_eq!(store.roll_back("t", Ended::Asked).unwrap(), None);
    assert_eq!(f.score(&store), None);
    assert!(slot.patch().image().is_none());
    let error = store.roll_back("t", Ended::Asked).unwrap_err();
    assert_eq!(refusal(error), Refusal::NoPrevious);
    // One that was confirmed may come back.
    assert_eq!(store.activate("t", Some(1)).unwrap(), 1);
    assert_eq!(f.score(&store), Some(1.0));
}

#[test]
fn the_same_patch_is_kept_once() {
    let f = Fixture::new();
    let store = f.open();
    store.install(&f.patch(1.0)).unwrap();
    store.install(&f.patch(2.0)).unwrap();
    let again = store.install(&f.patch(1.0)).unwrap();
    assert_eq!((again.version, again.is_new), (1, false));
    assert_eq!(fs::read(f.patch_file(1)).unwrap(), f.patch(1.0));
    assert_eq!(store.folder().task("t").unwrap().versions().len(), 2);
}

#[test]
fn a_damaged_version_is_whole_again_once_it_is_installed_again() {
    let f = Fixture::new();
    f.confirmed(&[1.0, 2.0]);
    let store = f.open();
    fs::write(f.patch_file(1), b"something else").unwrap();
    let error = store.activate("t", Some(1)).unwrap_err();
    assert!(
        matches!(error, Error::Damaged { version: 1, .. }),
        "{error}"
    );
    assert_eq!(store.install(&f.patch(1.0)).unwrap().version, 1);
    store.activate("t", Some(1)).unwrap();
    assert_eq!(f.score(&store), Some(1.0));
}

#[test]
fn a_patch_above_the_limit_is_not_read() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    let limits = Limits {
        patch_bytes: 1000,
        ..Limits::default()
    };
    let store = f.open_with(Options {
        limits,
        ..Options::default()
    });
    assert_eq!(f.score(&store), None);
    assert!(store.folder().task("t").unwrap().version(1).is_some());
}

#[test]
fn a_trial_ends_with_its_owner() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    let store = f.open();
    store.install(&f.patch(2.0)).unwrap();
    store.activate("t", None).unwrap();
    assert_eq!(f.score(&store), Some(2.0));
    drop(store);
    let store = f.open();
    let [Event::Left { version, why, .. }, Event::Serving { .. }] = store.recovered() else {
        panic!("{:?}", store.recovered());
    };
    assert_eq!((*version, *why), (2, Ended::Reset));
    assert_eq!(f.score(&store), Some(1.0));
    assert_eq!(
        store.folder().task("t").unwrap().ended(),
        Some(Ended::Reset)
    );
}

#[test]
fn a_trial_that_nobody_has_served_begins_with_the_owner() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    let outside = f.outside();
    outside.install(&f.patch(2.0), &f.backbone).unwrap();
    outside.activate("t", None, &f.backbone).unwrap();
    let trial = |is_served| {
        Some(Trial {
            version: 2,
            is_served,
        })
    };
    assert_eq!(outside.task("t").unwrap().trial(), trial(false));
    let store = f.open();
    assert_eq!(f.score(&store), Some(2.0));
    assert_eq!(outside.task("t").unwrap().trial(), trial(true));
    drop(store);
    assert_eq!(f.score(&f.open()), Some(1.0));
}

#[test]
fn changes_from_outside_are_served_after_a_refresh() {
    let f = Fixture::new();
    let store = f.open();
    let slot = store.slot("t").unwrap();
    let outside = f.outside();
    f.confirmed(&[1.0]);
    assert!(slot.patch().image().is_none());
    let served = |events: Vec<Event>| {
        let versions = events.iter().map(|event| {
            let Event::Serving {
                version, on_trial, ..
            } = event
            else {
                panic!("{event}");
            };
            (*version, *on_trial)
        });
        versions.collect::<Vec<_>>()
    };
    assert_eq!(served(store.refresh().unwrap()), [(Some(1), false)]);
    assert_eq!(served(store.refresh().unwrap()), []);
    outside.install(&f.patch(2.0), &f.backbone).unwrap();
    assert_eq!(served(store.refresh().unwrap()), []);
    outside.activate("t", None, &f.backbone).unwrap();
    assert_eq!(served(store.refresh().unwrap()), [(Some(2), true)]);
    let on_trial = slot.patch();
    // The same version once more is another trial.
    outside.roll_back("t", Ended::Asked).unwrap();
    outside.activate("t", None, &f.backbone).unwrap();
    store.refresh().unwrap();
    store.record_run("t", &on_trial, false).unwrap();
    assert_eq!(f.score(&store), Some(2.0));
    outside.confirm("t").unwrap();
    assert_eq!(served(store.refresh().unwrap()), [(Some(2), false)]);
    fs::remove_dir_all(f.path("tasks/t")).unwrap();
    assert_eq!(served(store.refresh().unwrap()), [(None, false)]);
    assert_eq!(f.score(&store), None);
}

#[test]
fn enough_good_runs_make_a_version_good_and_a_bad_one_ends_the_trial() {
    let f = Fixture::new();
    let store = f.open_with(Options {
        good_after: Some(3),
        ..Options::default()
    });
    let slot = store.slot("t").unwrap();
    let run = |is_ok| store.record_run("t", &slot.patch(), is_ok).unwrap();
    run(false);
    store.install(&f.patch(1.0)).unwrap();
    store.activate("t", None).unwrap();
    run(true);
    run(true);
    let own = f.backbone.identity().into();
    store.record_run("t", &own, true).unwrap();
    store.record_run("t", &own, false).unwrap();
    assert!(store.folder().task("t").unwrap().trial().is_some());
    run(true);
    assert_eq!(store.folder().task("t").unwrap().active(), Some(1));
    store.install(&f.patch(2.0)).unwrap();
    store.activate("t", None).unwrap();
    run(true);
    run(true);
    run(false);
    let task = store.folder().task("t").unwrap();
    assert_eq!((task.active(), task.trial()), (Some(1), None));
    assert_eq!(task.ended(), Some(Ended::SelfCheck));
    assert_eq!(f.score(&store), Some(1.0));
    // Without a trial a run says nothing of a patch.
    run(false);
    assert_eq!(f.score(&store), Some(1.0));
}

#[test]
fn what_fails_a_check_is_not_served() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    let store = f.open_with(Options {
        check: Some(Box::new(|_| Err("too slow".into()))),
        ..Options::default()
    });
    let infinite = store
        .install(&head(&f.backbone, "t", f32::MAX, 0.0))
        .unwrap();
    let own = store.install(&f.patch(3.0)).unwrap();
    for (version, reason, ended) in [
        (infinite.version, "score of class", None),
        (own.version, "too slow", Some(Ended::SelfCheck)),
    ] {
        let error = store.activate("t", Some(version)).unwrap_err();
        assert!(matches!(error, Error::SelfCheck { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(f.score(&store), Some(1.0));
        let task = store.folder().task("t").unwrap();
        assert_eq!((task.trial(), task.ended()), (None, ended));
    }
}

#[test]
fn damage_makes_way_for_the_last_good_version() {
    let f = Fixture::new();
    f.confirmed(&[1.0, 2.0, 3.0]);
    // The previous version goes first, then the others, then the backbone's own values.
    for (damaged, expected) in [(3, Some(2.0)), (2, Some(1.0)), (1, None)] {
        match damaged {
            2 => fs::remove_file(f.patch_file(damaged)).unwrap(),
            _ => fs::write(f.patch_file(damaged), b"something else").unwrap(),
        }
        let store = f.open();
        let left = store.recovered().iter().any(|event| match event {
            Event::Left { version, why, .. } => *version == damaged && *why == Ended::Damaged,
            Event::Serving { .. } | Event::Failed { .. } => false,
        });
        assert!(left, "{:?}", store.recovered());
        assert_eq!(f.score(&store), expected);
        let task = store.folder().task("t").unwrap();
        assert_eq!(task.active().is_some(), expected.is_some());
        assert!(task.version(damaged).is_none());
        drop(store);
        let again = f.open();
        assert!(again.recovered().len() <= 1, "{:?}", again.recovered());
    }
}

#[test]
fn several_damaged_versions_are_left_at_once() {
    let f = Fixture::new();
    f.confirmed(&[1.0, 2.0, 3.0]);
    for version in [2, 3] {
        let mut bytes = fs::read(f.patch_file(version)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(f.patch_file(version), bytes).unwrap();
    }
    let store = f.open();
    assert_eq!(f.score(&store), Some(1.0));
    assert_eq!(store.folder().task("t").unwrap().active(), Some(1));
}

#[test]
fn a_damaged_state_leaves_the_backbones_own_values_and_is_kept() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    fs::write(f.path("tasks/t/state"), b"something else").unwrap();
    let store = f.open();
    let [Event::Failed { error, .. }] = store.recovered() else {
        panic!("{:?}", store.recovered());
    };
    assert!(matches!(error, Error::State { .. }), "{error}");
    assert_eq!(f.score(&store), None);
    for error in [
        store.install(&f.patch(2.0)).unwrap_err(),
        store.activate("t", None).unwrap_err(),
        store.confirm("t").unwrap_err(),
    ] {
        assert!(matches!(error, Error::State { .. }), "{error}");
    }
    store.collect_garbage().unwrap();
    assert_eq!(fs::read(f.patch_file(1)).unwrap(), f.patch(1.0));
}

#[test]
fn a_store_has_one_owner_and_one_backbone() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    let store = f.open();
    let open = |backbone| PatchStore::open(f.folder.path(), backbone, Options::default());
    let error = open(&f.backbone).unwrap_err();
    assert!(matches!(error, Error::Owned { .. }), "{error}");
    drop(store);
    let int8 = "/../../tools/assets/demo/int8/demo.backbone";
    let int8 = graft_runtime::Backbone::open(format!("{}{int8}", env!("CARGO_MANIFEST_DIR")));
    let int8 = int8.unwrap();
    let error = open(&int8).unwrap_err();
    assert!(matches!(error, Error::OtherBackbone { .. }), "{error}");
    let outside = f.outside();
    let error = outside.install(&f.patch(2.0), &int8).unwrap_err();
    assert!(matches!(error, Error::Patch(_)), "{error}");
    outside.install(&f.patch(2.0), &f.backbone).unwrap();
    let error = outside.activate("t", None, &int8).unwrap_err();
    assert!(matches!(error, Error::OtherBackbone { .. }), "{error}");
    assert_eq!(f.score(&open(&f.backbone).unwrap()), Some(1.0));
}

#[test]
fn an_older_counter_is_refused_but_for_what_was_confirmed() {
    let f = Fixture::new();
    let key = SigningKey::from_seed([7; 32]);
    let signed = |score: f32, counter| {
        let bytes = ImageBytes::copied(&f.patch(score));
        sign(bytes.as_slice(), &key, counter).unwrap()
    };
    // Without a policy, too, a counter counts.
    let store = f.open();
    let old = |error: Error| {
        let refusal = refusal(error);
        let Refusal::Older { found, expected } = refusal else {
            panic!("{refusal}");
        };
        (found, expected)
    };
    store.install(&signed(1.0, 5)).unwrap();
    store.activate("t", None).unwrap();
    store.confirm("t").unwrap();
    store.install(&signed(2.0, 5)).unwrap();
    store.install(&signed(3.0, 9)).unwrap();
    let highest = || store.folder().task("t").unwrap().highest_counter();
    assert_eq!(highest(), Some(9));
    // Version 1 is good, but a patch that is installed is a new one.
    for score in [1.0, 4.0] {
        assert_eq!(old(store.install(&signed(score, 5)).unwrap_err()), (5, 9));
    }
    // Installed in time, but never confirmed.
    assert_eq!(old(store.activate("t", Some(2)).unwrap_err()), (5, 9));
    store.activate("t", Some(3)).unwrap();
    store.confirm("t").unwrap();
    store.activate("t", Some(1)).unwrap();
    store.confirm("t").unwrap();
    assert_eq!(f.score(&store), Some(1.0));
    // Nothing makes the highest counter fall, and without a policy a patch without one runs.
    store.install(&f.patch(6.0)).unwrap();
    store.collect_garbage().unwrap();
    drop(store);
    let store = f.open();
    assert_eq!(store.folder().task("t").unwrap().highest_counter(), Some(9));
    store.activate("t", None).unwrap();
    assert_eq!(f.score(&store), Some(6.0));
}

#[test]
fn with_a_policy_only_what_is_trusted_is_installed_and_served() {
    let mut f = Fixture::new();
    let key = SigningKey::from_seed([7; 32]);
    let bytes = ImageBytes::copied(&f.patch(2.0));
    let signed = sign(bytes.as_slice(), &key, 1).unwrap();
    f.confirmed(&[1.0]);
    f.outside().install(&signed, &f.backbone).unwrap();
    f.outside().activate("t", None, &f.backbone).unwrap();
    f.outside().confirm("t").unwrap();
    let trusting = |key: &SigningKey| backbone().trusting(Trust::one(key.public()));
    f.backbone = trusting(&key);
    let store = f.open();
    assert_eq!(f.score(&store), Some(2.0));
    let error = store.install(&f.patch(3.0)).unwrap_err();
    assert!(matches!(error, Error::Patch(_)), "{error}");
    let error = store.activate("t", Some(1)).unwrap_err();
    assert!(matches!(error, Error::Patch(_)), "{error}");
    // Version 1, to which it goes back, is not signed: the good one that is left is served, and the state stays.
    store.roll_back("t", Ended::Asked).unwrap();
    assert_eq!(f.score(&store), Some(2.0));
    assert_eq!(store.folder().task("t").unwrap().active(), Some(1));
    drop(store);
    f.backbone = backbone();
    assert_eq!(f.score(&f.open()), Some(1.0));
    f.outside().activate("t", Some(2), &f.backbone).unwrap();
    f.outside().confirm("t").unwrap();
    f.backbone = trusting(&SigningKey::from_seed([8; 32]));
    let store = f.open();
    assert_eq!(f.score(&store), None);
    assert!(matches!(
        store.recovered(),
        [Event::Failed { .. }, Event::Failed { .. }]
    ));
}

#[test]
fn names_that_are_no_plain_folder_are_refused() {
    let f = Fixture::new();
    let store = f.open();
    let long = "x".repeat(65);
    for name in ["", ".", "..", "../t", "a/b", ".hidden", "a b", "ä", &long] {
        let error = store.install(&patch(&f.backbone, name, 1.0)).unwrap_err();
        assert!(matches!(error, Error::TaskName { .. }), "{name}: {error}");
        assert!(store.slot(name).is_err(), "{name}");
        assert!(store.folder().task(name).is_err(), "{name}");
    }
    for name in ["t", "T-1_2.x", &long[..64]] {
        store.install(&patch(&f.backbone, name, 1.0)).unwrap();
    }
}

#[test]
fn limits_are_kept() {
    let f = Fixture::new();
    let bytes = f.patch(1.0).len() as u64;
    let refused = |limits, task: &str| {
        let store = StoreFolder::new(f.folder.path(), limits);
        let found = store.install(&patch(&f.backbone, task, 9.0), &f.backbone);
        let error = found.unwrap_err();
        let Error::Limit {
            limit,
            found,
            expected,
        } = error
        else {
            panic!("{error}");
        };
        (limit, found, expected)
    };
    f.confirmed(&[1.0, 2.0]);
    let limits = Limits::default();
    let patch_bytes = bytes - 1;
    let found = refused(
        Limits {
            patch_bytes,
            ..limits
        },
        "t",
    );
    assert_eq!(found, (Limit::PatchBytes, bytes, bytes - 1));
    let found = refused(
        Limits {
            versions: 2,
            ..limits
        },
        "t",
    );
    assert_eq!(found, (Limit::Versions, 3, 2));
    let found = refused(Limits { tasks: 1, ..limits }, "u");
    assert_eq!(found, (Limit::Tasks, 2, 1));
    let all = 3 * bytes - 1;
    let found = refused(
        Limits {
            bytes: all,
            ..limits
        },
        "u",
    );
    assert_eq!(found, (Limit::Bytes, 3 * bytes, all));
    assert_eq!(f.outside().tasks().unwrap(), ["t"]);
}

#[test]
fn what_is_served_in_place_of_the_active_version_is_no_garbage() {
    let mut f = Fixture::new();
    let key = SigningKey::from_seed([7; 32]);
    let bytes = ImageBytes::copied(&f.patch(1.0));
    let signed = sign(bytes.as_slice(), &key, 1).unwrap();
    f.outside().install(&signed, &f.backbone).unwrap();
    f.outside().activate("t", None, &f.backbone).unwrap();
    f.outside().confirm("t").unwrap();
    f.confirmed(&[2.0, 3.0]);
    // Active is 3, previous 2; with the policy only 1 can be served.
    f.backbone = backbone().trusting(Trust::one(key.public()));
    let open = || {
        f.open_with(Options {
            limits: Limits {
                keep: 1,
                ..Limits::default()
            },
            ..Options::default()
        })
    };
    let store = open();
    assert_eq!(f.score(&store), Some(1.0));
    assert_eq!(store.collect_garbage().unwrap().versions, 0);
    drop(store);
    assert_eq!(f.score(&open()), Some(1.0));
}

#[test]
fn garbage_goes_and_what_is_needed_stays() {
    let f = Fixture::new();
    let limits = Limits {
        keep: 2,
        ..Limits::default()
    };
    let store = StoreFolder::new(f.folder.path(), limits);
    f.confirmed(&[1.0, 2.0, 3.0, 4.0, 5.0]);
    store.activate("t", Some(1), &f.backbone).unwrap();
    for score in [6.0, 7.0] {
        store.install(&f.patch(score), &f.backbone).unwrap();
    }
    let left = ["0000000099.patch", "0000000008.patch.tmp", "state.tmp"];
    let foreign = ["notes.txt", "1.patch", "mine.patch", "0000000001.patchtmp"];
    for name in left.iter().chain(&foreign) {
        fs::write(f.path("tasks/t").join(name), b"left").unwrap();
    }
    fs::create_dir(f.path("tasks/unfinished")).unwrap();
    fs::write(f.path("tasks/unfinished/0000000001.patch"), b"left").unwrap();
    let collected = store.collect_garbage().unwrap();
    // Active is 5, previous 4, both among the good ones that are kept; 1 is on trial, 7 the newest.
    assert_eq!((collected.versions, collected.files), (3, 4));
    let bytes = f.patch(1.0).len() as u64;
    assert_eq!(collected.bytes, 3 * bytes + 4 * 4);
    let task = store.task("t").unwrap();
    let numbers = task.versions().iter().map(|version| version.number);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 4, 5, 7]);
    let mut names: Vec<_> = fs::read_dir(f.path("tasks/t"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected: Vec<_> = [1, 4, 5, 7].map(|n| format!("{n:010}.patch")).into();
    expected.extend(foreign.map(String::from));
    expected.push("state".into());
    expected.sort();
    assert_eq!(names, expected);
    assert!(!f.path("tasks/unfinished").exists());
    assert_eq!(
        store.collect_garbage().unwrap(),
        crate::Collected::default()
    );
}

#[test]
fn a_folder_without_a_store_is_an_error_until_the_first_install() {
    let f = Fixture::new();
    let store = StoreFolder::new(f.path("none"), Limits::default());
    for error in [
        store.tasks().unwrap_err(),
        store.confirm("t").unwrap_err(),
        store.collect_garbage().unwrap_err(),
    ] {
        assert!(matches!(error, Error::NoStore { .. }), "{error}");
    }
    let error = store.install(b"no patch", &f.backbone).unwrap_err();
    assert!(matches!(error, Error::Patch(_)), "{error}");
    assert!(!f.path("none").exists());
    store.install(&f.patch(1.0), &f.backbone).unwrap();
    assert_eq!(store.tasks().unwrap(), ["t"]);
    let error = store.confirm("u").unwrap_err();
    assert!(matches!(error, Error::NoTask { .. }), "{error}");
}

#[test]
fn changes_of_many_threads_wait_for_each_other() {
    let f = Fixture::new();
    let scores: Vec<f32> = (0..12u8).map(f32::from).collect();
    std::thread::scope(|scope| {
        for part in scores.chunks(3) {
            let f = &f;
            scope.spawn(move || {
                for &score in part {
                    let installed = f.outside().install(&f.patch(score), &f.backbone).unwrap();
                    let bytes = fs::read(f.patch_file(installed.version)).unwrap();
                    assert_eq!(Digest::of(&bytes), Digest::of(&f.patch(score)));
                }
            });
        }
    });
    let numbers = f.outside().task("t").unwrap().versions.into_iter();
    assert!(numbers.map(|version| version.number).eq(1..=12));
}
