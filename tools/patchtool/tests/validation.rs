//! The images of `patchtool train` that are not learned from: which epoch they choose, and what is said of them.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::fs;

use shared::colours::{Fixture, TRAIN};

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
    let few = "4 validation images choose the epoch by chance";
    assert!(outcome.stderr.contains(few), "{}", outcome.stderr);
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
