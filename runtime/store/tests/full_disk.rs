//! A disk that fills: an install that finds no room changes nothing, and collecting garbage makes room again.
#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::path::Path;

use disk::SmallDisk;
use graft_patches::Digest;
use graft_store::{Error, Limits, Options, PatchStore};

#[path = "shared/disk.rs"]
#[allow(dead_code, reason = "not every test needs all of it")]
mod disk;
#[allow(dead_code, reason = "not every test needs all of it")]
mod shared;

fn served(store: &PatchStore) -> Option<Digest> {
    let patch = store.slot("t").expect("the name is plain").patch();
    patch.image().map(|image| Digest::of(image.bytes()))
}

#[test]
fn a_full_disk_refuses_installs_and_garbage_makes_room() {
    let backbone = shared::backbone();
    let patch = |score: u64| shared::patch(&backbone, "t", score as f32);
    let length = patch(0).len().next_multiple_of(4096);
    let Some(disk) = SmallDisk::mount(8 * length) else {
        return;
    };
    let folder = disk.path().join("store");
    let filler = disk.path().join("filler");
    let [mut installed, mut refused, mut collected] = [0; 3];
    let mut active = None;
    for round in 0..120_u64 {
        // The rest of the disk is filled to the last byte, or to some bytes before it.
        if round % 5 == 4 {
            fill(&filler, (round % 4) as usize * 4096);
        }
        let options = Options {
            limits: Limits {
                versions: 100,
                ..Limits::default()
            },
            ..Options::default()
        };
        let store = PatchStore::open(&folder, &backbone, options).unwrap();
        assert_eq!(served(&store), active, "round {round}");
        let done = store
            .install(&patch(round))
            .and_then(|_| store.activate("t", None));
        let is_confirmed = done.and_then(|_| store.confirm("t"));
        match is_confirmed {
            Ok(_) => {
                installed += 1;
                active = Some(Digest::of(&patch(round)));
            }
            Err(Error::File { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "{source}");
                refused += 1;
                collected += store.collect_garbage().unwrap().versions;
                if round % 2 == 0 {
                    let _ = std::fs::remove_file(&filler);
                }
            }
            Err(error) => panic!("round {round}: {error:?}"),
        }
        if let Ok(state) = store.folder().task("t") {
            let active = state.active().and_then(|number| state.version(number));
            assert!(active.is_none_or(|version| version.is_good));
        }
    }
    assert!(installed > 20 && refused > 5 && collected > 5);
    println!(
        "{installed} installed, {refused} times no room, {collected} versions collected; each state was legal"
    );
}

/// Fills the disk but for some bytes.
fn fill(path: &Path, room: usize) {
    let mut file = std::fs::File::create(path).unwrap();
    let mut length = 0;
    while file.write_all(&[0; 4096]).is_ok() {
        length += 4096;
    }
    file.set_len(u64::try_from(length - room.min(length)).unwrap())
        .unwrap();
}
