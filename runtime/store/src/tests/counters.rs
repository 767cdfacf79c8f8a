//! Signatures, and the counters in them.

use std::fs;

use graft_patches::signature::Trust;
use graft_patches::writer::{SigningKey, sign};
use graft_runtime::ImageBytes;

use super::fixture::{Fixture, refusal};
use super::shared::backbone;
use crate::{Ended, Error, Event, Refusal};

/// A key, and a fixture whose backbone trusts it.
fn trusting() -> (Fixture, SigningKey) {
    let key = SigningKey::from_seed([7; 32]);
    let mut f = Fixture::new();
    f.backbone = backbone().trusting(Trust::one(key.public()));
    (f, key)
}

impl Fixture {
    fn signed(&self, score: f32, key: &SigningKey, counter: u64) -> Vec<u8> {
        let bytes = ImageBytes::copied(&self.patch(score));
        sign(bytes.as_slice(), key, counter).unwrap()
    }
}

/// The counter that is refused, and the highest one.
fn older(error: Error) -> (u64, u64) {
    let refusal = refusal(error);
    let Refusal::Older { found, expected } = refusal else {
        panic!("{refusal}");
    };
    (found, expected)
}

#[test]
fn an_older_counter_is_refused_but_for_what_was_confirmed() {
    let (f, key) = trusting();
    let signed = |score, counter| f.signed(score, &key, counter);
    let store = f.open();
    store.install(&signed(1.0, 5)).unwrap();
    store.activate("t", None).unwrap();
    store.confirm("t").unwrap();
    store.install(&signed(2.0, 5)).unwrap();
    store.install(&signed(3.0, 9)).unwrap();
    let highest = || store.folder().task("t").unwrap().highest_counter();
    assert_eq!(highest(), Some(9));
    let error = store.install(&signed(4.0, 5)).unwrap_err();
    assert_eq!(older(error), (5, 9));
    // Installed in time, but never confirmed.
    assert_eq!(older(store.activate("t", Some(2)).unwrap_err()), (5, 9));
    store.activate("t", Some(3)).unwrap();
    store.confirm("t").unwrap();
    store.activate("t", Some(1)).unwrap();
    store.confirm("t").unwrap();
    assert_eq!(f.score(&store), Some(1.0));
    // Nothing makes the highest counter fall.
    store.collect_garbage().unwrap();
    drop(store);
    let store = f.open();
    assert_eq!(store.folder().task("t").unwrap().highest_counter(), Some(9));
    assert_eq!(f.score(&store), Some(1.0));
}

#[test]
fn a_patch_that_is_there_is_no_downgrade() {
    let (f, key) = trusting();
    let store = f.open();
    let old = f.signed(1.0, &key, 5);
    store.install(&old).unwrap();
    store.activate("t", None).unwrap();
    store.confirm("t").unwrap();
    store.install(&f.signed(2.0, &key, 9)).unwrap();
    let again = store.install(&old).unwrap();
    assert_eq!((again.version, again.is_new), (1, false));
    // Damaged, it is whole again.
    fs::write(f.patch_file(1), b"something else").unwrap();
    assert_eq!(store.install(&old).unwrap().version, 1);
    assert_eq!(fs::read(f.patch_file(1)).unwrap(), old);
}

#[test]
fn counters_that_nobody_checks_do_not_count() {
    let (mut f, key) = trusting();
    let trusting = std::mem::replace(&mut f.backbone, backbone());
    let outside = f.outside();
    let install = |score, counter, backbone| {
        let bytes = f.signed(score, &key, counter);
        outside.install(&bytes, backbone)
    };
    let highest = || outside.task("t").unwrap().highest_counter();
    // Anybody's counter, as high as can be, bars nobody.
    install(1.0, u64::MAX, &f.backbone).unwrap();
    install(2.0, 5, &f.backbone).unwrap();
    assert_eq!(highest(), None);
    install(3.0, 9, &trusting).unwrap();
    assert_eq!(highest(), Some(9));
    install(4.0, 5, &f.backbone).unwrap();
    outside.activate("t", Some(4), &f.backbone).unwrap();
    assert_eq!(highest(), Some(9));
    // An owner with a policy serves no older one, whoever has activated it.
    let error = outside.activate("t", Some(2), &trusting).unwrap_err();
    assert_eq!(refusal(error), Refusal::OnTrial { version: 4 });
    f.backbone = trusting;
    let store = f.open();
    assert_eq!(f.score(&store), None);
    let task = store.folder().task("t").unwrap();
    assert_eq!((task.trial(), task.active()), (None, None));
    assert_eq!(older(store.activate("t", Some(2)).unwrap_err()), (5, 9));
    store.activate("t", Some(3)).unwrap();
    assert_eq!(f.score(&store), Some(3.0));
}

#[test]
fn a_trial_that_a_newer_version_has_overtaken_may_be_confirmed() {
    let (f, key) = trusting();
    let store = f.open();
    store.install(&f.signed(1.0, &key, 5)).unwrap();
    store.activate("t", None).unwrap();
    store.install(&f.signed(2.0, &key, 9)).unwrap();
    assert_eq!(store.confirm("t").unwrap(), 1);
    assert_eq!(f.score(&store), Some(1.0));
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
    // Version 1, to which it goes back, is not signed, and version 2 was just left: neither is served, now or later.
    assert_eq!(store.roll_back("t", Ended::Asked).unwrap(), None);
    assert_eq!(f.score(&store), None);
    assert_eq!(store.folder().task("t").unwrap().active(), Some(1));
    drop(store);
    assert_eq!(f.score(&f.open()), None);
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
