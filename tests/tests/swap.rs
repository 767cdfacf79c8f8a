//! Publishing patches while others run: a frame sees one patch or the other, never a mixture.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use graft_runtime::{Error, Image, Patch, Session, TaskSlot};
use graft_tests::{backbone, image, patch};

/// Threads that run frames.
const READERS: usize = 4;
/// Times that a patch is published meanwhile; `GRAFT_PUBLISH` asks for more.
const PUBLISHED: usize = 10_000;

#[test]
fn readers_see_the_old_patch_or_the_new_one() {
    let asked = std::env::var("GRAFT_PUBLISH");
    let wanted = asked.map_or(PUBLISHED, |text| text.parse().expect("a number"));
    let backbone = backbone(24, 1);
    let patches: Vec<Arc<Patch>> = (0..4)
        .map(|seed| Arc::new(patch(&backbone, 10, seed)))
        .collect();
    let values = image(&patches[0], 7);
    let expected: Vec<Vec<f32>> = patches
        .iter()
        .map(|patch| {
            let mut session = Session::new(&backbone).expect("kernels are there");
            session
                .run(patch, Image::Values(&values))
                .expect("the image fits")
                .to_vec()
        })
        .collect();
    let slot = TaskSlot::new("task", Arc::clone(&patches[0]));
    let is_done = AtomicBool::new(false);
    let satisfied = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = Session::new(&backbone).expect("kernels are there");
                    let (mut seen, mut frames) = ([false; 4], 0);
                    while !is_done.load(Ordering::Relaxed) {
                        let scores = session
                            .run(&slot.patch(), Image::Values(&values))
                            .expect("the image fits");
                        let which = expected.iter().position(|expected| expected == scores);
                        let which = which.expect("the scores of exactly one patch");
                        let is_new = !std::mem::replace(&mut seen[which], true);
                        if is_new && seen == [true; 4] {
                            satisfied.fetch_add(1, Ordering::Relaxed);
                        }
                        frames += 1;
                    }
                    frames
                })
            })
            .collect();
        // Then until every reader has seen every patch: on a busy machine that takes a while.
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut swap = 0;
        while swap < wanted
            || satisfied.load(Ordering::Relaxed) < readers.len() && Instant::now() < deadline
        {
            swap += 1;
            let receipt = slot
                .publish(Arc::clone(&patches[swap % 4]))
                .expect("the same backbone");
            assert_eq!(receipt, patches[swap % 4].receipt());
            // Odd, so that each of the patches has its turn.
            if swap.is_multiple_of(63) {
                std::thread::yield_now();
            }
        }
        is_done.store(true, Ordering::Relaxed);
        let frames: usize = readers
            .into_iter()
            .map(|reader| reader.join().expect("no reader sees a mixture"))
            .sum();
        println!(
            "{swap} patches published, {frames} frames: each the old patch's or the new one's"
        );
    });
    assert_eq!(
        satisfied.into_inner(),
        READERS,
        "readers that saw all four patches"
    );
}

#[test]
fn a_foreign_patch_is_refused_and_the_slot_keeps_what_it_had() {
    let (one, other) = (backbone(24, 1), backbone(24, 2));
    let slot = TaskSlot::new("task", patch(&one, 10, 1));
    let before = slot.patch();
    let refused = slot.publish(patch(&other, 10, 1));
    assert!(matches!(refused, Err(Error::OtherBackbone { .. })));
    assert!(Arc::ptr_eq(&before, &slot.patch()));
}

#[test]
fn the_memory_of_a_patch_is_freed_when_its_last_frame_ends() {
    let backbone = backbone(24, 1);
    let first = Arc::new(patch(&backbone, 10, 1));
    let watch = Arc::downgrade(&first);
    let slot = TaskSlot::new("task", first);
    let in_a_frame = slot.patch();
    slot.publish(patch(&backbone, 10, 2))
        .expect("the same backbone");
    assert!(watch.upgrade().is_some(), "a frame still uses it");
    drop(in_a_frame);
    assert!(watch.upgrade().is_none());
}
