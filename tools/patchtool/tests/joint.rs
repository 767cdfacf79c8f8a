//! `patchtool train` with several tasks: one backbone, and a patch for each.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use graft_patches::BackboneImage;
use graft_runtime::Backbone;
use graft_runtime::gradient::{Norm, SiteParameters};
use patchtool::trained::Trained;
use serde_json::Value;
use shared::Folder;

const TASKS: &str = "--task clothes=fashion-train.tar --task signs=sign-digits-train.tar \
                     --task letters=greek-train.tar";
const NAMES: [&str; 3] = ["clothes", "signs", "letters"];

/// A folder with the demo's backbone and data sets.
fn demo() -> Folder {
    let folder = Folder::new();
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo");
    for set in ["fashion", "sign-digits", "greek"] {
        for part in ["train", "test"] {
            let name = format!("{set}-{part}.tar");
            fs::copy(format!("{assets}/{name}"), folder.path(&name)).expect("room on the disk");
        }
    }
    let backbone = folder.path("demo.backbone");
    fs::copy(format!("{assets}/demo.backbone"), backbone).expect("room on the disk");
    folder
}

/// Trains in steps of 10 images, on few of them.
fn train(folder: &Folder, epochs: u32, flags: &str) -> Value {
    folder.json(&format!(
        "train --backbone demo.backbone --batch 10 --limit 40 --epochs {epochs} --augment none {flags}"
    ))
}

fn trained(folder: &Folder, name: &str) -> Trained {
    Trained::from_bytes(&folder.read(name)).expect("a trained file")
}

fn backbone(folder: &Folder, name: &str) -> Backbone {
    Backbone::open(folder.path(name)).expect("a backbone")
}

/// The weights of every convolution, depthwise ones or the others.
fn weights(image: &BackboneImage<'_>, depthwise: bool) -> Vec<Vec<f32>> {
    let sites = (0..image.site_count()).map(|site| image.site(site));
    let chosen = sites.filter(|site| !site.is_head && site.is_depthwise == depthwise);
    chosen.map(|site| image.weights(&site).to_vec()).collect()
}

/// The patches, exported.
fn export(folder: &Folder, out: &str, names: &[&str]) -> Vec<Vec<u8>> {
    let export = |name: &&str| {
        folder.json(&format!(
            "export {out}/{name}.safetensors -b {out}/backbone.backbone -o {out}-{name}.patch"
        ));
        folder.read(&format!("{out}-{name}.patch"))
    };
    names.iter().map(export).collect()
}

#[test]
fn a_backbone_and_a_patch_for_each_task_come_out() {
    let folder = demo();
    let report = train(
        &folder,
        2,
        &format!(
            "{TASKS} --task-test clothes=fashion-test.tar --task-test signs=sign-digits-test.tar \
             --task-test letters=greek-test.tar --validation 0 -o all"
        ),
    );
    export(&folder, "all", &NAMES);
    let tests = ["fashion-test.tar", "sign-digits-test.tar", "greek-test.tar"];
    for (index, (name, test)) in NAMES.iter().zip(tests).enumerate() {
        let task = &report["tasks"][index];
        assert_eq!(task["name"], *name);
        assert_eq!(task["kind"], "bn+head");
        let evaluate = |patch: &str| -> Value {
            let line = format!("eval --backbone all/backbone.backbone {patch} --data {test}");
            folder.json(&line)["accuracy"].clone()
        };
        let found = evaluate(&format!("--patch all-{name}.patch"));
        let near = |a: &Value, b: &Value| {
            let [a, b] = [a, b].map(|value| value.as_f64().expect("a number"));
            (a - b).abs() < 1e-6
        };
        assert!(near(&found, &task["best"]["test_accuracy"]), "{task}");
        // On its own, the backbone does the first task.
        if index == 0 {
            assert_eq!(evaluate(""), found);
        }
        folder.refused(
            &format!("export all/{name}.safetensors -b demo.backbone -o none.patch"),
            "trained on backbone \"all\"",
        );
    }
    let (start, end) = (
        backbone(&folder, "demo.backbone"),
        backbone(&folder, "all/backbone.backbone"),
    );
    for depthwise in [false, true] {
        let [start, end] = [&start, &end].map(|backbone| weights(&backbone.image(), depthwise));
        let differ = start.iter().zip(&end).filter(|(start, end)| start != end);
        assert_eq!(differ.count(), start.len(), "all weights are trained");
    }
    let signs = trained(&folder, "all/signs.safetensors");
    let letters = trained(&folder, "all/letters.safetensors");
    assert!(signs.sites[&0] != letters.sites[&0], "each has its norms");
    assert!(signs.sites.values().filter(|s| s.weights.is_some()).count() == 1);

    folder.json("quantize all/backbone.backbone --calibrate fashion-train.tar -o int8.backbone");
    folder.json(
        "export all/signs.safetensors -b int8.backbone --calibrate sign-digits-train.tar -o int8.patch",
    );
    let line = "--data sign-digits-train.tar";
    let float = folder.json(&format!(
        "eval --backbone all/backbone.backbone --patch all-signs.patch {line}"
    ));
    let int8 = folder.json(&format!(
        "eval --backbone int8.backbone --patch int8.patch {line}"
    ));
    let [float, int8] = [float, int8].map(|found| found["accuracy"].as_f64().expect("a number"));
    assert!((float - int8).abs() < 0.1, "{float} {int8}");
}

#[test]
fn a_run_that_is_stopped_goes_on_to_the_same_files() {
    let folder = demo();
    let line = format!(
        "train --backbone demo.backbone --batch 10 --limit 40 --epochs 6 {TASKS} --share signs=2 --batch-norm batch \
         --checkpoint-every 0"
    );
    folder.json(&format!("{line} -o through"));
    let mut run = folder
        .command(&format!("{line} -o stopped"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let checkpoint = folder.path("stopped/backbone.backbone.checkpoint");
    // In the middle of the second epoch or later: an epoch has 16 steps.
    let mut written = None;
    for _ in 0..21 {
        let last = written;
        while written == last {
            assert!(run.try_wait().expect("it runs").is_none(), "it is over");
            sleep(Duration::from_micros(300));
            let file = fs::metadata(&checkpoint).and_then(|file| file.modified());
            written = file.ok();
        }
    }
    run.kill().expect("it can be killed");
    run.wait().expect("it ends");
    for (flags, words) in [
        ("", "hint: go on with --resume, or start again with --force"),
        ("--resume --share letters=2", "--share was 1, now 2"),
        ("--resume --lr 1", "--lr was 0.0003, now 1"),
        (
            "--resume --task more=greek-train.tar",
            "the number of tasks was 3, now 4",
        ),
    ] {
        let refused = folder.run(&format!("{line} {flags} -o stopped"));
        assert!(
            refused.status == 2 && refused.stderr.contains(words),
            "{}",
            refused.stderr
        );
    }
    folder.json(&format!("{line} --resume -o stopped"));
    let same = |name: &str| {
        let [a, b] = ["through", "stopped"].map(|out| format!("{out}/{name}.safetensors"));
        let [a, b] = [trained(&folder, &a), trained(&folder, &b)];
        assert_eq!(a.sites, b.sites, "{name}");
        assert_eq!(a.metrics.validation_loss, b.metrics.validation_loss);
    };
    NAMES.iter().for_each(|name| same(name));
    let [a, b] = ["through", "stopped"].map(|out| {
        let bytes = folder.read(&format!("{out}/backbone.backbone"));
        Backbone::from_bytes(&bytes).expect("a backbone").id()
    });
    assert_eq!(a, b);
    let left = fs::read_dir(folder.path("stopped")).expect("a folder");
    assert_eq!(left.count(), 4, "a backbone and three trained files");
}

#[test]
fn a_task_has_its_share_of_the_steps() {
    let folder = demo();
    // Of 40 images in steps of 10: until those of every task were there.
    for (flags, steps) in [
        ("", [8, 8, 8]),
        ("--share signs=3", [8, 24, 8]),
        (
            "--share clothes=2 --share signs=2 --share letters=4",
            [8, 8, 16],
        ),
    ] {
        let report = train(
            &folder,
            2,
            &format!("{TASKS} --validation 0 --resolution 16 {flags} -o all --force"),
        );
        let found = [0, 1, 2].map(|task| report["tasks"][task]["steps"].as_u64());
        assert_eq!(found, steps.map(Some), "{flags}: {report}");
    }
}

#[test]
fn resolutions_share_a_head_and_have_their_norms() {
    let folder = demo();
    let line = "--data sign-digits-train.tar --resolution 16,24 --name signs";
    train(&folder, 2, &format!("{line} -o sides"));
    let names = ["signs-16", "signs-24"];
    let [small, large] = names.map(|name| trained(&folder, &format!("sides/{name}.safetensors")));
    assert_eq!((small.input.shape.width, large.input.shape.width), (16, 24));
    let head = |trained: &Trained| trained.sites.values().last().cloned();
    assert!(head(&small).is_some_and(|head| head.weights.is_some()));
    assert_eq!(head(&small), head(&large));
    assert_ne!(small.sites[&0], large.sites[&0]);
    export(&folder, "sides", &names);
    folder.json(
        "eval --backbone sides/backbone.backbone --patch sides-signs-16.patch --data sign-digits-test.tar",
    );
}

#[test]
fn a_kind_says_what_is_each_tasks_own() {
    let folder = demo();
    let own = |kind: &str| -> Vec<SiteParameters> {
        train(
            &folder,
            2,
            &format!("{TASKS} --resolution 16 --kind {kind} --batch-norm batch -o {kind}"),
        );
        export(&folder, kind, &NAMES);
        let trained = trained(&folder, &format!("{kind}/signs.safetensors"));
        trained.sites.into_values().collect()
    };
    let sites = backbone(&folder, "demo.backbone").image().site_count();
    let head = own("head");
    assert!(head.len() == 1 && head[0].weights.is_some());
    let norms = own("bn+head");
    assert!(norms.len() == sites && norms[0].weights.is_none());
    let filters = own("bn+dw+head");
    let weights = filters.iter().filter(|site| site.weights.is_some()).count();
    assert!(filters.len() == sites && weights > 1 && weights < sites);
}

#[test]
fn a_network_starts_from_nothing() {
    let folder = demo();
    let start = |seed: u32| {
        // Steps that are too small to be any.
        train(
            &folder,
            2,
            &format!(
                "{TASKS} --resolution 16 --from-scratch --lr 1e-30 --weight-decay 0 --seed {seed} -o s{seed}"
            ),
        );
        backbone(&folder, &format!("s{seed}/backbone.backbone"))
    };
    let [one, two] = [start(1), start(2)];
    let demo = backbone(&folder, "demo.backbone");
    let [one, two, demo] = [&one, &two, &demo].map(|backbone| weights(&backbone.image(), false));
    assert!(one != two && one != demo);
    // Uniform, of variance 2 / inputs.
    let largest = one.last().expect("there are some");
    let depth = 80.0;
    let limit = (6.0_f32 / depth).sqrt();
    let variance = largest.iter().map(|value| value * value).sum::<f32>() / largest.len() as f32;
    assert!(largest.iter().all(|value| value.abs() <= limit));
    assert!((variance * depth / 2.0 - 1.0).abs() < 0.1, "{variance}");
    let norms = trained(&folder, "s1/signs.safetensors");
    let Some(Norm::Batch(norm)) = &norms.sites[&0].norm else {
        panic!("site 0 has a batch norm");
    };
    assert!(norm.gamma.iter().all(|gamma| *gamma == 1.0));
    assert!(
        norm.var.iter().all(|var| *var != 1.0),
        "it is in batch mode"
    );

    train(
        &folder,
        20,
        &format!("{TASKS} --resolution 16 --from-scratch --validation 0 -o learned"),
    );
    export(&folder, "learned", &NAMES);
    let accuracies = ["clothes fashion", "signs sign-digits", "letters greek"].map(|pair| {
        let (name, set) = pair.split_once(' ').expect("a pair");
        let found = folder.json(&format!(
            "eval --backbone learned/backbone.backbone --patch learned-{name}.patch --data {set}-train.tar"
        ));
        found["accuracy"].as_f64().expect("a number")
    });
    assert!(
        accuracies.iter().all(|accuracy| *accuracy > 0.2),
        "ten classes of which little was seen: {accuracies:?}"
    );
}

#[test]
fn what_was_learned_before_a_divergence_is_kept() {
    let folder = demo();
    // A long warm-up takes the rate past what the network bears: in the first epoch, or in one of those after it.
    let line = |rate: &str, out: &str| {
        format!(
            "train --backbone demo.backbone --batch 10 --limit 40 --epochs 40 --warmup 40 --augment none \
             --optimizer sgd --weight-decay 0 --lr {rate} {TASKS} -o {out}"
        )
    };
    folder.refused(&line("1e20", "lost"), "diverged in epoch 1");
    assert!(!folder.path("lost/backbone.backbone").exists());
    let outcome = folder.run(&line("1e8", "kept"));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("the best epoch before is kept"),
        "{}",
        outcome.stderr
    );
    let written = fs::read_dir(folder.path("kept")).expect("a folder");
    assert_eq!(written.count(), 4, "a backbone and three trained files");
    export(&folder, "kept", &NAMES);
}

#[test]
fn what_cannot_be_is_refused_with_a_hint() {
    let folder = demo();
    let one = "--task clothes=fashion-train.tar";
    let two = format!("{one} --task signs=sign-digits-train.tar");
    for (flags, words) in [
        (one.to_owned(), "one task alone"),
        (format!("{two} {one}"), "two tasks have one name"),
        (
            format!("{two} --share shoes=2"),
            "--share names shoes, the tasks are clothes, signs",
        ),
        (
            format!("{two} --share signs=2 --share signs=3"),
            "--share names signs twice",
        ),
        (
            format!("{two} --task-test x=greek-test.tar"),
            "--task-test names x",
        ),
        (
            format!("{two} --test greek-test.tar"),
            "--task-test NAME=DIR",
        ),
        (
            format!("{two} --validation greek-test.tar"),
            "--task-validation NAME=DIR",
        ),
        (format!("{two} --kind full"), "full is no kind of patch"),
        (
            format!("{two} --kind random+head"),
            "random+head is no kind of patch",
        ),
        (
            format!("{two} --average swa"),
            "--average is for the training of one task",
        ),
        (format!("{two} --from-layer 3"), "--from-layer is for"),
        (
            format!("{two} --resolution 16,24"),
            "several resolutions are of one task",
        ),
        (format!("{two} --task missing=none.tar"), "none.tar"),
        (
            "--data greek-train.tar --resolution 16,16".into(),
            "two tasks have one name",
        ),
        (
            "--data greek-train.tar --share a=2".into(),
            "--share is for several tasks",
        ),
        (
            "--data greek-train.tar --from-scratch".into(),
            "--from-scratch is for several tasks",
        ),
    ] {
        folder.refused(
            &format!("train --backbone demo.backbone {flags} -o out"),
            words,
        );
    }
    folder.refused(
        &format!("train --backbone demo.backbone {two} -o -"),
        "-o - is for the training of one task",
    );
    folder.refused(
        &format!("train --backbone demo.backbone {two} -o demo.backbone"),
        "cannot write demo.backbone",
    );
    let both = format!("train --backbone demo.backbone {two} --data greek-train.tar -o out");
    let both = folder.run(&both);
    assert!(
        both.status == 2 && both.stderr.contains("cannot be used with"),
        "{}",
        both.stderr
    );
    assert!(!folder.path("out").exists());
    fs::create_dir(folder.path("full")).expect("room on the disk");
    folder.write("full/signs.safetensors", b"mine");
    folder.refused(
        &format!("train --backbone demo.backbone {two} -o full"),
        "signs.safetensors already exists",
    );
    assert_eq!(folder.read("full/signs.safetensors"), b"mine");
}
