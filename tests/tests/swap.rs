//! Publishing patches while others run: a frame sees one patch or the other, never a mixture.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use graft_runtime::{Error, Image, Patch, Session, TaskSlot};
use graft_tests::{backbone, image, patch};

#[test]
fn readers_see_the_old_patch_or_the_new_one() {
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
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = Session::new(&backbone).expect("kernels are there");
                    let mut seen = [0usize; 4];
                    while !is_done.load(Ordering::Relaxed) {
                        let scores = session
                            .run(&slot.patch(), Image::Values(&values))
                            .expect("the image fits");
                        let which = expected.iter().position(|expected| expected == scores);
                        seen[which.expect("the scores of exactly one patch")] += 1;
                    }
                    seen
                })
            })
            .collect();
        for swap in 0..2000 {
            let receipt = slot
                .publish(Arc::clone(&patches[swap % 4]))
                .expect("the same backbone");
            assert_eq!(receipt, patches[swap % 4].receipt());
            if swap % 16 == 0 {
                std::thread::yield_now();
            }
        }
        is_done.store(true, Ordering::Relaxed);
        for reader in readers {
            let seen = reader.join().expect("no reader fails");
            assert!(seen.iter().sum::<usize>() > 0);
        }
    });
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
