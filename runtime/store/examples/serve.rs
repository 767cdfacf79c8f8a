//! A service: `serve STORE BACKBONE TASK IMAGE [FRAMES]`. It owns the store, classifies an image again and again with the
//! task's patch of the moment, and prints when that changes; `patchtool store` changes it from another terminal. Without
//! FRAMES it runs until it is ended.
//!
//! ```text
//! cargo run --release -p graft-store --features watch --example serve -- \
//!     store tools/assets/demo/demo.backbone fashion tests/cases/images/fashion/sneaker.png
//! patchtool store install --store store --backbone tools/assets/demo/demo.backbone tools/assets/demo/fashion.patch
//! patchtool store activate --store store --backbone tools/assets/demo/demo.backbone --task fashion
//! ```

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use graft_runtime::{Backbone, Patch, Session};
use graft_store::{Options, PatchStore, Watcher};

/// Time between two frames.
const PAUSE: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, backbone, task, image, frames @ ..] = &arguments[..] else {
        return Err("usage: serve STORE BACKBONE TASK IMAGE [FRAMES]".into());
    };
    let frames = match frames {
        [] => u64::MAX,
        [frames, ..] => frames.parse()?,
    };
    let backbone = Backbone::open(backbone)?;
    let options = Options {
        good_after: Some(100),
        ..Options::default()
    };
    let store = Arc::new(PatchStore::open(store, &backbone, options)?);
    for event in store.recovered() {
        println!("{event}");
    }
    let _watcher = Watcher::start(&store, |told| match told {
        Ok(events) => events.iter().for_each(|event| println!("{event}")),
        Err(error) => eprintln!("{error}; {}", error.hint()),
    })?;
    let picture = image::open(image)?.to_rgb8();
    let slot = store.slot(task)?;
    let mut session = Session::new(&backbone)?;
    let mut last = None;
    for _ in 0..frames {
        let patch = slot.patch();
        let [height, width] = [patch.input().shape.height, patch.input().shape.width];
        let frame = image::imageops::thumbnail(&picture, width as u32, height as u32);
        let scores = session.run(&patch, frame.as_raw())?;
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let is_ok = scores.iter().all(|score| score.is_finite());
        let now = (store.version(task), best);
        if last != Some(now) {
            println!("{task}: {}", label(&patch, best.unwrap_or(0))?);
            last = Some(now);
        }
        store.record_run(task, &patch, is_ok)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// The label of a class, or its number.
fn label(patch: &Patch, class: usize) -> Result<String, graft_store::Error> {
    let metadata = patch.image().map(|image| image.metadata()).transpose()?;
    let labels = metadata.unwrap_or_default().labels;
    Ok(labels
        .get(class)
        .cloned()
        .unwrap_or(format!("class {class}")))
}
