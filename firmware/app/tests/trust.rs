//! A device that trusts keys: it takes what they have signed, nothing older than it has seen, and a power cut anywhere changes
//! nothing about that.

#[allow(dead_code)] // Each test needs some of it.
mod board;

use board::host::{image, models, scores};
use board::{Flash, Setup};
use graft_link::{Refusal, Reply, Request, State, Task};
use graft_patches::signature::Trust;
use graft_patches::writer::{SigningKey, sign};
use graft_runtime::{Backbone, ImageBytes, Patch};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn signed(patch: &[u8], seed: u8, counter: u64) -> Vec<u8> {
    sign(ImageBytes::copied(patch).as_slice(), &key(seed), counter).expect("it is valid")
}

/// A backbone whose device trusts two keys, and two patches of it.
fn fixture() -> (Backbone, [Vec<u8>; 2]) {
    let (backbone, patches) = models();
    let trust = Trust::two(key(1).public(), key(2).public());
    (backbone.trusting(trust), patches)
}

fn refused(refusal: Refusal<'_>) -> Result<(), String> {
    Err(format!("{:?}", Reply::Refused(refusal)))
}

#[test]
fn it_takes_what_a_trusted_key_has_signed() {
    let (backbone, [patch, _]) = fixture();
    let mut setup = Setup::start(&backbone, Flash::blank());
    let unsigned = setup.push(0, &patch, None).expect_err("it is not signed");
    assert!(unsigned.contains("not signed"), "{unsigned}");
    let foreign = setup.push(0, &signed(&patch, 3, 1), None);
    let foreign = foreign.expect_err("nobody trusts that key");
    assert!(foreign.contains("signed with key"), "{foreign}");
    assert_eq!(setup.state(0), State::Empty);
    for (slot, seed) in [(0, 1), (1, 2)] {
        setup.make_good(slot, &signed(&patch, seed, 4));
        let of_slot = setup.ask(Request::Slot(slot), |reply| {
            let Reply::Slot(slot) = reply else {
                panic!("{reply:?}");
            };
            slot.signed.map(|signed| (signed.key, signed.counter))
        });
        assert_eq!(of_slot, Some((key(seed).public().id().0, 4)));
    }
    let keys = setup.describe(|device| device.keys);
    assert_eq!(keys, [1, 2].map(|seed| Some(key(seed).public().id().0)));
}

#[test]
fn it_takes_nothing_older_and_goes_back_to_what_was_confirmed() {
    let (backbone, [patch, other]) = fixture();
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.make_good(0, &signed(&patch, 1, 5));
    setup.make_good(1, &signed(&other, 1, 6));
    let older = || {
        refused(Refusal::Older {
            found: 5,
            expected: 6,
        })
    };
    assert_eq!(setup.push(2, &signed(&patch, 1, 5), None), older());
    let mut setup = setup.restart(&backbone);
    assert_eq!(setup.push(2, &signed(&patch, 2, 5), None), older());
    setup
        .done(Request::Activate(0))
        .expect("it was confirmed on this device");
    setup.done(Request::Rollback).expect("a trial ends");
    setup.done(Request::Rollback).expect("there was one before");
    assert_eq!(setup.describe(|device| device.serving), Task::Slot(0));
}

/// The steps of a host that updates the device; stops where one is not done.
fn update(
    setup: &mut Setup,
    new: &[u8],
    old: &[u8],
    is_installed: &mut bool,
) -> Result<(), String> {
    setup.push(1, new, None)?;
    *is_installed = true;
    setup.done(Request::Activate(1))?;
    setup.done(Request::Confirm)?;
    match setup.push(2, old, None) {
        Err(refusal) if refusal.contains("Older") => {}
        other => return other.and(Err("an old patch is installed".into())),
    }
    setup.done(Request::Rollback)
}

#[test]
fn a_power_cut_anywhere_leaves_a_trusted_patch_and_the_counters() {
    let (backbone, patches) = fixture();
    let [first, new] = [(0, 5), (1, 6)].map(|(at, counter)| signed(&patches[at], 1, counter));
    let old = signed(&patches[0], 2, 4);
    let newest = signed(&patches[0], 2, 7);
    let image = image(&backbone);
    let expected = [&first, &new].map(|patch| {
        let patch = Patch::from_bytes(patch, &backbone).expect("it is signed");
        scores(&backbone, &patch, &image)
    });
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.make_good(0, &first);
    let before = setup.flash.copy();

    let mut is_installed = false;
    let mut whole = Setup::start(&backbone, before.copy());
    update(&mut whole, &new, &old, &mut is_installed).expect("nothing is in the way");
    let operations = whole.flash.operations();
    assert!(operations > 10);
    let mut served = [0; 2];
    for cut in 0..operations {
        let mut setup = Setup::start(&backbone, before.copy());
        setup.flash.cut_after(Some(cut));
        let mut is_installed = false;
        update(&mut setup, &new, &old, &mut is_installed).expect_err("the power goes");
        setup.flash.cut_after(None);
        let mut setup = setup.restart(&backbone);
        setup.send_image(&image);
        let (_, found) = setup.run(None);
        let which = expected.iter().position(|expected| *expected == found);
        served[which.expect("the old patch or the new one")] += 1;
        // What was acknowledged is remembered, and what is older than the first patch is never taken.
        if is_installed {
            let again = setup.push(2, &signed(&patches[0], 2, 5), None);
            let older = Refusal::Older {
                found: 5,
                expected: 6,
            };
            assert_eq!(again, refused(older), "after {cut}");
        }
        let again = setup.push(2, &old, None).expect_err("it is old");
        assert!(again.contains("Older"), "{again}");
        setup.make_good(2, &newest);
        // The self-check has taken its place.
        setup.send_image(&image);
        assert_eq!(setup.run(None), (Task::Slot(2), expected[0].clone()));
    }
    println!(
        "{operations} power cuts: {} served the old patch, {} the new one",
        served[0], served[1]
    );
    assert!(served.iter().all(|&times| times > 0), "{served:?}");
}
