//! What a store serves after damage.

use std::fs;

use super::fixture::Fixture;
use crate::{Ended, Error, Event};

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
            Event::Serving { .. } | Event::ReadOnly { .. } | Event::Failed { .. } => false,
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
