//! Limits, and garbage that makes room.

use std::fs;

use graft_patches::signature::Trust;
use graft_patches::writer::{SigningKey, sign};
use graft_runtime::ImageBytes;

use super::fixture::Fixture;
use super::shared::{backbone, patch};
use crate::{Error, Limit, Limits, Options, StoreFolder};

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
fn an_install_makes_room_by_itself() {
    let f = Fixture::new();
    let bytes = f.patch(1.0).len() as u64;
    f.confirmed(&[1.0, 2.0, 3.0, 4.0]);
    let numbers = || {
        let versions = f.outside().task("t").unwrap().versions;
        versions
            .iter()
            .map(|found| found.number)
            .collect::<Vec<_>>()
    };
    let install = |limits, score| {
        let store = StoreFolder::new(f.folder.path(), limits);
        store.install(&f.patch(score), &f.backbone)
    };
    let limits = Limits {
        keep: 1,
        ..Limits::default()
    };
    // What is refused anyway removes nothing.
    let foreign = patch(&f.backbone, "u", 1.0);
    let one_task = Limits {
        tasks: 1,
        versions: 0,
        ..limits
    };
    let store = StoreFolder::new(f.folder.path(), one_task);
    store.install(&foreign, &f.backbone).unwrap_err();
    assert_eq!(numbers(), [1, 2, 3, 4]);
    let versions = Limits {
        versions: 4,
        ..limits
    };
    install(versions, 5.0).unwrap();
    assert_eq!(numbers(), [3, 4, 5]);
    let full = Limits {
        bytes: 3 * bytes,
        ..limits
    };
    // Active, previous and newest are needed.
    assert!(matches!(
        install(full, 6.0),
        Err(Error::Limit {
            limit: Limit::Bytes,
            ..
        })
    ));
    f.outside().activate("t", Some(5), &f.backbone).unwrap();
    f.outside().confirm("t").unwrap();
    install(full, 6.0).unwrap();
    assert_eq!(numbers(), [4, 5, 6]);
}
