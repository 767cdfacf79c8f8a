//! Swaps patches while frames run: `hot_swap BACKBONE PATCH...`. One thread runs frames with a task's current patch, another
//! publishes the patches in turn, ten times each, and says what it replaced. Every frame must get the scores of one patch.
//!
//! On the demo's files, from the root of the repository:
//!
//! ```text
//! cargo run --release -p graft-runtime --example hot_swap -- \
//!     tools/assets/demo/demo.backbone tools/assets/demo/fashion.patch tools/assets/demo/sign-digits.patch
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use graft_runtime::{Backbone, Error, Patch, Session, TaskSlot, Verify};

/// Times that each patch is published.
const ROUNDS: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [backbone, patches @ ..] = &arguments[..] else {
        return Err("usage: hot_swap BACKBONE PATCH...".into());
    };
    // SAFETY: nobody writes to the file while the example runs.
    let backbone = unsafe { Backbone::map(backbone, Verify::Full) }?;
    let expected = expected_scores(&backbone, patches)?;
    let slot = TaskSlot::new("camera", backbone.identity());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let frames = scope.spawn(|| run_frames(&backbone, &slot, &expected, &is_done));
        let published = publish_all(&backbone, &slot, patches);
        is_done.store(true, Ordering::Relaxed);
        let [frames, mixed] = frames.join().expect("a thread without panics")?;
        published?;
        println!("{frames} frames, {mixed} of them with a mixture of patches");
        match mixed {
            0 => Ok(()),
            _ => Err("a frame has the scores of no patch".into()),
        }
    })
}

/// A camera's frame for a patch.
fn frame(patch: &Patch) -> Vec<u8> {
    vec![128; patch.input().shape.len()]
}

/// The scores of the frame with the backbone's own values and with each patch.
fn expected_scores(backbone: &Backbone, patches: &[String]) -> Result<Vec<Vec<f32>>, Error> {
    let mut session = Session::new(backbone)?;
    let own = [Ok(backbone.identity())].into_iter();
    let given = patches.iter().map(|path| Patch::open(path, backbone));
    own.chain(given)
        .map(|patch| {
            let patch = patch?;
            Ok(session.run(&patch, &frame(&patch))?.to_vec())
        })
        .collect()
}

/// Runs frames until it is told to stop. Each takes the patch of its moment and keeps it to its end. Returns the number of
/// frames, and of those whose scores are not expected.
fn run_frames(
    backbone: &Backbone,
    slot: &TaskSlot,
    expected: &[Vec<f32>],
    is_done: &AtomicBool,
) -> Result<[usize; 2], Error> {
    let mut session = Session::new(backbone)?;
    let [mut frames, mut mixed] = [0; 2];
    while !is_done.load(Ordering::Relaxed) {
        let patch = slot.patch();
        let scores = session.run(&patch, &frame(&patch))?;
        mixed += usize::from(!expected.iter().any(|expected| expected == scores));
        frames += 1;
    }
    Ok([frames, mixed])
}

fn publish_all(backbone: &Backbone, slot: &TaskSlot, patches: &[String]) -> Result<(), Error> {
    for path in patches.iter().cycle().take(ROUNDS * patches.len()) {
        thread::sleep(Duration::from_millis(20));
        let patch = Patch::open(path, backbone)?; // read and checked beside the frames
        let start = Instant::now();
        let receipt = slot.publish(patch)?;
        let time = start.elapsed();
        println!(
            "{path}: {}, {} sites, published in {time:?}",
            receipt.kinds, receipt.sites
        );
    }
    Ok(())
}
