//! A service follows what another process does to its folder.
#![cfg(feature = "watch")]

use std::sync::{Arc, mpsc};
use std::time::Duration;

use graft_store::{Ended, Event, Limits, Options, PatchStore, StoreFolder, Watcher};

#[allow(dead_code, reason = "not every test needs all of it")]
mod shared;

#[test]
fn what_another_process_activates_is_served() {
    let folder = shared::folder();
    let backbone = shared::backbone();
    let store = PatchStore::open(folder.path(), &backbone, Options::default()).unwrap();
    let store = Arc::new(store);
    let slot = store.slot("t").unwrap();
    let outside = StoreFolder::new(folder.path(), Limits::default());
    let (sender, told) = mpsc::channel();
    let watcher = Watcher::start(&store, move |events| {
        for event in events.unwrap() {
            sender.send(event).unwrap();
        }
    })
    .unwrap();
    let serves = |expected| loop {
        // As long as a busy machine may take; far more than it needs.
        let event = told.recv_timeout(Duration::from_secs(60)).unwrap();
        if let Event::Serving {
            version, on_trial, ..
        } = event
        {
            assert_eq!((version, on_trial), expected);
            break;
        }
    };
    for version in 1..4 {
        let patch = shared::patch(&backbone, "t", version as f32);
        outside.install(&patch, &backbone).unwrap();
        outside.activate("t", None, &backbone).unwrap();
        serves((Some(version), true));
        let served = slot.patch();
        assert_eq!(served.image().map(|image| image.bytes()), Some(&patch[..]));
        outside.confirm("t").unwrap();
        serves((Some(version), false));
    }
    outside.roll_back("t", Ended::Asked).unwrap();
    serves((Some(2), false));
    drop(watcher);
    outside.roll_back("t", Ended::Asked).unwrap();
    assert_eq!(store.version("t"), Some(2));
}
