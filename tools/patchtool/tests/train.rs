//! `patchtool train` from images to a patch: what it learns, what it refuses, and that it can be stopped at any moment.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use shared::colours::{Fixture, TRAIN};

const TRAIN_ON: &str = "train --data data --test test --batch 10 --backbone";

#[test]
fn every_kind_learns_colours_and_its_patch_is_as_good_as_it_says() {
    let fixture = Fixture::new();
    let kinds = ["head", "bn+head", "dw+head", "bn+dw+head"].map(|kind| ("b", kind, "frozen"));
    let on_norms = ["frozen", "batch"].map(|mode| ("norms", "bn+head", mode));
    for (backbone, kind, mode) in kinds.into_iter().chain(on_norms) {
        let trained = fixture.json(&format!(
            "{TRAIN_ON} {backbone}.backbone --kind {kind} -o {kind}.st --epochs 12 --lr 0.01 \
             --batch-norm {mode} --force"
        ));
        let accuracy = trained["best"]["test_accuracy"].as_f64().expect("a number");
        assert!(accuracy > 0.9, "{kind}: {trained}");
        assert!(
            trained["trainable_params"].as_u64() > Some(0)
                && trained["step_ms"]["median"].as_f64() > Some(0.0)
        );
        fixture.patch_of(&format!("{backbone}.backbone"), &format!("{kind}.st"));
        let eval = fixture.json(&format!(
            "eval --backbone {backbone}.backbone --patch {kind}.st.patch --data test"
        ));
        assert!(
            (eval["accuracy"].as_f64().expect("a number") - accuracy).abs() < 1e-6,
            "{kind}: {eval}"
        );
        assert_eq!(eval["count"], 18);
    }
}

#[test]
fn a_baseline_trains_and_becomes_no_patch() {
    let fixture = Fixture::new();
    // Random weights learn little on the side; a guess is right in a third of all cases.
    for (kind, expected) in [("full", 0.9), ("random+head", 0.5)] {
        let trained = fixture.json(&format!(
            "{TRAIN} --kind {kind} -o {kind}.st --epochs 8 --lr 0.005"
        ));
        assert!(
            trained["best"]["test_accuracy"].as_f64() > Some(expected),
            "{kind}: {trained}"
        );
        let refused = fixture.run(&format!(
            "export {kind}.st --backbone b.backbone -o {kind}.patch"
        ));
        assert_eq!(refused.status, 2, "{kind}");
        assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    }
}

#[test]
fn the_seed_decides_and_the_threads_do_not() {
    let fixture = Fixture::new();
    let train = |name: &str, more: &str| {
        fixture.json(&format!(
            "{TRAIN} --epochs 2 -o {name}.st --name same {more}"
        ));
        fixture.patch(&format!("{name}.st"))
    };
    let first = train("a", "--seed 5 --threads 1");
    assert!(
        first == train("b", "--seed 5 --threads 3"),
        "threads change the result"
    );
    assert!(first != train("c", "--seed 6"), "the seed changes nothing");
}

/// Trains with these flags, once to the end and once with two kills in between.
fn killed_and_resumed(flags: &str) {
    let fixture = Fixture::new();
    // Checkpoints after every step: a kill leaves the run in the midst of an epoch.
    // Batch statistics have a memory of their own.
    let arguments = format!(
        "{TRAIN_ON} norms.backbone --epochs 40 --seed 3 --name same --checkpoint-every 0 --batch-norm batch {flags}"
    );
    fixture.json(&format!("{arguments} -o whole.st"));
    let checkpoint = fixture.path("cut.st.checkpoint");
    let line = format!("{arguments} -o cut.st");
    let mut kills = 0;
    for attempt in 0..3 {
        let resume = if attempt == 0 { "" } else { "--resume" };
        let mut child = fixture
            .command(&format!("{line} {resume}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let before = fs::metadata(&checkpoint)
            .and_then(|file| file.modified())
            .ok();
        while child.try_wait().expect("it runs").is_none() {
            let now = fs::metadata(&checkpoint)
                .and_then(|file| file.modified())
                .ok();
            if now.is_some() && now != before {
                sleep(Duration::from_millis(7 * (attempt + 1)));
                child.kill().expect("it can be killed");
                kills += 1;
                break;
            }
            sleep(Duration::from_millis(1));
        }
        child.wait().expect("it ends");
    }
    assert!(
        kills > 0 && checkpoint.exists(),
        "it was over before it could be killed"
    );
    let other = fixture.run(&format!("{line} --resume --lr 0.5"));
    assert!(
        other.status == 2 && other.stderr.contains("--lr"),
        "{}",
        other.stderr
    );
    let fresh = fixture.run(&line);
    assert!(
        fresh.status == 2 && fresh.stderr.contains("--resume"),
        "{}",
        fresh.stderr
    );
    fixture.json(&format!("{line} --resume"));
    assert!(!checkpoint.exists(), "a finished run needs no checkpoint");
    assert!(
        fixture.patch_of("norms.backbone", "cut.st")
            == fixture.patch_of("norms.backbone", "whole.st"),
        "the result is another one"
    );
}

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_been() {
    killed_and_resumed("");
}

#[test]
fn a_killed_run_has_the_same_sparse_updates() {
    killed_and_resumed("--sparse keep-top:0.2 --sparse-every 7 --probe");
}

#[test]
fn a_killed_run_has_the_same_average() {
    for rule in ["two-point:7", "ema:0.9", "swa"] {
        killed_and_resumed(&format!("--schedule constant --average {rule}"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_to_stdout_leaves_nothing_and_cannot_be_resumed() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("tmp")).expect("room on the disk");
    let train = |more: &str| {
        let mut command = fixture.command(&format!(
            "{TRAIN} --kind head --epochs 2 --checkpoint-every 0 --name same {more}"
        ));
        command.env("TMPDIR", fixture.path("tmp"));
        command
    };
    let run = |command: &mut std::process::Command| {
        let output = command.output().expect("it starts");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        (output.status.code(), output.stdout, stderr)
    };
    let left = || fs::read_dir(fixture.path("tmp")).map(Iterator::count).ok();
    let (status, _, stderr) = run(&mut train("-o whole.st"));
    assert_eq!(status, Some(0), "{stderr}");
    fixture.patch("whole.st");
    let (status, trained, stderr) = run(&mut train("-o -"));
    assert_eq!((status, left()), (Some(0), Some(0)), "{stderr}");
    fixture.write("piped.st", &trained);
    assert!(fixture.patch("piped.st") == fixture.patch("whole.st"));
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let mut command = train("-o -");
    let status = command.stdout(full.expect("it is there")).status();
    assert_eq!(status.expect("it starts").code(), Some(2));
    assert_eq!(left(), Some(0));
    let (status, _, stderr) = run(&mut train("-o - --resume"));
    assert!(
        status == Some(2) && stderr.contains("hint: name a file with -o"),
        "{stderr}"
    );
}

#[test]
fn pictures_are_drawn_and_outputs_kept() {
    let fixture = Fixture::new();
    let line = format!("{TRAIN} --epochs 2 -o a.st --curves curves.png --confusion confusion.png");
    fixture.json(&line);
    for picture in ["curves.png", "confusion.png"] {
        let picture = image::open(fixture.path(picture))
            .expect("it can be read")
            .to_rgb8();
        let colours: std::collections::BTreeSet<_> =
            picture.pixels().map(|pixel| pixel.0).collect();
        assert!(
            picture.width() >= 300 && colours.len() > 10,
            "an empty picture"
        );
    }
    let before = fs::read(fixture.path("a.st")).expect("it is there");
    let again = fixture.run(&line);
    assert!(
        again.status == 2 && again.stderr.contains("--force"),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read(fixture.path("a.st")).expect("it is there"), before);
}

#[test]
fn data_that_cannot_be_trained_on_is_refused() {
    let fixture = Fixture::new();
    fixture.images("one", "red", [200, 0, 0], 12);
    fixture.refused(
        "train --backbone b.backbone --data one --batch 4",
        "one class",
    );
    fixture.images("empty", "red", [200, 0, 0], 12);
    fixture.images("empty", "green", [0, 200, 0], 12);
    fs::create_dir(fixture.path("empty/nothing")).expect("room on the disk");
    fixture.refused(
        "train --backbone b.backbone --data empty --batch 4",
        "nothing",
    );
    fs::create_dir(fixture.path("data/broken")).expect("room on the disk");
    fs::write(fixture.path("data/broken/1.png"), "no picture").expect("room on the disk");
    for kind in ["head", "bn+head"] {
        let line = format!("train --backbone b.backbone --data data --kind {kind}");
        fixture.refused(&line, "classes broken");
    }
    fs::remove_dir_all(fixture.path("data/broken")).expect("it is there");
    fixture.images("strange", "yellow", [200, 200, 0], 3);
    fixture.refused(
        "train --backbone b.backbone --data data --test strange",
        "yellow",
    );
    fixture.refused(
        "train --backbone b.backbone --data data --resolution 4096",
        "4096",
    );
    fixture.refused(
        "train --backbone b.backbone --data nowhere",
        "does not exist",
    );
    fixture.refused("train --backbone nowhere --data data", "nowhere");
    fixture.refused(
        "train --backbone b.backbone --data data --kind head --batch-norm batch",
        "no batch norm",
    );
    fixture.refused(
        "train --backbone b.backbone --data data --lr 1e20 --optimizer sgd --batch 10",
        "diverged",
    );
}

#[test]
fn what_was_learned_before_a_divergence_is_kept() {
    let fixture = Fixture::new();
    // The sums of a last layer grow by as much each step: a warm-up over many epochs takes them past the largest number.
    let line = format!(
        "{TRAIN} --kind head --optimizer sgd --epochs 40 --warmup 40 --weight-decay 0 --lr 1e38 -o a.st"
    );
    let outcome = fixture.run(&line);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("diverged in epoch"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("is kept"), "{}", outcome.stderr);
    assert!(!fixture.path("a.st.checkpoint").exists());
    fixture.patch("a.st");
    let again = fixture.json(&format!("{line} --force"));
    assert_eq!(again["diverged"], true);
    let eval = fixture.json("eval --backbone b.backbone --patch a.st.patch --data test");
    let best = again["best"]["test_accuracy"].as_f64().expect("a number");
    assert!((eval["accuracy"].as_f64().expect("a number") - best).abs() < 1e-6);
}

#[test]
fn a_second_run_on_an_output_is_told_of_the_first() {
    let fixture = Fixture::new();
    let line = format!("{TRAIN} --epochs 5000 -o a.st");
    let mut first = fixture
        .command(&line)
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let lock = fixture.path("a.st.checkpoint.lock");
    while !lock.exists() {
        assert!(first.try_wait().expect("it runs").is_none(), "it is over");
        sleep(Duration::from_millis(1));
    }
    // Time to take it.
    sleep(Duration::from_millis(50));
    for more in ["", "--force", "--resume"] {
        let second = fixture.run(&format!("{line} {more}"));
        assert!(
            second.status == 2 && second.stderr.contains("another run is writing a.st now"),
            "{more}: {}",
            second.stderr
        );
        assert!(!second.stderr.contains("--resume"), "{}", second.stderr);
    }
    first.kill().expect("it can be killed");
    first.wait().expect("it ends");
    fixture.json(&format!("{TRAIN} --epochs 1 -o a.st --force"));
    assert!(!lock.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_noticed_at_once() {
    let fixture = Fixture::new();
    // Nobody, not even root, makes files there.
    for line in [
        "-o /proc/self/a.st",
        "-o a.st --curves /proc/self/curves.png",
    ] {
        let outcome = fixture.run(&format!("{TRAIN} --epochs 2 {line}"));
        assert!(
            outcome.status == 2
                && outcome.stderr.contains("cannot write /proc/self")
                && !outcome.stderr.contains("epoch"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn outputs_must_differ() {
    let fixture = Fixture::new();
    fixture.refused(
        "train --backbone b.backbone --data data --curves a.png --confusion a.png",
        "two outputs",
    );
    fixture.refused(
        "train --backbone b.backbone --data data --force --curves b.backbone",
        "b.backbone",
    );
}

#[test]
fn unreadable_images_are_listed_and_training_goes_on() {
    let fixture = Fixture::new();
    fs::write(fixture.path("data/red/broken.png"), "no picture").expect("room on the disk");
    let outcome = fixture.run(&format!("{TRAIN} --epochs 1 -o a.st"));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("red/broken.png"),
        "{}",
        outcome.stderr
    );
    // Two of each colour are held back to validate with.
    assert!(outcome.stdout.contains("54 images"), "{}", outcome.stdout);
    let trained = fixture.json(&format!("{TRAIN} --epochs 1 -o b.st"));
    assert_eq!(trained["unreadable"], 1);
}

#[test]
fn from_a_layer_on_the_layers_before_are_the_backbones_own() {
    let fixture = Fixture::new();
    for (backbone, mode, kind, layer, first) in [
        ("b", "frozen", "bn+dw+head", "layer5", 4),
        ("b", "frozen", "dw+head", "3", 11),
        ("norms", "batch", "bn+head", "1", 1),
    ] {
        let common = format!("{TRAIN_ON} {backbone}.backbone --kind {kind} --epochs 3 --force");
        let whole = fixture.json(&format!("{common} -o whole.st"));
        let part = fixture.json(&format!(
            "{common} --batch-norm {mode} --from-layer {layer} -o part.st"
        ));
        let trained = |report: &serde_json::Value| report["trainable_params"].as_u64();
        assert!(trained(&part) < trained(&whole) && trained(&part) > Some(0));
        fixture.json(&format!(
            "quantize {backbone}.backbone --calibrate data -o int8.backbone --force"
        ));
        fixture.patch_of(&format!("{backbone}.backbone"), "part.st");
        for from in ["part.st", "part.st.patch"] {
            fixture.json(&format!(
                "export {from} --backbone int8.backbone --calibrate data -o {from}.int8 --force"
            ));
        }
        assert!(fixture.read("part.st.int8") == fixture.read("part.st.patch.int8"));
        for (backbone, patch) in [
            (&*format!("{backbone}.backbone"), "part.st.patch"),
            ("int8.backbone", "part.st.int8"),
        ] {
            let inspected = fixture.json(&format!("inspect {patch} --backbone {backbone}"));
            assert_eq!(inspected["first_patched_layer"], first, "{patch} {layer}");
        }
        let inspected = fixture.json("inspect part.st");
        assert_eq!(inspected["training"]["from_layer"], part["from_layer"]);
    }
}

#[test]
fn a_layer_that_leaves_nothing_to_train_is_refused() {
    let fixture = Fixture::new();
    for (arguments, words) in [
        ("--from-layer 15", "no layer 15 among its 15"),
        ("--from-layer stem", "no layer stem"),
        (
            "--from-layer 14",
            "nothing but the head to train from layer 14",
        ),
        ("--kind dw+head --from-layer 12", "nothing but the head"),
        ("--kind full --from-layer 2", "full is a baseline"),
    ] {
        fixture.refused(&format!("{TRAIN} {arguments}"), words);
    }
    fixture.json(&format!(
        "{TRAIN} --kind head --from-layer 14 --epochs 1 -o head.st"
    ));
}
