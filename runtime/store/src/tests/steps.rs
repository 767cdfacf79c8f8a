//! Each step, and what it refuses.

use std::fs;

use graft_patches::Digest;

use super::fixture::{Fixture, refusal};
use super::shared::{head, patch};
use crate::{Ended, Error, Event, Limits, Options, PatchStore, Refusal, State, StoreFolder, Trial};

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
