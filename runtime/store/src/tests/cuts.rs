//! The power is cut before every single change of the disk, or the process killed there: what was not synced is lost, or
//! is not. Then the store opens and serves what was served before or what was asked for, whole.

use std::fs;
use std::path::Path;

use graft_patches::Digest;
use graft_runtime::Backbone;
use tempfile::TempDir;

use super::power::with_power_for;
use super::shared::{backbone, folder, patch};
use crate::{Ended, Event, Limits, Options, PatchStore, StoreFolder};

const KEEP: Limits = Limits {
    tasks: 10,
    versions: 10,
    patch_bytes: 1 << 20,
    bytes: 1 << 24,
    keep: 1,
};

/// What is lost at a cut: nothing, as at a kill; all that was not synced; or some of it.
const LOST: [u32; 4] = [0, u32::MAX, 0x5555_5555, 0xAAAA_AAAA];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn open(folder: &Path, backbone: &Backbone) -> PatchStore {
    let options = Options {
        limits: KEEP,
        ..Options::default()
    };
    PatchStore::open(folder, backbone, options).unwrap()
}

/// What a store serves after a start, and all that its state says is there, whole.
fn served_after_start(folder: &Path, backbone: &Backbone) -> Option<Digest> {
    let store = open(folder, backbone);
    let digest = |bytes: &[u8]| Digest::of(bytes);
    let patch = store.slot("t").unwrap().patch();
    let served = patch.image().map(|image| digest(image.bytes()));
    let Ok(task) = store.folder().task("t") else {
        assert_eq!(served, None);
        return None;
    };
    let expected = task
        .serving()
        .and_then(|number| task.version(number))
        .map(|version| version.digest);
    assert_eq!(served, expected);
    let files: Vec<_> = fs::read_dir(folder.join("tasks/t")).unwrap().collect();
    assert_eq!(files.len(), 1 + task.versions().len(), "garbage stays");
    for version in task.versions() {
        let bytes = fs::read(store.folder().patch_path("t", version.number)).unwrap();
        assert_eq!(digest(&bytes), version.digest, "version {}", version.number);
    }
    served
}

/// A folder as it was before a step, and the step.
struct Scene {
    folder: TempDir,
    backbone: Backbone,
}

impl Scene {
    fn new(before: impl FnOnce(&StoreFolder, &Backbone)) -> Self {
        let (folder, backbone) = (folder(), backbone());
        before(&StoreFolder::new(folder.path(), KEEP), &backbone);
        Self { folder, backbone }
    }

    /// Takes a step with the power cut before each of its changes; returns the number of cuts. After each, what is served
    /// is as before the step or as after it.
    fn cut(&self, step: impl Fn(&Path)) -> usize {
        let served = |power: Option<usize>, lost| {
            let copied = folder();
            copy(self.folder.path(), copied.path());
            let is_done =
                power.is_none_or(|changes| with_power_for(changes, lost, || step(copied.path())));
            (served_after_start(copied.path(), &self.backbone), is_done)
        };
        let before = served(Some(0), 0).0;
        let mut cuts = 1;
        let after = served(Some(usize::MAX - 1), 0).0;
        for lost in LOST {
            for changes in 0.. {
                let (found, is_done) = served(Some(changes), lost);
                if is_done {
                    assert_eq!(found, after);
                    break;
                }
                let is_legal = found == before || found == after;
                assert!(is_legal, "after {changes} changes, {lost:x}: {found:?}");
                cuts += 1;
            }
        }
        assert_eq!(served(None, 0).0, before);
        cuts
    }
}

/// Installs and confirms a version for each score.
fn confirmed(store: &StoreFolder, backbone: &Backbone, scores: &[f32]) {
    for &score in scores {
        let bytes = patch(backbone, "t", score);
        store.install(&bytes, backbone).unwrap();
        store.activate("t", None, backbone).unwrap();
        store.confirm("t").unwrap();
    }
}

#[test]
fn a_cut_at_every_change_leaves_the_old_or_the_new() {
    let own = backbone();
    let next = patch(&own, "t", 9.0);
    let outside = |folder: &Path| StoreFolder::new(folder, KEEP);
    let one = || Scene::new(|store, backbone| confirmed(store, backbone, &[1.0]));
    let installed = || {
        Scene::new(|store, backbone| {
            confirmed(store, backbone, &[1.0]);
            store.install(&patch(backbone, "t", 9.0), backbone).unwrap();
        })
    };
    let on_trial = || {
        Scene::new(|store, backbone| {
            confirmed(store, backbone, &[1.0]);
            store.install(&patch(backbone, "t", 9.0), backbone).unwrap();
            store.activate("t", None, backbone).unwrap();
        })
    };
    let two = || Scene::new(|store, backbone| confirmed(store, backbone, &[1.0, 2.0]));
    let many = || Scene::new(|store, backbone| confirmed(store, backbone, &[1.0, 2.0, 3.0, 4.0]));
    let damaged = || {
        Scene::new(|store, backbone| {
            confirmed(store, backbone, &[1.0, 2.0]);
            fs::write(store.patch_path("t", 2), b"damaged").unwrap();
        })
    };
    let served = || {
        Scene::new(|store, backbone| {
            confirmed(store, backbone, &[1.0]);
            store.install(&patch(backbone, "t", 9.0), backbone).unwrap();
            open(store.path(), backbone).activate("t", None).unwrap();
        })
    };
    type Step<'a> = &'a dyn Fn(&Path);
    let steps: [(&str, Scene, Step<'_>); 12] = [
        ("first install", Scene::new(|_, _| ()), &|folder| {
            let _ = outside(folder).install(&next, &own);
        }),
        ("install", one(), &|folder| {
            let _ = outside(folder).install(&next, &own);
        }),
        ("install, make room", many(), &|folder| {
            let full = Limits {
                versions: 4,
                ..KEEP
            };
            let _ = StoreFolder::new(folder, full).install(&next, &own);
        }),
        ("activate", installed(), &|folder| {
            let _ = outside(folder).activate("t", None, &own);
        }),
        ("confirm", on_trial(), &|folder| {
            let _ = outside(folder).confirm("t");
        }),
        ("end a trial", on_trial(), &|folder| {
            let _ = outside(folder).roll_back("t", Ended::Asked);
        }),
        ("roll back", two(), &|folder| {
            let _ = outside(folder).roll_back("t", Ended::Asked);
        }),
        ("collect garbage", many(), &|folder| {
            let _ = outside(folder).collect_garbage();
        }),
        ("open, begin a trial", on_trial(), &|folder| {
            let _ = PatchStore::open(folder, &own, Options::default());
        }),
        ("open, end a trial", served(), &|folder| {
            let _ = PatchStore::open(folder, &own, Options::default());
        }),
        ("open, leave damage", damaged(), &|folder| {
            let _ = PatchStore::open(folder, &own, Options::default());
        }),
        ("serve a trial, confirm it", installed(), &|folder| {
            let Ok(store) = PatchStore::open(folder, &own, Options::default()) else {
                return;
            };
            let _ = store.activate("t", None);
            let _ = store.confirm("t");
        }),
    ];
    let mut total = 0;
    for (name, scene, step) in steps {
        let cuts = scene.cut(step);
        println!("{name}: {cuts} cuts");
        total += cuts;
    }
    println!("{total} cuts in all, each survived");
}

#[test]
fn a_disk_that_fails_keeps_no_trial_and_serves_the_active_version() {
    let scene = Scene::new(|store, backbone| {
        confirmed(store, backbone, &[1.0]);
        store.install(&patch(backbone, "t", 9.0), backbone).unwrap();
        store.activate("t", None, backbone).unwrap();
    });
    // The trial cannot be begun, so it is not served.
    with_power_for(0, 0, || {
        let store = open(scene.folder.path(), &scene.backbone);
        assert_eq!(store.version("t"), Some(1));
        // That it was left is not told, because it is not so.
        let told = store.recovered();
        assert!(
            matches!(told, [Event::Failed { .. }, Event::Serving { .. }]),
            "{told:?}"
        );
    });
    // What that left is removed and the trial begun (five changes), but its end cannot be written: it ends all the same.
    with_power_for(5, 0, || {
        let store = open(scene.folder.path(), &scene.backbone);
        assert_eq!(store.version("t"), Some(2));
        let patch = store.slot("t").unwrap().patch();
        store.record_run("t", &patch, false).unwrap_err();
        assert_eq!(store.version("t"), Some(1));
        store.refresh().unwrap();
        assert_eq!(store.version("t"), Some(1));
    });
    assert_eq!(
        open(scene.folder.path(), &scene.backbone).version("t"),
        Some(1)
    );
}
