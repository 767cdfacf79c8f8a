//! A run allocates nothing, and a swap neither: so nothing can be copied to anywhere.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Image, Patch, Session, TaskSlot};
use graft_tests::{backbone, image, int8, patch};

/// Counts every allocation of the process, on all threads.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes every call on to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The fewest allocations in five tries, each with its own preparation: the test harness has a thread of its own, which
/// allocates now and then.
fn allocations<T>(prepare: impl Fn() -> T, of: impl Fn(&mut T)) -> usize {
    let count = |_| {
        let mut prepared = prepare();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        of(&mut prepared);
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    (0..5).map(count).min().unwrap_or(usize::MAX)
}

/// One test: the counter is the process's.
#[test]
fn runs_and_swaps_allocate_nothing() {
    let float = backbone(64, 1);
    let patches = [10, 20].map(|classes| Arc::new(patch(&float, classes, 3)));
    check(&float, &patches);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    let patches = [(Dtype::I8, 10), (Dtype::I8Half, 20)].map(|(dtype, classes)| {
        let bytes = int8::random_patch_as(dtype, &float, &int8, classes, 3);
        Arc::new(Patch::from_bytes(&bytes, &int8).expect("it fits"))
    });
    check(&int8, &patches);
    let boxes = allocations(|| (), |()| drop(std::hint::black_box(Box::new(1))));
    assert!(boxes > 0, "the counter counts");
}

fn check(backbone: &Backbone, patches: &[Arc<Patch>; 2]) {
    let values = image(&patches[0], 7);
    let pixels = vec![9u8; values.len()];
    for threads in [1, 2] {
        let prepare = || {
            let session = Session::with_threads(backbone, threads).expect("threads start");
            // A thread that starts allocates its name and locals, in its own time.
            std::thread::sleep(Duration::from_millis(50));
            session
        };
        let count = allocations(prepare, |session| {
            // From the very first run on.
            for run in 0..100 {
                let scores = session.run(&patches[run % 2], Image::Values(&values));
                std::hint::black_box(scores.expect("the image fits"));
                std::hint::black_box(session.run(&patches[0], &pixels).expect("the image fits"));
            }
        });
        assert_eq!(count, 0, "{threads} threads");
        let both = [&*patches[0], &*patches[1]];
        let count = allocations(prepare, |session| {
            let run = session.run_many(&both, &pixels, |_, scores| {
                std::hint::black_box(scores);
            });
            run.expect("the image fits");
        });
        assert_eq!(count, 0, "both together, {threads} threads");
    }
    let prepare = || {
        let slot = TaskSlot::new("task", Arc::clone(&patches[0]));
        // The first load of a thread sets up arc-swap's own bookkeeping.
        drop(slot.patch());
        slot
    };
    let count = allocations(prepare, |slot| {
        for swap in 0..1000 {
            slot.publish(Arc::clone(&patches[swap % 2]))
                .expect("the same backbone");
            std::hint::black_box(slot.patch());
        }
    });
    assert_eq!(count, 0, "swaps");
}
