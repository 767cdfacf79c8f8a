//! What others put into the folder, and what they cannot do from outside.

use std::fs;

use graft_patches::Digest;

use super::fixture::Fixture;
use crate::record::{MOST_BYTES, RecordError};
use crate::state::TaskState;
use crate::{Error, Event, Limit};

#[test]
fn a_task_that_was_copied_under_another_name_is_not_served() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    let door = f.path("tasks/door");
    fs::create_dir(&door).unwrap();
    for name in ["state", "0000000001.patch"] {
        fs::copy(f.path("tasks/t").join(name), door.join(name)).unwrap();
    }
    let slot_of_door = || {
        let store = f.open();
        let patch = store.slot("door").unwrap().patch();
        assert!(patch.image().is_none());
        assert_eq!((store.version("door"), f.score(&store)), (None, Some(1.0)));
        store.recovered().iter().find_map(|event| match event {
            Event::Failed { task, error } if task == "door" => Some(error.to_string()),
            Event::Serving { .. }
            | Event::Left { .. }
            | Event::ReadOnly { .. }
            | Event::Failed { .. } => None,
        })
    };
    let found = slot_of_door().unwrap();
    assert_eq!(found, "cannot use the state of task door");
    let Error::State { source, .. } = f.outside().task("door").unwrap_err() else {
        panic!("another error");
    };
    let (found, expected) = ("t".into(), "door".into());
    assert_eq!(source, RecordError::Task { found, expected });
    // A state of its own does not make it a patch of this task.
    let mut state = TaskState::new("door", f.backbone.id());
    let bytes = f.patch(1.0);
    let length = bytes.len() as u64;
    let version = state
        .install(Digest::of(&bytes), length, None, false)
        .unwrap();
    state.activate(version, false).unwrap();
    state.confirm().unwrap();
    fs::write(door.join("state"), state.to_bytes()).unwrap();
    let found = slot_of_door().unwrap();
    assert_eq!(found, "the patch is for task \"t\", not for door");
    // It is no damage: nothing was removed.
    assert_eq!(f.outside().task("door").unwrap(), state);
    assert!(door.join("0000000001.patch").exists());
    let error = f
        .outside()
        .roll_back("door", crate::Ended::Asked)
        .and_then(|_| f.outside().activate("door", None, &f.backbone))
        .unwrap_err();
    assert!(matches!(error, Error::OtherTask { .. }), "{error}");
}

#[test]
fn counts_of_a_strange_state_do_not_overflow() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    let mut state = TaskState::new("u", f.backbone.id());
    for byte in 0..4 {
        let digest = Digest([byte; 32]);
        state.install(digest, u64::MAX, None, false).unwrap();
    }
    fs::create_dir(f.path("tasks/u")).unwrap();
    fs::write(f.path("tasks/u/state"), state.to_bytes()).unwrap();
    let error = f.outside().install(&f.patch(2.0), &f.backbone).unwrap_err();
    let Error::Limit { limit, found, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((limit, found), (Limit::Bytes, u64::MAX));
    fs::write(f.path("tasks/u/state"), state.to_bytes()).unwrap();
    let collected = f.outside().collect_garbage().unwrap();
    assert_eq!((collected.versions, collected.bytes), (3, u64::MAX));
}

#[test]
fn a_state_that_could_not_be_read_again_is_not_written() {
    let f = Fixture::new();
    f.confirmed(&[1.0]);
    let store = f.outside();
    let before = store.task("t").unwrap();
    let mut state = before.clone();
    while (state.to_bytes().len() as u64) < MOST_BYTES {
        for _ in 0..1000 {
            state.install(Digest([9; 32]), 1, None, false).unwrap();
        }
    }
    let error = store.commit("t", &state).unwrap_err();
    let Error::State { source, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(source, RecordError::Length { .. }), "{source}");
    assert_eq!(store.task("t").unwrap(), before);
}

#[test]
fn first_installs_of_many_threads_wait_for_each_other() {
    let mut f = Fixture::new();
    for _ in 0..50 {
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for score in [1.0, 2.0, 3.0, 4.0] {
                let (f, barrier) = (&f, &barrier);
                scope.spawn(move || {
                    let store = crate::StoreFolder::new(f.path("new"), crate::Limits::default());
                    let bytes = f.patch(score);
                    barrier.wait();
                    store.install(&bytes, &f.backbone).unwrap();
                });
            }
        });
        f.folder = super::shared::folder();
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_link_in_place_of_an_unfinished_file_is_not_followed() {
        let f = Fixture::new();
        f.confirmed(&[1.0]);
        let victim = f.path("victim");
        fs::write(&victim, b"precious").unwrap();
        for name in ["state.tmp", "0000000002.patch.tmp"] {
            symlink(&victim, f.path("tasks/t").join(name)).unwrap();
        }
        f.confirmed(&[2.0]);
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(f.score(&f.open()), Some(2.0));
    }

    #[test]
    fn a_link_in_place_of_a_tasks_folder_is_refused() {
        let f = Fixture::new();
        f.confirmed(&[1.0]);
        let elsewhere = super::super::shared::folder();
        let precious = elsewhere.path().join("0000000001.patch");
        fs::write(&precious, b"precious").unwrap();
        symlink(elsewhere.path(), f.path("tasks/u")).unwrap();
        fs::rename(f.path("tasks/t"), elsewhere.path().join("t")).unwrap();
        symlink(elsewhere.path().join("t"), f.path("tasks/t")).unwrap();
        let store = f.open();
        assert_eq!(f.score(&store), None);
        for error in [
            store.install(&f.patch(2.0)).unwrap_err(),
            store.activate("t", None).unwrap_err(),
            store.folder().task("u").unwrap_err(),
        ] {
            assert!(matches!(error, Error::Link { .. }), "{error}");
        }
        store.collect_garbage().unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }

    #[test]
    fn what_is_locked_is_the_users_own() {
        let f = Fixture::new();
        let path = f.path("new");
        let limits = crate::Limits::default();
        let store = crate::StoreFolder::new(&path, limits);
        store.install(&f.patch(1.0), &f.backbone).unwrap();
        crate::PatchStore::open(&path, &f.backbone, crate::Options::default()).unwrap();
        let mode = |name: &str| {
            let found = fs::metadata(path.join(name)).unwrap();
            found.permissions().mode() & 0o777
        };
        assert_eq!(["lock", "owner"].map(mode), [0o600; 2]);
        assert_eq!(["", "tasks", "tasks/t"].map(mode), [0o700; 3]);
    }
}
