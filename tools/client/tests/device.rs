//! The host's side against the firmware's application, over good and bad lines.

#[path = "../../../firmware/app/tests/board/mod.rs"]
#[allow(dead_code)] // Its own host is not used here.
mod board;
#[path = "device/models.rs"]
#[allow(dead_code)] // The commands of patchtool are tested with them, too.
mod models;
#[path = "device/peer.rs"]
mod peer;
#[path = "device/simulator.rs"]
mod simulator;

use graft_client::{DeviceError, Ended, Push, State, Task, Upload, answer};
use graft_runtime::{Backbone, Patch};
use models::{Models, PAGE};
use simulator::{Simulator, Trouble};

fn to(slot: u8) -> Push {
    Push {
        slot: Some(slot),
        ..Push::default()
    }
}

#[test]
fn patches_are_pushed_swapped_and_give_the_scores_of_the_host() {
    let models = Models::new();
    let simulator = Simulator::start(&models.backbone);
    let mut client = simulator.connect();
    for (slot, patch) in [(0, 0), (2, 1)] {
        let bound = Patch::from_bytes(&models.patches[patch], &models.backbone).unwrap();
        let options = Push {
            answer: answer(&models.backbone, &bound).unwrap(),
            ..to(slot)
        };
        assert!(options.answer.is_some());
        let pushed = models.push(&mut client, patch, options).unwrap();
        assert_eq!(
            (pushed.slot, pushed.sent + pushed.kept),
            (slot, models.pages())
        );
        client.activate(slot).unwrap();
        assert_eq!(client.slot(slot).unwrap().state, State::Trial);
        client.confirm().unwrap();
    }
    for (task, patch) in [
        (Some(Task::Slot(0)), Some(0)),
        (Some(Task::Own), None),
        (None, Some(1)),
    ] {
        let run = client.run(&models.image(), task).unwrap();
        assert_eq!(run.task, task.unwrap_or(Task::Slot(2)));
        assert_eq!(run.scores, models.scores(patch), "{task:?}");
    }
    client.restart().unwrap();
    let device = client.device().unwrap();
    assert_eq!(
        (device.active, device.frames),
        (Task::Slot(2), device.frames)
    );
    assert_eq!(device.previous, Some(Task::Slot(0)));
    client.rollback().unwrap();
    assert_eq!(client.device().unwrap().active, Task::Slot(0));
}

#[cfg(unix)]
#[test]
fn a_serial_port_is_as_good_as_tcp() {
    let models = Models::new();
    let simulator = Simulator::start_serial(&models.backbone);
    for patch in [0, 1] {
        let mut client = simulator.connect();
        models.push(&mut client, patch, to(1)).unwrap();
        let run = client.run(&models.image(), Some(Task::Slot(1))).unwrap();
        assert_eq!(run.scores, models.scores(Some(patch)));
    }
}

#[test]
fn a_profile_has_every_layer() {
    let models = Models::new();
    let mut client = Simulator::start(&models.backbone).connect();
    let profile = client.profile(&models.image(), None).unwrap();
    assert_eq!(profile.layers.len(), models.backbone.image().layer_count());
    assert!(profile.layers.iter().sum::<u32>() <= profile.ticks);
    assert_eq!(profile.task, Task::Own);
}

#[test]
fn only_pages_that_differ_are_sent_unless_all_are_asked_for() {
    let mut models = Models::new();
    let pages = models.pages();
    let mut client = Simulator::start(&models.backbone).connect();
    assert_eq!(models.push(&mut client, 0, to(1)).unwrap().sent, pages);
    let again = models.push(&mut client, 0, to(1)).unwrap();
    assert_eq!((again.sent, again.kept), (0, pages));
    let all = Push { all: true, ..to(1) };
    assert_eq!(models.push(&mut client, 0, all).unwrap().sent, pages);
    // That of the weight, and the first one, which has the digests.
    let differing = {
        let [old, new] = &mut models.patches;
        *new = with_another_weight(old);
        let pairs = old.chunks(PAGE).zip(new.chunks(PAGE));
        pairs.filter(|(old, new)| old != new).count() as u32
    };
    assert!(differing == 2 && pages > 5, "{differing} of {pages}");
    assert_eq!(models.push(&mut client, 1, to(1)).unwrap().sent, differing);
}

/// The same patch with another weight.
fn with_another_weight(patch: &[u8]) -> Vec<u8> {
    let mut patch = patch.to_vec();
    let middle = patch.len() / 2;
    patch[middle] ^= 2;
    graft_patches::writer::seal(&mut patch);
    patch
}

#[test]
fn pages_with_the_same_checksum_and_other_bytes_are_sent_in_a_second_try() {
    let models = Models::new();
    let mut client = Simulator::start(&models.backbone).connect();
    let mut forged = models.patches[0].clone();
    forge(&mut forged[..PAGE]);
    let upload = Upload {
        slot: 0,
        bytes: &forged,
        answer: None,
        all: false,
    };
    let error = client.upload(upload, |_| {}).unwrap_err();
    assert!(error.to_string().contains("refuses the patch"), "{error}");
    let pushed = models.push(&mut client, 0, to(0)).unwrap();
    assert_eq!((pushed.sent, pushed.kept), (models.pages(), 0));
    assert_eq!(client.slot(0).unwrap().state, State::Written);
}

/// Changes bytes of a page and leaves its CRC-32 as it is: that is linear, so of any 33 changes of one bit some add up to
/// none.
fn forge(page: &mut [u8]) {
    let before = graft_link::checksum(page);
    let flip = |page: &mut [u8], bit: usize| page[100 + bit / 8] ^= 1 << (bit % 8);
    // What is left of a sum of changes, by its highest bit; and which bits are in it.
    let mut rows: [Option<(u32, u64)>; 32] = [None; 32];
    for bit in 0..33 {
        flip(page, bit);
        let (mut change, mut bits) = (graft_link::checksum(page) ^ before, 1_u64 << bit);
        flip(page, bit);
        while change != 0 {
            let highest = change.ilog2() as usize;
            let Some((other, others)) = rows[highest] else {
                rows[highest] = Some((change, bits));
                break;
            };
            (change, bits) = (change ^ other, bits ^ others);
        }
        if change == 0 {
            (0..33)
                .filter(|&bit| bits >> bit & 1 == 1)
                .for_each(|bit| flip(page, bit));
            assert_eq!(graft_link::checksum(page), before);
            return;
        }
    }
    unreachable!("33 vectors of 32 bits are not independent");
}

#[test]
fn a_cut_push_goes_on_where_it_was_cut() {
    for power_cut in [false, true] {
        let models = Models::new();
        let simulator = Simulator::start(&models.backbone);
        simulator.trouble(Trouble {
            cut_after: Some(PAGE * 2 + PAGE / 2),
            power_cut,
            ..Trouble::default()
        });
        let error = models.push(&mut simulator.connect(), 0, to(1)).unwrap_err();
        assert!(matches!(error, DeviceError::Lost { .. }), "{error:?}");
        simulator.trouble(Trouble::default());
        let mut client = simulator.connect();
        assert_eq!(client.slot(1).unwrap().state, State::Empty);
        let pushed = models.push(&mut client, 0, to(1)).unwrap();
        assert!(pushed.kept >= 2 && pushed.sent >= 1, "{pushed:?}");
        assert_eq!(client.slot(1).unwrap().state, State::Written);
    }
}

#[test]
fn a_bad_line_changes_nothing_but_the_time() {
    let models = Models::new();
    let clean = Simulator::start(&models.backbone);
    let bad = Simulator::start(&models.backbone);
    bad.trouble(Trouble {
        lose: Some(4001),
        change: Some(6007),
        noise: true,
        ..Trouble::default()
    });
    let mut ends = Vec::new();
    for simulator in [clean, bad] {
        let mut client = simulator.connect();
        for slot in [0, 1] {
            models
                .push(&mut client, usize::from(slot), to(slot))
                .unwrap();
            client.activate(slot).unwrap();
            client.confirm().unwrap();
        }
        // Each of these has another effect when it is done twice.
        client.rollback().unwrap();
        client.activate(1).unwrap();
        let scores = client.run(&models.image(), None).unwrap().scores;
        assert_eq!(scores, models.scores(Some(1)));
        client.rollback().unwrap();
        let device = client.device().unwrap();
        ends.push((
            device.sequence,
            device.active,
            device.ended,
            device.previous,
        ));
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0].2, Some(Ended::Asked));
}

#[test]
fn a_slot_is_chosen_that_nothing_needs() {
    let models = Models::new();
    let mut client = Simulator::start(&models.backbone).connect();
    let any = Push::default();
    for slot in [0, 1] {
        assert_eq!(models.push(&mut client, 0, any).unwrap().slot, slot);
        client.activate(slot).unwrap();
        client.confirm().unwrap();
    }
    // 0 is previous, 1 is active.
    assert_eq!(models.push(&mut client, 0, any).unwrap().slot, 2);
    assert_eq!(models.push(&mut client, 1, any).unwrap().slot, 2);
    client.activate(2).unwrap();
    // 1 is active, 2 on trial; 0 is free only if a rollback does not go there.
    let device = client.device().unwrap();
    let pushed = models.push(&mut client, 0, any);
    match device.previous {
        Some(Task::Slot(0)) => assert!(matches!(pushed, Err(DeviceError::NoFreeSlot { slots: 3 }))),
        _ => assert_eq!(pushed.unwrap().slot, 0),
    }
}

#[test]
fn a_patch_that_gives_other_scores_than_it_must_is_rolled_back() {
    let models = Models::new();
    let mut client = Simulator::start(&models.backbone).connect();
    let wrong = Push {
        answer: Some([1; 8]),
        ..to(0)
    };
    models.push(&mut client, 0, wrong).unwrap();
    let error = client.activate(0).unwrap_err();
    assert!(matches!(error, DeviceError::SelfCheck), "{error:?}");
    let device = client.device().unwrap();
    assert_eq!(
        (device.serving, device.ended),
        (Task::Own, Some(Ended::SelfCheck))
    );
}

#[test]
fn a_patch_of_another_backbone_is_not_sent() {
    let models = Models::new();
    let other = graft_tests::int8::backbone(&graft_tests::backbone(16, 1));
    let other = Backbone::from_bytes(&other).unwrap();
    let mut client = Simulator::start(&other).connect();
    let error = models.push(&mut client, 0, to(0)).unwrap_err();
    assert!(
        matches!(error, DeviceError::OtherBackbone { .. }),
        "{error:?}"
    );
    assert_eq!(client.device().unwrap().sequence, 0);
}
