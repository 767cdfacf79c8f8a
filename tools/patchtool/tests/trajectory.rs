//! What `patchtool train` does with the trajectory of the trained values besides following it.

#[allow(dead_code)] // Each test needs some of it.
mod shared;

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use shared::colours::Fixture;

/// Trains with batch norms at a rate that stays; no validation, so that the last values, or their average, are kept.
const CONSTANT: &str = "train --data data --batch 10 --backbone norms.backbone --name same --schedule constant \
                        --validation 0 --seed 3";

#[test]
fn an_average_is_another_result_of_the_same_run() {
    let fixture = Fixture::new();
    // 6 steps an epoch.
    let patch = |name: &str, flags: &str| {
        let report = fixture.json(&format!("{CONSTANT} --epochs 6 {flags} -o {name}.st"));
        let patch = fixture.patch_of("norms.backbone", &format!("{name}.st"));
        (report, patch)
    };
    let (last, plain) = patch("plain", "");
    assert!(last["average"].is_null(), "{last}");
    let trained = last["trainable_params"].as_u64().expect("a number");
    for (name, rule, copies) in [
        ("two", "two-point:10", 2),
        ("ema", "ema:0.9", 1),
        ("swa", "swa", 2),
    ] {
        let (report, averaged) = patch(name, &format!("--average {rule}"));
        assert!(averaged != plain, "{rule} changes nothing");
        let bytes = report["average"]["bytes"].as_u64().expect("a number");
        // What is packed has padding.
        assert!(
            bytes >= 4 * copies * trained && bytes < 16 * copies * trained,
            "{report}"
        );
        assert_eq!(report["average"]["rule"], rule);
    }
    // The points are further apart than the run is long.
    let (_, none) = patch("none", "--average two-point:37");
    assert!(none == plain, "before the first point there is no average");
    let falling = CONSTANT.replace("constant", "cosine");
    fixture.json(&format!("{falling} --epochs 6 -o cosine.st"));
    let cosine = fixture.patch_of("norms.backbone", "cosine.st");
    assert!(cosine != plain, "a constant rate falls");
}

#[test]
fn statistics_are_measured_again_for_averaged_values() {
    let fixture = Fixture::new();
    let variances = |name: &str, flags: &str| {
        fixture.json(&format!(
            "{CONSTANT} --batch-norm batch --epochs 6 {flags} -o {name}.st"
        ));
        fixture.patch_of("norms.backbone", &format!("{name}.st"))
    };
    // The values are the last ones, the statistics are not their running means.
    let last = variances("last", "");
    let measured = variances("measured", "--average two-point:37");
    assert!(last != measured, "the running statistics are kept");
    assert!(
        measured == variances("again", "--average two-point:37"),
        "they are chosen by chance"
    );
    let averaged = fixture.json(&format!(
        "{CONSTANT} --batch-norm batch --epochs 12 --lr 0.01 --average swa --test test -o good.st"
    ));
    let accuracy = averaged["best"]["test_accuracy"].as_f64();
    assert!(accuracy > Some(0.9), "{averaged}");
}

#[test]
fn a_run_that_is_stopped_leaves_its_average_so_far() {
    let fixture = Fixture::new();
    let line = format!("{CONSTANT} --epochs 5000 --lr 0.01 --average swa -o a.st");
    let mut run = fixture
        .command(&line)
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    while !fixture.path("a.st").exists() {
        assert!(run.try_wait().expect("it runs").is_none(), "it is over");
        sleep(Duration::from_millis(1));
    }
    // Until it has been written again ten times.
    let written = || {
        std::fs::metadata(fixture.path("a.st"))
            .and_then(|file| file.modified())
            .ok()
    };
    for _ in 0..10 {
        let last = written();
        while written() == last {
            assert!(run.try_wait().expect("it runs").is_none(), "it is over");
            sleep(Duration::from_millis(1));
        }
    }
    run.kill().expect("it can be killed");
    run.wait().expect("it ends");
    fixture.patch_of("norms.backbone", "a.st");
    let eval = fixture.json("eval --backbone norms.backbone --patch a.st.patch --data test");
    assert!(eval["accuracy"].as_f64() > Some(0.5), "{eval}");
    // It is no reason not to go on, and not to be lost to a run that starts again.
    for (flags, words) in [
        (
            "--average swa",
            "hint: go on with --resume, or start again with --force",
        ),
        (
            "--resume --average ema:0.5",
            "--average was swa, now ema:0.5",
        ),
        (
            "--resume --average ema:2",
            "above 0 and below 1, as ema:0.99",
        ),
    ] {
        let refused = fixture.run(&line.replace("--average swa", flags));
        assert!(
            refused.status == 2 && refused.stderr.contains(words),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn a_probe_changes_nothing_and_finds_a_quadratic() {
    let fixture = Fixture::new();
    for mode in ["frozen", "batch"] {
        let line = format!("{CONSTANT} --batch-norm {mode} --epochs 4 --lr 0.01");
        let plain = fixture.json(&format!("{line} -o plain.st --force"));
        assert!(plain["probe"].is_null());
        let report = fixture.json(&format!("{line} --probe -o probed.st --force"));
        let [plain, probed] =
            ["plain.st", "probed.st"].map(|name| fixture.patch_of("norms.backbone", name));
        assert!(plain == probed, "{mode}: the probe changes the patch");
        let probe = &report["probe"];
        // 6 steps an epoch, each a point.
        assert_eq!(
            probe["points"].as_array().map(Vec::len),
            Some(25),
            "{probe}"
        );
        assert_eq!(probe["steps"].as_array().map(Vec::len), Some(4));
        let share = |key: &str| {
            probe[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{key}: {probe}"))
        };
        assert!(share("step_r2") > 0.5 && share("step_r2") <= 1.0, "{probe}");
        assert!(share("path_r2") > 0.0 && share("path_r2") <= 1.0, "{probe}");
        assert!(share("after_long_step") < 1.0, "{probe}");
        let picture = image::open(fixture.path("probed.st.probe.png")).expect("it can be read");
        assert!(picture.width() >= 600);
    }
    let refused = fixture.run(&format!("{CONSTANT} --epochs 1 --probe -o -"));
    assert!(refused.status == 2 && refused.stderr.contains("name a file with -o"));
    let text = fixture
        .run(&format!("{CONSTANT} --epochs 1 --probe -o text.st"))
        .stdout;
    assert!(text.contains("one long step leaves"), "{text}");
}

#[test]
fn a_training_goes_on_from_the_values_of_another() {
    let fixture = Fixture::new();
    for (backbone, kind) in [("b", "bn+dw+head"), ("norms", "bn+head"), ("b", "head")] {
        let line = format!("{} --kind {kind}", CONSTANT.replace("norms", backbone));
        let backbone = format!("{backbone}.backbone");
        fixture.json(&format!("{line} --epochs 8 --lr 0.01 -o first.st --force"));
        let first = fixture.patch_of(&backbone, "first.st");
        // Steps that are too small to be any: the same values, to the bit.
        fixture.json(&format!(
            "{line} --epochs 1 --optimizer sgd --weight-decay 0 --lr 1e-30 --start first.st -o same.st --force"
        ));
        fixture.patch_of(&backbone, "same.st");
        let same = fixture.run("diff first.st.patch same.st.patch");
        assert_eq!(same.status, 0, "{kind}: {}", same.stdout);
        fixture.json(&format!(
            "{line} --epochs 1 --start first.st -o next.st --force"
        ));
        assert!(fixture.patch_of(&backbone, "next.st") != first);
    }
    let line = format!("{CONSTANT} --epochs 1");
    fixture.json(&format!("{line} -o frozen.st"));
    fixture.json(&format!("{line} --batch-norm batch -o batch.st"));
    for (flags, words) in [
        ("--kind head --start frozen.st", "with another kind"),
        ("--batch-norm batch --start frozen.st", "mean and variance"),
        ("--start batch.st", "mean and variance"),
        ("--start norms.backbone", "cannot start from norms.backbone"),
        ("--start nowhere.st", "nowhere.st"),
    ] {
        fixture.refused(&format!("{line} {flags}"), words);
    }
}
