//! Any bytes as what a store knows of a task, under a right digest; then a board starts with them and takes any steps. What
//! a store writes it reads again, it serves a version that it has, and its highest counter never falls.
//!
//! The first byte of an input says how many steps follow, a byte each; the rest is the state.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use graft_patches::Digest;
use graft_runtime::Backbone;
use graft_store::{Ended, Limits, Options, PatchStore, StoreFolder, TaskState};
use graft_tests::signed::{self, TASK};

static BACKBONE: LazyLock<Backbone> = LazyLock::new(signed::backbone);
/// The patches that the states in the seeds name.
static PATCHES: [&[u8]; 3] = [
    include_bytes!("../seeds/signature/signed"),
    include_bytes!("../seeds/signature/other"),
    include_bytes!("../seeds/signature/warm"),
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = TaskState::from_bytes(bytes);
    let Some((&steps, rest)) = bytes.split_first() else {
        return;
    };
    let (steps, contents) = rest.split_at(rest.len().min(steps.into()));
    let version = 2_u32.to_le_bytes();
    let file = [b"GRAFTSTA", &version[..], &Digest::of(contents).0, contents].concat();
    if let Ok(state) = TaskState::from_bytes(&file) {
        assert_eq!(
            TaskState::from_bytes(&state.to_bytes()).as_ref(),
            Ok(&state)
        );
        live(&state, &steps[..steps.len().min(16)]);
    }
});

/// A board with this state and the patches that it names, as far as there are.
fn live(state: &TaskState, steps: &[u8]) {
    // In memory where that is a folder: a store waits for its disk.
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = folder.expect("a temporary folder");
    let task = folder.path().join("tasks").join(TASK);
    fs::create_dir_all(&task).expect("a folder");
    fs::write(task.join("state"), state.to_bytes()).expect("a file");
    for version in state.versions().iter().take(8) {
        let genuine = PATCHES
            .iter()
            .find(|patch| Digest::of(patch) == version.digest);
        if let Some(patch) = genuine {
            let path = task.join(format!("{:010}.patch", version.number));
            fs::write(path, patch).expect("a file");
        }
    }
    run(folder.path().to_owned(), state.highest_counter(), steps);
}

fn run(folder: PathBuf, mut highest: Option<u64>, steps: &[u8]) {
    let open = || {
        let options = Options {
            limits: Limits {
                versions: 4,
                keep: 1,
                ..Limits::default()
            },
            good_after: Some(1),
            check: None,
        };
        PatchStore::open(&folder, &BACKBONE, options)
    };
    // It may be of another backbone, or of another task.
    let Ok(mut store) = open() else {
        return;
    };
    if store.folder().task(TASK).is_err() {
        return;
    }
    for &step in [u8::MAX].iter().chain(steps) {
        let argument = step / 8;
        // What may be refused may be refused.
        match step % 8 {
            0 => drop(store.install(PATCHES[usize::from(argument) % PATCHES.len()])),
            1 => drop(store.activate(TASK, None)),
            2 => drop(store.activate(TASK, Some(argument.into()))),
            3 => drop(store.confirm(TASK)),
            4 => drop(store.roll_back(TASK, Ended::Asked)),
            5 => drop(store.collect_garbage()),
            6 => {
                let slot = store.slot(TASK).expect("the name is plain");
                drop(store.record_run(TASK, &slot.patch(), argument % 2 == 0));
            }
            _ => {
                drop(store);
                store = open().expect("it was open before");
            }
        }
        let state = StoreFolder::new(&folder, Limits::default()).task(TASK);
        let state = state.expect("what a store writes it reads");
        assert!(state.highest_counter() >= highest, "a counter has fallen");
        highest = state.highest_counter();
        if let Some(version) = store.version(TASK) {
            assert!(
                state.version(version).is_some(),
                "{version} is served and unknown"
            );
        }
    }
}
