//! A file system that was mounted read-only, as ext4 is after an error: what can be read is served, nothing is written.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::ErrorKind;

use disk::SmallDisk;
use graft_store::{Ended, Error, Event, Limits, Options, PatchStore, StoreFolder};

#[path = "shared/disk.rs"]
#[allow(dead_code, reason = "not every test needs all of it")]
mod disk;
#[allow(dead_code, reason = "not every test needs all of it")]
mod shared;

fn is_read_only(error: &Error) -> bool {
    matches!(error, Error::File { source, .. } if source.kind() == ErrorKind::ReadOnlyFilesystem)
}

#[test]
fn a_read_only_file_system_is_served() {
    let Some(disk) = SmallDisk::mount(1 << 23) else {
        return;
    };
    let backbone = shared::backbone();
    let folder = disk.path().join("store");
    let outside = StoreFolder::new(&folder, Limits::default());
    let patch = |score| shared::patch(&backbone, "t", score);
    for score in [1.0, 2.0] {
        outside.install(&patch(score), &backbone).unwrap();
        outside.activate("t", None, &backbone).unwrap();
        outside.confirm("t").unwrap();
    }
    outside.install(&patch(3.0), &backbone).unwrap();
    outside.activate("t", None, &backbone).unwrap();
    fs::write(folder.join("tasks/t/state.tmp"), b"left by a kill").unwrap();
    let open = || PatchStore::open(&folder, &backbone, Options::default());
    // With the file that an owner locks, and without, where no owner has been there yet.
    for has_owner in [false, true] {
        fs::write(folder.join("owner"), b"").unwrap();
        if !has_owner {
            fs::remove_file(folder.join("owner")).unwrap();
        }
        disk.set_read_only(true);
        let store = open().unwrap();
        // The trial cannot be noted, so the active version is served.
        assert_eq!(store.version("t"), Some(2));
        let [
            Event::ReadOnly { .. },
            Event::Failed { error, .. },
            Event::Serving { .. },
        ] = store.recovered()
        else {
            panic!("{:?}", store.recovered());
        };
        assert!(is_read_only(error), "{error:?}");
        for error in [
            store.install(&patch(4.0)).unwrap_err(),
            store.confirm("t").unwrap_err(),
            store.roll_back("t", Ended::Asked).unwrap_err(),
        ] {
            assert!(is_read_only(&error), "{error:?}");
        }
        assert_eq!(store.version("t"), Some(2));
        if has_owner {
            let error = open().unwrap_err();
            assert!(matches!(error, Error::Owned { .. }), "{error}");
        }
        drop(store);
        disk.set_read_only(false);
        assert!(folder.join("tasks/t/state.tmp").exists());
    }
    // It is writable again: the trial begins.
    assert_eq!(open().unwrap().version("t"), Some(3));
    // An active version that is damaged makes way for the one before, though that cannot be noted.
    outside.roll_back("t", Ended::Asked).unwrap();
    fs::write(folder.join("tasks/t/0000000002.patch"), b"damaged").unwrap();
    disk.set_read_only(true);
    assert_eq!(open().unwrap().version("t"), Some(1));
}
