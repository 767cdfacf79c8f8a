//! The application on a board in memory.

#[allow(dead_code)] // Each test needs some of it.
mod board;

use board::host::{answer, image, models, scores};
use board::{Flash, Setup, Wires};
use graft_firmware::Clock as _;
use graft_link::{CHUNK, Ended, Refusal, Reply, Request, State, Task, encode};
use graft_patches::records::Kinds;
use graft_runtime::{Backbone, Patch};
use proptest::prelude::*;

#[test]
fn patches_are_pushed_swapped_and_give_the_scores_of_the_host() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    let image = image(&backbone);
    for (slot, patch) in (0..).zip(&patches) {
        setup
            .push(slot, patch, Some(answer(&backbone, patch)))
            .expect("it is a patch");
        assert_eq!(setup.state(slot), State::Written);
        setup
            .done(Request::Activate(slot))
            .expect("its answer is right");
        assert_eq!(setup.state(slot), State::Trial);
        setup.done(Request::Confirm).expect("it is on trial");
        assert_eq!(setup.state(slot), State::Good);
    }
    setup.send_image(&image);
    for _ in 0..3 {
        for slot in [0, 1] {
            let patch = Patch::from_bytes(&patches[usize::from(slot)], &backbone).expect("it fits");
            let expected = scores(&backbone, &patch, &image);
            assert_eq!(
                setup.run(Some(Task::Slot(slot))),
                (Task::Slot(slot), expected)
            );
        }
        let own = scores(&backbone, &backbone.identity(), &image);
        assert_eq!(setup.run(Some(Task::Own)), (Task::Own, own));
    }
    assert_eq!(setup.run(None).0, Task::Slot(1));
}

#[test]
fn a_trial_ends_with_a_reset_and_a_confirmed_patch_stays() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.make_good(0, &patches[0]);
    setup.push(2, &patches[1], None).expect("it is a patch");
    setup.done(Request::Activate(2)).expect("it is written");
    assert_eq!(setup.describe(|device| device.serving), Task::Slot(2));
    let mut setup = setup.restart(&backbone);
    let found = setup.describe(|device| (device.serving, device.trial, device.ended));
    assert_eq!(found, (Task::Slot(0), None, Some(Ended::Reset)));
    assert_eq!(setup.state(2), State::Written);
    setup
        .done(Request::Activate(2))
        .expect("it is still written");
    setup.done(Request::Confirm).expect("it is on trial");
    let mut setup = setup.restart(&backbone);
    assert_eq!(setup.describe(|device| device.serving), Task::Slot(2));
    setup.done(Request::Rollback).expect("there was one before");
    assert_eq!(setup.describe(|device| device.serving), Task::Slot(0));
}

#[test]
fn a_patch_with_other_scores_than_announced_is_rolled_back() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.make_good(0, &patches[0]);
    setup
        .push(1, &patches[1], Some([0; 8]))
        .expect("it is a patch");
    let refusal = setup.done(Request::Activate(1)).expect_err("other scores");
    assert_eq!(refusal, format!("{:?}", Reply::Refused(Refusal::SelfCheck)));
    let found = setup.describe(|device| (device.serving, device.trial, device.ended));
    assert_eq!(found, (Task::Slot(0), None, Some(Ended::SelfCheck)));
}

#[test]
fn a_patch_that_does_not_fit_is_never_written_as_one() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    let other = Backbone::from_bytes(&graft_tests::int8::backbone(&graft_tests::backbone(16, 2)));
    let other = other.expect("it is valid");
    let foreign = graft_tests::int8::identity_patch(&other, Kinds::HEAD);
    let refusal = setup.push(0, &foreign, None).expect_err("another backbone");
    assert!(refusal.contains("backbone"), "{refusal}");
    let refusal = setup
        .push(0, &patches[0][..3000], None)
        .expect_err("cut off");
    assert!(refusal.contains("Patch"), "{refusal}");
    let mut flipped = patches[0].clone();
    flipped[3500] ^= 4;
    let refusal = setup.push(0, &flipped, None).expect_err("one bit");
    assert!(refusal.contains("digest"), "{refusal}");
    assert_eq!(setup.state(0), State::Empty);
    assert!(setup.done(Request::Activate(0)).is_err());
}

#[test]
fn a_served_slot_is_not_written() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.make_good(0, &patches[0]);
    setup.make_good(1, &patches[1]);
    for slot in [0, 1] {
        // The button's choice is served, too.
        setup.wires.is_pressed.set(true);
        setup.wait(1);
        setup.wires.is_pressed.set(false);
        setup.wait(1);
        if setup.describe(|device| device.serving) == Task::Slot(slot) {
            assert!(setup.push(slot, &patches[0], None).is_err());
        }
    }
    assert!(setup.push(1, &patches[0], None).is_err());
}

#[test]
fn damage_in_flash_is_found_at_the_start() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.make_good(0, &patches[0]);
    setup.make_good(1, &patches[1]);
    let mut flash = setup.flash;
    flash.flip(2 * 4096 + 96 * 1024 + 2000);
    let mut setup = Setup::start(&backbone, flash);
    let found = setup.describe(|device| (device.serving, device.ended));
    assert_eq!(found, (Task::Slot(0), Some(Ended::Damaged)));
    assert_eq!(setup.state(1), State::Empty);
}

#[test]
fn the_button_moves_to_the_next_good_task() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.make_good(0, &patches[0]);
    setup.push(1, &patches[1], None).expect("it is a patch");
    setup.make_good(2, &patches[1]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        setup.wires.is_pressed.set(true);
        // Holding it is one press.
        setup.wait(2);
        setup.wires.is_pressed.set(false);
        setup.wait(1);
        seen.push(setup.describe(|device| device.serving));
    }
    // Slot 1 was never confirmed.
    assert_eq!(seen, [Task::Own, Task::Slot(0), Task::Slot(2), Task::Own]);
}

#[test]
fn frames_run_while_a_patch_arrives() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    let before = setup.describe(|device| device.frames);
    setup.push(0, &patches[0], None).expect("it is a patch");
    let after = setup.describe(|device| device.frames);
    setup.wait(3);
    assert!(setup.describe(|device| device.frames) >= after + 5 && after >= before);
}

#[test]
fn half_an_image_does_not_keep_frames_from_being_run() {
    let (backbone, _) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    let part = Request::Image {
        offset: 0,
        bytes: &[7; 100],
    };
    setup.done(part).expect("there is room");
    let before = setup.describe(|device| device.frames);
    setup.wait(5);
    assert_eq!(setup.describe(|device| device.frames), before);
    setup.wait(10);
    assert!(setup.describe(|device| device.frames) > before + 5);
}

#[test]
fn parts_of_an_upload_that_no_flash_can_write_are_refused() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    let begin = Request::Begin {
        slot: 0,
        length: patches[0].len() as u32,
        digest: [0; 32],
        answer: None,
    };
    setup.done(begin).expect("it is empty");
    let part = Request::Write {
        offset: 0,
        bytes: &[1; 33],
    };
    let refusal = setup.done(part).expect_err("33 bytes");
    assert!(refusal.contains("Unaligned"), "{refusal}");
}

#[test]
fn the_host_is_heard_between_frames_that_take_longer_than_their_interval() {
    let (backbone, _) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.wires.frame_ticks.set(2 * Wires::TICKS_PER_SECOND);
    setup.wait(3);
    let before = setup.describe(|device| device.frames);
    for _ in 0..10 {
        setup.describe(|device| device.frames);
    }
    let after = setup.describe(|device| device.frames);
    assert!(
        after <= before + 2,
        "{} frames for 11 requests",
        after - before
    );
}

#[test]
fn a_repeated_request_is_answered_again_and_not_done_again() {
    let (backbone, patches) = models();
    let mut setup = Setup::start(&backbone, Flash::blank());
    setup.push(0, &patches[0], None).expect("it is a patch");
    setup.done(Request::Activate(0)).expect("it is written");
    let before = setup.describe(|device| device.sequence);
    let mut buffer = [0; graft_link::FRAME];
    let frame = encode(900, &Request::Confirm, &mut buffer)
        .expect("it fits")
        .to_vec();
    let mut replies = Vec::new();
    for _ in 0..2 {
        setup.wires.to_device.borrow_mut().extend(&frame);
        while !setup.wires.to_device.borrow().is_empty() {
            setup.device.poll();
        }
        replies.push(setup.reply().expect("an answer"));
    }
    assert_eq!(replies[0], replies[1]);
    assert_eq!(setup.describe(|device| device.sequence), before + 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes over the line, the device goes on serving.
    #[test]
    fn a_hostile_host_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..3000), requests in requests()) {
        let (backbone, patches) = models();
        let mut setup = Setup::start(&backbone, Flash::blank());
        setup.make_good(0, &patches[0]);
        setup.wires.to_device.borrow_mut().extend(&bytes);
        while !setup.wires.to_device.borrow().is_empty() {
            setup.device.poll();
        }
        setup.wires.to_host.borrow_mut().clear();
        // A frame that has begun ends here.
        setup.wires.to_device.borrow_mut().push_back(0);
        setup.device.poll();
        setup.wires.to_host.borrow_mut().clear();
        for request in &requests {
            setup.ask(request.as_request(), |_| ());
        }
        let image = image(&backbone);
        setup.send_image(&image);
        let patch = Patch::from_bytes(&patches[0], &backbone).expect("it fits");
        if setup.describe(|device| device.active) == Task::Slot(0) {
            prop_assert_eq!(setup.run(Some(Task::Slot(0))).1, scores(&backbone, &patch, &image));
        } else {
            // Only a rollback leaves it.
            prop_assert!(requests.iter().any(|request| matches!(request, Hostile::Other(Request::Rollback))));
        }
    }
}

/// A request that owns its bytes.
#[derive(Clone, Debug)]
enum Hostile {
    Write(u32, Vec<u8>),
    Image(u32, Vec<u8>),
    Other(Request<'static>),
}

impl Hostile {
    fn as_request(&self) -> Request<'_> {
        match self {
            Self::Write(offset, bytes) => Request::Write {
                offset: *offset,
                bytes,
            },
            Self::Image(offset, bytes) => Request::Image {
                offset: *offset,
                bytes,
            },
            Self::Other(request) => *request,
        }
    }
}

fn requests() -> impl Strategy<Value = Vec<Hostile>> {
    let number = || prop_oneof![0u32..4, 4090u32..4100, any::<u32>()];
    let slot = 0u8..5;
    let task = prop_oneof![Just(Task::Own), (0u8..5).prop_map(Task::Slot)];
    let bytes = || prop::collection::vec(any::<u8>(), 0..CHUNK);
    let request = prop_oneof![
        (number(), bytes()).prop_map(|(offset, bytes)| Hostile::Write(offset, bytes)),
        (number(), bytes()).prop_map(|(offset, bytes)| Hostile::Image(offset, bytes)),
        (slot.clone(), number()).prop_map(|(slot, length)| Hostile::Other(Request::Begin {
            slot,
            length,
            digest: [3; 32],
            answer: None
        })),
        (number(), number())
            .prop_map(|(offset, length)| Hostile::Other(Request::Checksum { offset, length })),
        (task.clone(), number())
            .prop_map(|(task, offset)| Hostile::Other(Request::Metadata { task, offset })),
        slot.clone()
            .prop_map(|slot| Hostile::Other(Request::Activate(slot))),
        slot.prop_map(|slot| Hostile::Other(Request::Slot(slot))),
        number().prop_map(|index| Hostile::Other(Request::Scores(index))),
        number().prop_map(|index| Hostile::Other(Request::Layers(index))),
        prop::option::of(task.clone()).prop_map(|task| Hostile::Other(Request::Run(task))),
        prop::option::of(task.clone()).prop_map(|task| Hostile::Other(Request::Profile(task))),
        task.prop_map(|task| Hostile::Other(Request::Input(task))),
        prop_oneof![
            Just(Request::Finish),
            Just(Request::Confirm),
            Just(Request::Rollback),
            Just(Request::Restart),
            Just(Request::Memory)
        ]
        .prop_map(Hostile::Other),
    ];
    prop::collection::vec(request, 0..30)
}
