//! `patchtool train` from images to a patch: what it learns, what it refuses, and that it can be stopped at any moment.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::fs;
use std::ops::Deref;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use graft_tests::Random;
use image::{Rgb, RgbImage};
use shared::Folder;

/// A folder with a small backbone and photographs of three colours.
struct Fixture(Folder);

impl Fixture {
    fn new() -> Self {
        let fixture = Self(Folder::new());
        let backbones = [
            ("b.backbone", graft_tests::every_operator(24, 1)),
            ("norms.backbone", graft_tests::operators::with_batch_norm()),
        ];
        for (name, bytes) in backbones {
            fixture.write(name, &bytes);
        }
        for (class, colour) in [
            ("red", [200, 60, 60]),
            ("green", [60, 200, 60]),
            ("blue", [60, 60, 200]),
        ] {
            fixture.images("data", class, colour, 20);
            fixture.images("test", class, colour, 6);
        }
        fixture
    }

    /// Noisy images around a colour.
    fn images(&self, set: &str, class: &str, colour: [u8; 3], count: u64) {
        let folder = self.path(set).join(class);
        fs::create_dir_all(&folder).expect("room on the disk");
        for number in 0..count {
            let set: u64 = set.bytes().map(u64::from).sum();
            let mut random = Random(number + 1000 * set);
            let mut pixel = |_, _| {
                Rgb(colour.map(|level| level.saturating_add_signed((random.value() * 55.0) as i8)))
            };
            RgbImage::from_fn(30, 26, &mut pixel)
                .save(folder.join(format!("{number}.png")))
                .expect("room on the disk");
        }
    }

    /// As [`Folder::refused`], leaving no output.
    fn refused(&self, arguments: &str, words: &str) {
        self.0
            .refused(&format!("{arguments} -o refused.safetensors"), words);
        assert!(!self.path("refused.safetensors").exists());
    }

    /// The patch of a trained file.
    fn patch(&self, trained: &str) -> Vec<u8> {
        self.patch_of("b.backbone", trained)
    }

    fn patch_of(&self, backbone: &str, trained: &str) -> Vec<u8> {
        self.json(&format!(
            "export {trained} --backbone {backbone} -o {trained}.patch --force"
        ));
        self.read(&format!("{trained}.patch"))
    }
}

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

const TRAIN: &str = "train --data data --test test --batch 10 --backbone b.backbone";
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

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_been() {
    let fixture = Fixture::new();
    // Checkpoints after every step: a kill leaves the run in the midst of an epoch.
    // Batch statistics have a memory of their own.
    let arguments = format!(
        "{TRAIN_ON} norms.backbone --epochs 40 --seed 3 --name same --checkpoint-every 0 --batch-norm batch"
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
    let run = |command: &mut Command| {
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
fn patience_ends_a_run_that_gets_no_better() {
    let fixture = Fixture::new();
    let outcome = fixture.run(&format!(
        "{TRAIN} --epochs 200 --patience 3 --kind head --lr 0.01 -o a.st --json"
    ));
    let trained: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let accuracies: Vec<f64> = validations(&outcome.stderr)
        .iter()
        .map(|found| found.1)
        .collect();
    let highest = accuracies.iter().copied().fold(0.0, f64::max);
    let first = 1 + accuracies
        .iter()
        .position(|accuracy| *accuracy == highest)
        .expect("one is");
    assert_eq!(
        trained["epochs"].as_u64(),
        Some(first as u64 + 3),
        "{trained}"
    );
    assert_eq!(accuracies.len(), first + 3);
    // With the same accuracy, the loss decides.
    let best = trained["best"]["epoch"].as_u64().expect("a number") as usize;
    assert!(best >= first && best < 200, "{trained}");
}

/// Loss and accuracy of the validation images after each epoch, of the lines that a run writes.
fn validations(stderr: &str) -> Vec<(f64, f64)> {
    let lines = stderr.lines().filter(|line| line.starts_with("epoch "));
    lines
        .filter_map(|line| line.split_once("validation loss "))
        .filter_map(|(_, rest)| {
            let (loss, rest) = rest.split_once(", ")?;
            let (accuracy, _) = rest.split_once(" %")?;
            Some((loss.parse().ok()?, accuracy.trim().parse().ok()?))
        })
        .collect()
}

#[test]
fn the_validation_images_choose_the_epoch_and_the_test_images_do_not() {
    let fixture = Fixture::new();
    // Of another kind than what is learned: hardly any of them is right.
    fixture.images("other", "red", [60, 200, 60], 6);
    fixture.images("other", "green", [60, 60, 200], 6);
    let line =
        "train --data data --backbone b.backbone --batch 10 --kind head --epochs 12 --lr 0.002";
    let outcome = fixture.run(&format!("{line} -o a.st --test test --json"));
    let first: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let found = validations(&outcome.stderr);
    assert_eq!(found.len(), 12, "{}", outcome.stderr);
    let best = (0..12).reduce(|best, next| {
        let ((loss, accuracy), (new_loss, new_accuracy)) = (found[best], found[next]);
        let is_better = new_accuracy > accuracy || (new_accuracy == accuracy && new_loss < loss);
        if is_better { next } else { best }
    });
    let best = best.expect("there are epochs");
    // The lines have three digits.
    let loss = first["best"]["validation_loss"].as_f64().expect("a number");
    assert!((found[best].0 - loss).abs() < 1e-3, "{first} {found:?}");
    let chosen = first["best"]["epoch"].as_u64().expect("a number") as usize;
    assert_eq!(found[chosen - 1], found[best], "{first} {found:?}");
    assert_eq!(
        (&first["images"], &first["validation_images"]),
        (&54.into(), &6.into())
    );
    for (name, test) in [("b", "--test other"), ("c", "")] {
        let again = fixture.json(&format!("{line} -o {name}.st {test}"));
        for key in ["epoch", "validation_accuracy", "validation_loss"] {
            assert_eq!(again["best"][key], first["best"][key], "{test}");
        }
        assert_ne!(
            again["best"]["test_accuracy"],
            first["best"]["test_accuracy"]
        );
        fixture.json(&format!("export {name}.st -b b.backbone -o {name}.patch"));
    }
    let same = fixture.run("diff b.patch c.patch");
    assert!(same.status == 0, "{}", same.stdout);
}

#[test]
fn without_a_test_only_validation_is_reported() {
    let fixture = Fixture::new();
    let line = "train --data data --backbone b.backbone --batch 10 --kind head --epochs 2";
    let text = fixture.run(&format!("{line} -o a.st")).stdout;
    assert!(
        text.contains("of 6 validation images right") && text.contains("not tested"),
        "{text}"
    );
    let json = fixture.json(&format!("{line} -o b.st --confusion confusion.png"));
    assert!(json["best"]["validation_accuracy"].is_number(), "{json}");
    assert!(
        json["best"]["test_accuracy"].is_null() && json["test_images"] == 0,
        "{json}"
    );
    let json = fixture.json(&format!("{line} -o c.st --split 0.25"));
    assert!(
        json["best"]["test_accuracy"].is_number() && json["test_images"] == 15,
        "{json}"
    );
    assert_eq!(
        (&json["images"], &json["validation_images"]),
        (&39.into(), &6.into())
    );
    // Nothing chooses: the last.
    let last = fixture.json(&format!("{line} -o d.st --validation 0"));
    assert_eq!(
        (&last["best"]["epoch"], &last["images"]),
        (&2.into(), &60.into())
    );
    assert!(last["best"]["validation_accuracy"].is_null(), "{last}");
    for flag in ["--patience 2", "--confusion d.png"] {
        fixture.refused(
            &format!("{line} --validation 0 {flag}"),
            "validation images",
        );
    }
    fixture.refused(
        &format!("{line} --validation 0.01 --patience 2"),
        "hint: give a larger share",
    );
    let refused = fixture.run(&format!("{line} --validation 1 -o e.st"));
    assert!(
        refused.status == 2 && refused.stderr.contains("from 0 to below 1"),
        "{}",
        refused.stderr
    );
}

#[test]
fn validation_may_be_a_folder_and_small_classes_are_trained_on_whole() {
    let fixture = Fixture::new();
    fixture.images("few", "red", [200, 60, 60], 3);
    fixture.images("few", "green", [60, 200, 60], 3);
    let line = "train --data few --backbone b.backbone --kind head --epochs 3";
    let outcome = fixture.run(&format!("{line} -o a.st"));
    assert!(
        outcome.stderr.contains("the last epoch is kept")
            && outcome
                .stderr
                .contains("6 images to train on are fewer than a batch of 32"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stdout.contains("epoch 3 of 3, the last"),
        "{}",
        outcome.stdout
    );
    fixture.refused(
        &format!("{line} --validation test"),
        "the validation set has classes",
    );
    fs::remove_dir_all(fixture.path("test/blue")).expect("it is there");
    let json = fixture.json(&format!("{line} -o b.st --validation test"));
    assert_eq!(
        (&json["images"], &json["validation_images"]),
        (&6.into(), &12.into())
    );
    assert_eq!(json["shared_images"]["validation"], 0);
    fixture.images("few", "blue", [60, 60, 200], 40);
    let outcome = fixture.run(&format!("{line} -o c.st"));
    assert!(
        outcome
            .stderr
            .contains("no image to validate with, too few to spare one: green, red"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("36 images of blue and 3 of green")
            && outcome.stderr.contains("--class-weights balanced"),
        "{}",
        outcome.stderr
    );
    let outcome = fixture.run(&format!("{line} -o e.st --validation test"));
    assert!(
        outcome
            .stderr
            .contains("no image to validate with in test, so the epoch is chosen without: blue"),
        "{}",
        outcome.stderr
    );
    let balanced = fixture.run(&format!("{line} -o d.st --class-weights balanced"));
    assert!(
        balanced.status == 0 && !balanced.stderr.contains("--class-weights"),
        "{}",
        balanced.stderr
    );
}

#[test]
fn images_of_two_sets_are_named() {
    let fixture = Fixture::new();
    let line = "train --data data --backbone b.backbone --kind head --epochs 1";
    let outcome = fixture.run(&format!("{line} -o a.st --test data"));
    assert!(
        outcome.stderr.contains("all 60 test images are also"),
        "{}",
        outcome.stderr
    );
    // A copy by another name.
    fs::copy(
        fixture.path("data/red/3.png"),
        fixture.path("test/red/copy.png"),
    )
    .expect("room");
    let outcome = fixture.run(&format!("{line} -o b.st --test test --validation data"));
    assert!(
        outcome.stderr.contains("1 of 19 test images are also"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("all 60 validation images are also"),
        "{}",
        outcome.stderr
    );
    let json = fixture.json(&format!("{line} -o c.st --test test"));
    assert_eq!(json["shared_images"]["test"], 1);
}

#[test]
fn rare_classes_are_learned_with_balanced_weights() {
    let fixture = Fixture::new();
    fixture.images("rare", "ok", [110, 100, 100], 200);
    fixture.images("rare", "defect", [140, 100, 100], 5);
    let line =
        "train --data rare --backbone b.backbone --kind head --epochs 4 --lr 0.002 --validation 0";
    let recall = |flags: &str| {
        fixture.json(&format!("{line} -o a.st --test rare --force {flags}"));
        let patch = fixture.json("export a.st -b b.backbone -o a.patch --force");
        assert!(patch["bytes"].is_number());
        let eval = fixture.run("eval -b b.backbone -p a.patch --data rare");
        let json = fixture.json("eval -b b.backbone -p a.patch --data rare");
        (json["per_class"][0]["accuracy"].as_f64(), eval.stdout)
    };
    let (plain, text) = recall("");
    assert!(
        plain == Some(0.0) && text.contains("of class defect, 0 of 5"),
        "{text}"
    );
    let (balanced, text) = recall("--class-weights balanced");
    assert!(balanced >= Some(0.8), "{text}");
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
