//! Swaps patches while frames run: `hot_swap BACKBONE PATCH...`. One thread runs frames with a task's current patch, another
//! publishes the patches in turn, ten times each, and says what it replaced.
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

use graft_runtime::{Backbone, Error, Patch, Session, TaskSlot};

/// Times that each patch is published.
const ROUNDS: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [backbone, patches @ ..] = &arguments[..] else {
        return Err("usage: hot_swap BACKBONE PATCH...".into());
    };
    let backbone = Backbone::open(backbone)?;
    let slot = TaskSlot::new("camera", backbone.identity());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let frames = scope.spawn(|| run_frames(&backbone, &slot, &is_done));
        let published = publish_all(&backbone, &slot, patches);
        is_done.store(true, Ordering::Relaxed);
        let frames = frames.join().expect("a thread without panics")?;
        published?;
        println!("{frames} frames, none of them with a mixture of two patches");
        Ok(())
    })
}

/// Runs frames until it is told to stop. Each takes the patch of its moment and keeps it to its end.
fn run_frames(backbone: &Backbone, slot: &TaskSlot, is_done: &AtomicBool) -> Result<usize, Error> {
    let mut session = Session::new(backbone)?;
    let mut frames = 0;
    while !is_done.load(Ordering::Relaxed) {
        let patch = slot.patch();
        let frame = vec![128u8; patch.input().shape.len()]; // a camera's
        session.run(&patch, &frame)?;
        frames += 1;
    }
    Ok(frames)
}

fn publish_all(backbone: &Backbone, slot: &TaskSlot, patches: &[String]) -> Result<(), Error> {
    for path in patches.iter().cycle().take(ROUNDS * patches.len()) {
        thread::sleep(Duration::from_millis(20));
        let patch = Patch::open(path, backbone)?; // mapped and checked beside the frames
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
